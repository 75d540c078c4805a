package queue

import (
	"path/filepath"
	"regexp"
)

// Refs that DVC keeps the queue in.
const (
	stashRef  = "refs/exps/celery/stash"
	failedRef = "refs/exps/celery/failed"
)

// layout is where the files of a project's queue are.
type layout struct{ tmp string } // .dvc/tmp

func (l layout) exps() string       { return filepath.Join(l.tmp, "exps") }
func (l layout) celery() string     { return filepath.Join(l.exps(), "celery") }
func (l layout) waiting() string    { return filepath.Join(l.celery(), "broker", "in") }
func (l layout) taken() string      { return filepath.Join(l.celery(), "broker", "processed") }
func (l layout) control() string    { return filepath.Join(l.celery(), "broker", "control") }
func (l layout) results() string    { return filepath.Join(l.celery(), "result") }
func (l layout) own() string        { return filepath.Join(l.tmp, "ctrx", "queue") }
func (l layout) tasks() string      { return filepath.Join(l.own(), "tasks") }
func (l layout) slots() string      { return filepath.Join(l.own(), "slots") }
func (l layout) pausedFile() string { return filepath.Join(l.own(), "paused") }

// result is the file that says that a task is done.
func (l layout) result(id string) string {
	return filepath.Join(l.results(), "celery-task-meta-"+id)
}

// run is the folder of what one run left: its log and DVC's files about it.
func (l layout) run(rev string) string { return filepath.Join(l.exps(), "run", rev) }

func (l layout) info(rev string) string    { return filepath.Join(l.run(rev), rev+".run") }
func (l layout) process(rev string) string { return filepath.Join(l.run(rev), rev+".json") }
func (l layout) pid(rev string) string     { return filepath.Join(l.run(rev), rev+".pid") }
func (l layout) log(rev string) string     { return filepath.Join(l.run(rev), rev+".out") }
func (l layout) record(id string) string   { return filepath.Join(l.tasks(), id+".json") }
func (l layout) lease(id string) string    { return filepath.Join(l.tasks(), id+".lease") }

// validID tells whether a task id may be part of a file name.
func validID(id string) bool { return regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`).MatchString(id) }
