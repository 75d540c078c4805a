package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// DefaultMaxAttempts is how often a task is tried whose worker dies.
const DefaultMaxAttempts = 3

// claim is a task that this process has the lease of.
type claim struct {
	task   Task
	lease  *fsx.FileLock
	number int // of the attempt: the fencing token
}

func (c *claim) release() {
	if c.lease != nil {
		_ = c.lease.File().Close() // a child that has it open keeps the lock
		c.lease = nil
	}
}

// takeLease locks the lease of a task. It is nil without an error when another
// process has it.
func (q *Queue) takeLease(ctx context.Context, id string) (*fsx.FileLock, error) {
	// Not at once: a question may share the lock for a moment.
	return q.awaitLease(ctx, id, 100*time.Millisecond)
}

// endWait is how long the process that has just ended a task is waited for: it
// has the lease until it has told a server about it.
const endWait = 10 * time.Second

// leaseOf is takeLease for a task that a user names: of one that has ended the
// lease is free, or will be in a moment.
func (q *Queue) leaseOf(ctx context.Context, t Task) (*fsx.FileLock, error) {
	if t.State == Success || t.State == Failed {
		return q.awaitLease(ctx, t.ID, endWait)
	}
	return q.takeLease(ctx, t.ID)
}

func (q *Queue) awaitLease(ctx context.Context, id string, wait time.Duration) (*fsx.FileLock, error) {
	lease, err := fsx.Lock(ctx, q.layout.lease(id), wait)
	var locked *fsx.LockedError
	if errors.As(err, &locked) {
		return nil, nil
	}
	return lease, err
}

// take claims a waiting task: lease, record, and last the message, which only
// one process can move. It is nil without an error when another was faster.
func (q *Queue) take(ctx context.Context, t Task, slot, most int) (*claim, error) {
	lease, err := q.takeLease(ctx, t.ID)
	if err != nil || lease == nil {
		return nil, err
	}
	c := &claim{task: t, lease: lease}
	ok, err := q.takeMessage(c, slot, most)
	if err != nil || !ok {
		c.release()
		return nil, err
	}
	return c, nil
}

func (q *Queue) takeMessage(c *claim, slot, most int) (bool, error) {
	from := q.path(messageFile{c.task.file, false})
	if _, err := os.Lstat(from); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	r, err := q.layout.readRecord(c.task.ID)
	if err != nil {
		return false, err
	}
	if r == nil {
		r = &record{}
	}
	r.Max, r.Temp, r.Reason = most, false, ""
	now := q.now().UTC().Truncate(time.Millisecond)
	r.end(outcomeLost, now) // a worker died before it had the message
	r.Attempts = append(r.Attempts, attempt{Worker: process.Self(), Slot: slot, Began: now})
	if err := q.layout.writeRecord(c.task.ID, r, fsx.Flushed); err != nil {
		return false, err
	}
	if err := removeFile(q.layout.cancelFile(c.task.ID)); err != nil {
		return false, err
	}
	c.number, c.task.record = r.number(), r
	err = os.Rename(from, q.path(messageFile{c.task.file, true}))
	if err == nil {
		return true, q.touch()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("take task %s: %w", c.task.ID, err)
	}
	r.Attempts = r.Attempts[:len(r.Attempts)-1] // dvc took it, or it was removed
	if len(r.Attempts) == 0 {
		return false, removeFile(q.layout.record(c.task.ID))
	}
	return false, q.layout.writeRecord(c.task.ID, r, fsx.Fast)
}

// touch lets those see that something changed who watch the queue's ref, as the
// editor plugin does.
func (q *Queue) touch() error {
	tip, ok, err := q.git.Ref(stashRef)
	if err != nil || !ok {
		return err
	}
	if err := q.git.SetRef(stashRef, tip, tip, ""); err != nil && errs.KindOf(err) != errs.Conflict && errs.KindOf(err) != errs.NotFound {
		return err
	}
	return nil
}

// reap looks through the taken tasks for those whose process died, and gives
// them back or ends them. It tells how many it gave back, and how many are
// still at work elsewhere.
func (q *Queue) reap(ctx context.Context, done map[string]bool) (back, working int, err error) {
	names, err := listDir(q.layout.taken())
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(names)
	var log map[string]time.Time
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return back, working, context.Cause(ctx)
		}
		if done[name] || filepath.Ext(name) != ".msg" {
			continue
		}
		t, ok, err := q.task(messageFile{name, true})
		if err != nil {
			q.project.Warn("%v", err)
			done[name] = true
			continue
		}
		switch {
		case !ok || t.State == Queued:
		case t.State == Lost && (t.record == nil || !t.record.Temp):
			given, err := q.recover(ctx, t)
			if err != nil {
				return back, working, err
			}
			if given {
				back++
			}
		case t.State == Lost:
			if err := q.failLost(ctx, t); err != nil {
				return back, working, err
			}
		case t.State == Running && t.record.underWay():
			working++
		case t.State == Success || t.State == Failed:
			if done[name], err = q.dropFinished(ctx, t, &log); err != nil {
				return back, working, err
			}
		}
	}
	return back, working, nil
}

// dropFinished takes the entry of a finished task out of the queue's log, as
// the process does that finishes it, unless it is killed just before. It tells
// whether the entry is gone. The log is read where it is nil.
func (q *Queue) dropFinished(ctx context.Context, t Task, log *map[string]time.Time) (bool, error) {
	if *log == nil {
		var err error
		if *log, _, err = q.log(); err != nil {
			return false, err
		}
	}
	if _, there := (*log)[t.Rev]; !there {
		return true, nil
	}
	lease, err := q.takeLease(ctx, t.ID)
	if err != nil || lease == nil {
		return false, err // being finished, or retried
	}
	defer lease.Unlock()
	again, ok, err := q.task(messageFile{t.file, true})
	if err != nil || !ok || again.State != Success && again.State != Failed {
		return false, err
	}
	return true, q.dropFrom(stashRef, t.Rev)
}

// recover takes over a task whose process died: a result that was already
// named is published, else the task goes back into the queue while it has
// attempts left.
func (q *Queue) recover(ctx context.Context, t Task) (bool, error) {
	lease, err := q.takeLease(ctx, t.ID)
	if err != nil || lease == nil {
		return false, err
	}
	c := &claim{task: t, lease: lease}
	defer c.release()
	if ok, err := q.lookAgain(c); err != nil || !ok {
		return false, err
	}
	if again := c.task; again.record == nil {
		c.task.record = &record{Max: DefaultMaxAttempts, Attempts: []attempt{{Worker: process.ID{PID: again.PID}, Began: q.now().UTC(), Root: again.Root}}}
	}
	c.number = c.task.record.number()
	return q.afterDeath(ctx, c)
}

// lookAgain reads a task anew for a process that has its lease by now, so that
// nobody else changes it. It is false for one that has come to an end since it
// was looked at, went back into the queue, or was removed.
func (q *Queue) lookAgain(c *claim) (bool, error) {
	now, ok, err := q.task(messageFile{c.task.file, true})
	if err != nil || !ok || now.State == Success || now.State == Failed || now.State == Queued {
		return false, err
	}
	c.task = now
	return true, nil
}

// failLost ends a run of `exp run --temp` whose process died: nobody waits for
// it any more, so it is kept as failed and not run again by itself.
func (q *Queue) failLost(ctx context.Context, t Task) error {
	lease, err := q.takeLease(ctx, t.ID)
	if err != nil || lease == nil {
		return err
	}
	c := &claim{task: t, lease: lease}
	defer c.release()
	if ok, err := q.lookAgain(c); err != nil || !ok || c.task.record == nil || !c.task.record.Temp {
		return err
	}
	c.number = c.task.record.number()
	return q.fail(c, outcomeLost, "its process died (killed, or the machine went down)", -1)
}

// afterDeath decides about a task whose process ended without a word. The
// caller has the lease. It tells whether the task was given back.
func (q *Queue) afterDeath(ctx context.Context, c *claim) (bool, error) {
	q.clearAway(c.task.record)
	r := c.task.record
	if r.Commit != "" {
		tip, ok, err := q.git.Ref(r.Ref)
		if err != nil {
			return false, err
		}
		if ok && tip == r.Commit { // it had its result, and died before it could say so
			return false, q.succeed(c, 0)
		}
	}
	if q.layout.cancelled(c.task.ID) {
		return false, q.fail(c, outcomeCancelled, "killed", -1)
	}
	r.end(outcomeLost, q.now())
	if n := r.crashed(); n >= max(r.Max, 1) {
		return false, q.fail(c, outcomeLost, fmt.Sprintf("its worker died in each of %d attempts (killed, out of memory, or the machine went down)", n), -1)
	}
	return true, q.giveBack(c)
}

// clearAway ends what a dead attempt left running, and removes its folder.
func (q *Queue) clearAway(r *record) {
	a := r.last()
	if a == nil {
		return
	}
	if a.Runner.Here() && (a.Runner.Boot == "" || a.Runner.Boot == process.Self().Boot) {
		process.KillSession(a.Runner.PID)
	}
	q.removeRoot(a.Root)
}

// removeRoot removes the temporary folder of a run, and nothing else.
func (q *Queue) removeRoot(root string) {
	if root == "" {
		return
	}
	exps, err := filepath.EvalSymlinks(q.layout.exps())
	if err != nil {
		return
	}
	if rel, err := filepath.Rel(exps, root); err != nil || filepath.Dir(rel) != "." || !tempName(rel) {
		return
	}
	if err := os.RemoveAll(root); err != nil {
		q.project.Warn("the temporary folder %s is left behind: %v", root, err)
	}
}

// giveBack puts a task into the queue again, for its next attempt.
func (q *Queue) giveBack(c *claim) error {
	r := c.task.record
	r.Commit, r.Ref, r.Hash = "", "", ""
	if err := q.layout.writeRecord(c.task.ID, r, fsx.Flushed); err != nil {
		return err
	}
	if err := q.ensureStashed(c.task); err != nil {
		return err
	}
	err := os.Rename(q.path(messageFile{c.task.file, true}), q.path(messageFile{c.task.file, false}))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give task %s back: %w", c.task.ID, err)
	}
	return q.touch()
}

// ensureStashed makes sure that the queue's log has the entry; dvc takes it out
// when its worker takes the task.
func (q *Queue) ensureStashed(t Task) error {
	lines, err := q.git.Reflog(stashRef)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(lines, func(l gitops.ReflogEntry) bool { return l.New == t.Rev }) {
		return nil
	}
	return q.git.PushReflog(stashRef, []gitops.LogLine{{New: t.Rev, Message: "commit: " + t.note().String()}})
}

func (t Task) note() note {
	return note{Head: t.Head, Baseline: t.Baseline, Name: t.Name, Branch: t.Branch}
}

// dropFrom takes entries out of the log of a ref.
func (q *Queue) dropFrom(ref string, revs ...string) error {
	_, ok, err := q.git.Ref(ref)
	if err != nil || !ok {
		return err
	}
	return q.git.WriteReflog(ref, func(lines []gitops.ReflogEntry) []gitops.ReflogEntry {
		return slices.DeleteFunc(lines, func(l gitops.ReflogEntry) bool { return slices.Contains(revs, l.New) })
	})
}

// succeed writes down that a task has its experiment. The ref is there.
func (q *Queue) succeed(c *claim, code int) error {
	r := c.task.record
	r.end(outcomeDone, q.now())
	r.Reason = ""
	return q.finish(c, code, infoFinished, func(info *runInfo) {
		info.ResultHash, info.ResultRef, info.ResultForce = &r.Hash, &r.Ref, r.Force
	})
}

// fail writes down that a task failed, and why. Its entry moves to DVC's list
// of failed ones.
func (q *Queue) fail(c *claim, outcome, reason string, code int) error {
	r := c.task.record
	r.end(outcome, q.now())
	r.Reason, r.Commit, r.Ref, r.Hash = reason, "", "", ""
	// Without its commit the entry cannot be listed as a failed one.
	if _, err := q.git.Commit(c.task.Rev); err == nil {
		lines, err := q.git.Reflog(failedRef)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(lines, func(l gitops.ReflogEntry) bool { return l.New == c.task.Rev }) {
			if err := q.git.PushReflog(failedRef, []gitops.LogLine{{New: c.task.Rev, Message: "commit: " + c.task.note().String()}}); err != nil {
				return err
			}
		}
	}
	return q.finish(c, code, infoFailed, func(info *runInfo) { info.ResultHash, info.ResultRef = nil, nil })
}

// finish writes DVC's files about a run that has ended: the result file, which
// makes the task done, comes after what it is judged by.
func (q *Queue) finish(c *claim, code int, status infoStatus, set func(*runInfo)) error {
	l, t := q.layout, c.task
	info := q.newInfo(t, "")
	if _, err := readJSON(l.info(t.Rev), &info); err != nil {
		info = q.newInfo(t, "")
	}
	info.Status = status
	set(&info)
	if err := writeJSON(l.info(t.Rev), info, fsx.Flushed); err != nil {
		return err
	}
	var proc processInfo
	if ok, err := readJSON(l.process(t.Rev), &proc); err == nil && ok {
		proc.ReturnCode = &code
		if err := writeJSON(l.process(t.Rev), proc, fsx.Fast); err != nil {
			return err
		}
	}
	if err := l.writeRecord(t.ID, t.record, fsx.Flushed); err != nil {
		return err
	}
	result := taskResult{Status: "SUCCESS", Children: []any{}, DateDone: q.now().UTC().Format("2006-01-02T15:04:05.000000-07:00"), TaskID: t.ID}
	if err := writeJSON(l.result(t.ID), result, fsx.Flushed); err != nil {
		return err
	}
	if err := q.dropFrom(stashRef, t.Rev); err != nil {
		return err
	}
	return removeFile(l.cancelFile(t.ID))
}
