// Package queue keeps experiments that are to run later, and runs them.
//
// The queue is DVC's (dvc-compat 11.6): an entry is a stash commit that holds
// the code with its changed parameters, a line in the log of
// refs/exps/celery/stash, and a message file below .dvc/tmp/exps/celery. So
// `dvc queue status` and the editor plugin see it, DVC's workers can run it, and
// what dvc queued runs here.
//
// What DVC has no place for is kept below .dvc/tmp/ctrx/queue: per task a record
// of its attempts and a lease file, per worker a slot file. A worker holds its
// slot by a flock for as long as it lives. It takes a task by locking the
// task's lease, counting the attempt in the record, and renaming the message
// from in/ to processed/, which succeeds for one process only. The process that
// runs the task has the locked lease open as well. When both are gone, however
// they went, the kernel has let go of the lease; whoever finds a taken task
// without a result and with a free lease gives it back, or, after too many
// attempts, fails it with the reason. The number of the attempt is the fencing
// token: before anything is published the record must still have it.
//
// Order of effects: the ref of the experiment first, then the result file that
// makes the task done, then the queue's own entries are dropped. The record
// names the commit before the ref is made, so that a crash in between is seen
// as what it is, and the run is not made twice.
package queue
