package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"ctrx/internal/errs"
)

// LogOptions say which output is wanted.
type LogOptions struct {
	Attempt int  // of this attempt; 0 for the last one
	Follow  bool // go on while the task runs
}

// Logs writes the output of a task's run to w, and with Follow what it goes on
// to write, until it ends.
func (q *Queue) Logs(ctx context.Context, name string, o LogOptions, w io.Writer) error {
	workers := q.anyWorker() // asked first: later there may be none, because the task has ended
	found, err := q.Find(ctx, []string{name})
	if err != nil {
		return err
	}
	t := found[0]
	log := q.layout.log(t.Rev)
	if o.Attempt > 0 && o.Attempt != t.Attempt {
		log = attemptLog(log, o.Attempt)
	} else if t.State == Queued && t.Attempt == 0 && !(o.Follow && workers) {
		return errs.Hint(errs.New(errs.NotFound, "Experiment '%s' is in queue but has not been started", name), "ctrx queue start")
	}
	if t.State == Queued && !workers {
		o.Follow = false // it would be for long
	}
	f, err := os.Open(log)
	if errors.Is(err, fs.ErrNotExist) && !o.Follow {
		err := errs.New(errs.NotFound, "No output logs found for experiment '%s'", name)
		if t.Note != "" {
			err = errs.New(errs.NotFound, "No output logs found for experiment '%s': %s", name, t.Note)
		}
		return err
	}
	if err == nil && !o.Follow {
		_, err = io.Copy(w, f)
		return errors.Join(err, f.Close())
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tail := &tail{name: q.layout.log(t.Rev), to: w}
	defer tail.close()
	_, err = q.follow(ctx, t, tail)
	return err
}

// anyWorker tells whether somebody is there to run what waits.
func (q *Queue) anyWorker() bool {
	slots, err := q.slotsAtWork()
	return err == nil && len(slots) > 0
}

// followPoll is how often a log that is being written is read.
const followPoll = 100 * time.Millisecond

// follow writes a task's output as it comes, from attempt to attempt, until the
// task is done or removed. It gives the task as it ended.
func (q *Queue) follow(ctx context.Context, t Task, tail *tail) (Task, error) {
	for {
		now, ok, err := q.taskNow(t.file)
		if err != nil || !ok {
			return t, err
		}
		ended := now.State == Success || now.State == Failed
		if err := tail.more(); err != nil { // after the question: what was written before the end is shown
			return now, err
		}
		if ended {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, context.Cause(ctx)
		case <-time.After(followPoll):
		}
	}
}

// taskNow reads a task wherever its message is.
func (q *Queue) taskNow(file string) (Task, bool, error) {
	t, ok, err := q.task(messageFile{file, true})
	if err == nil && ok && t.State == Lost {
		t.State = Running // somebody will see to it
	}
	return t, ok, err
}

// tail copies what is added to a file. When another file takes its name, as
// with the next attempt, that is read from its beginning. A name that is gone,
// also while it is being looked at, is waited for.
type tail struct {
	name string
	to   io.Writer
	f    *os.File
}

func (t *tail) more() error {
	for {
		if t.f != nil {
			if _, err := io.Copy(t.to, t.f); err != nil {
				return fmt.Errorf("follow %s: %w", t.name, err)
			}
		}
		there, err := os.Open(t.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		same, err := sameFile(t.f, there)
		if err != nil || same {
			return errors.Join(err, there.Close())
		}
		t.close()
		t.f = there
	}
}

// sameFile tells whether both are one file; a is nil where nothing was read yet.
func sameFile(a, b *os.File) (bool, error) {
	if a == nil {
		return false, nil
	}
	old, err := a.Stat()
	if err != nil {
		return false, err
	}
	now, err := b.Stat()
	return err == nil && os.SameFile(old, now), err
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close()
		t.f = nil
	}
}

// RunAll starts workers, writes the output of all waiting and running tasks to
// w one after the other, and gives them as they ended. Workers that die are
// replaced. What is queued after its return is not begun by the workers of this
// call. When ctx ends, the runs go on.
func (q *Queue) RunAll(ctx context.Context, o StartOptions, w io.Writer) ([]Task, error) {
	tasks, err := q.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	tasks = slices.DeleteFunc(tasks, func(t Task) bool {
		return t.ID == "" || t.State == Success || t.State == Failed || t.Executor == InTemp
	})
	slices.SortStableFunc(tasks, func(a, b Task) int { // those that run come first
		return boolInt(a.State == Queued) - boolInt(b.State == Queued)
	})
	if len(tasks) == 0 {
		return nil, nil
	}
	if _, err := q.Start(ctx, o); err != nil {
		return nil, err
	}
	watch := &watch{Queue: q, o: o}
	for i, t := range tasks {
		if tasks[i], err = watch.await(ctx, t, w); err != nil {
			return tasks, err
		}
		if watch.stopped {
			return tasks, nil
		}
	}
	return tasks, watch.rest(ctx)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// watch sees to it that somebody works while tasks are waited for.
type watch struct {
	*Queue
	o       StartOptions
	stopped bool // the workers ended because of a failure
}

// await follows one task to its end.
func (w *watch) await(ctx context.Context, t Task, to io.Writer) (Task, error) {
	tail := &tail{name: w.layout.log(t.Rev), to: to}
	defer tail.close()
	for {
		limited, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errLook)
		now, err := w.follow(limited, t, tail)
		cancel()
		if !errors.Is(err, errLook) {
			return now, err
		}
		if err := w.ensureWorkers(ctx); err != nil || w.stopped {
			return now, err
		}
	}
}

// restTime bounds how long workers without work are waited for.
const restTime = time.Minute

// rest waits until the workers have seen that nothing is left to do and have
// ended. Where more was queued meanwhile, or the queue is paused, they stay.
func (w *watch) rest(ctx context.Context) error {
	for deadline := w.now().Add(restTime); w.now().Before(deadline) && !w.Paused(); {
		slots, err := w.slotsAtWork()
		if err != nil || len(slots) == 0 {
			return err
		}
		tasks, err := w.Tasks(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(tasks, func(t Task) bool {
			return t.ID != "" && t.Executor != InTemp && t.State != Success && t.State != Failed
		}) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// errLook ends following for a moment.
var errLook = errors.New("time to look after the workers")

func (w *watch) ensureWorkers(ctx context.Context) error {
	slots, err := w.slotsAtWork()
	if err != nil || len(slots) > 0 || w.Paused() {
		return err
	}
	if w.o.FailFast {
		w.stopped = true
		return nil
	}
	_, err = w.Start(ctx, w.o)
	return err
}
