package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// Find gives the tasks that a user names: by name of the experiment, by stash
// commit or the beginning of it, or by task id. With several of one name the
// one queued last is meant. A name that means none is errs.NotFound.
func (q *Queue) Find(ctx context.Context, names []string) ([]Task, error) {
	tasks, err := q.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	var found []Task
	var unknown []string
	for _, name := range names {
		t, ok := match(tasks, name)
		switch {
		case !ok:
			unknown = append(unknown, name)
		case !slices.ContainsFunc(found, func(f Task) bool { return f.ID == t.ID }):
			found = append(found, t)
		}
	}
	if len(unknown) > 0 {
		return nil, errs.Hint(errs.New(errs.NotFound, "'%s' is not a task in the queue", strings.Join(unknown, "', '")), "ctrx queue status")
	}
	return found, nil
}

// match finds a task by its exact name or id, else by the beginning of its
// stash commit.
func match(tasks []Task, name string) (Task, bool) {
	for _, hit := range []func(Task) bool{
		func(t Task) bool { return t.Name == name || t.ID == name },
		func(t Task) bool { return len(name) >= 4 && strings.HasPrefix(t.Rev, strings.ToLower(name)) },
	} {
		best, found := Task{}, false
		for _, t := range tasks {
			if t.ID != "" && name != "" && hit(t) && (!found || !t.Created.Before(best.Created)) {
				best, found = t, true
			}
		}
		if found {
			return best, true
		}
	}
	return Task{}, false
}

// StopResult is what Stop found to stop.
type StopResult struct {
	Workers int
	Killed  []string // names of the runs that were ended
}

// Stop lets the workers end after what they run; with kill their runs are ended
// now.
func (q *Queue) Stop(ctx context.Context, kill bool) (StopResult, error) {
	var r StopResult
	slots, err := q.slotsAtWork()
	if err != nil {
		return r, err
	}
	for _, s := range slots {
		if err := os.WriteFile(q.layout.slotStop(s.number), nil, 0o666); err != nil {
			return r, fsx.FullDisk(err)
		}
		r.Workers++
	}
	if !kill {
		return r, nil
	}
	tasks, err := q.Tasks(ctx)
	if err != nil {
		return r, err
	}
	for _, t := range tasks {
		if t.State != Running || t.Executor != InQueue {
			continue
		}
		if err := q.kill(ctx, t, true); err != nil {
			return r, err
		}
		r.Killed = append(r.Killed, shownName(t))
	}
	return r, nil
}

func shownName(t Task) string {
	if t.Name != "" {
		return t.Name
	}
	return t.Rev[:min(7, len(t.Rev))]
}

// Kill ends running tasks: as Ctrl-C does, or with force at once. It gives the
// tasks that it was asked to end.
func (q *Queue) Kill(ctx context.Context, names []string, force bool) ([]Task, error) {
	found, err := q.Find(ctx, names)
	if err != nil {
		return nil, err
	}
	var idle []string
	for _, t := range found {
		if t.State != Running && t.State != Lost {
			idle = append(idle, fmt.Sprintf("'%s' (%s)", shownName(t), strings.ToLower(string(t.State))))
		}
	}
	if len(idle) > 0 {
		return nil, errs.Hint(errs.New(errs.NotFound, "not running: %s", strings.Join(idle, ", ")), "ctrx queue remove takes waiting and finished ones out")
	}
	for _, t := range found {
		if err := q.kill(ctx, t, force); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// killWait bounds the wait for a killed run to be written down as failed.
const killWait = 20 * time.Second

func (q *Queue) kill(ctx context.Context, t Task, force bool) error {
	if t.State == Lost {
		return q.bury(ctx, t)
	}
	ours := t.record.underWay()
	pid := t.PID
	if ours {
		if err := os.WriteFile(q.layout.cancelFile(t.ID), nil, 0o666); err != nil {
			return fsx.FullDisk(err)
		}
		runner := t.record.last().Runner
		if pid = runner.PID; !runner.Here() || !runner.Alive() {
			pid = 0 // its worker sees the mark
		}
	}
	var err error
	switch {
	case pid == 0 || !process.Alive(pid):
	case force:
		if err = process.Kill(pid); err == nil && ours && !t.record.Temp {
			process.KillSession(pid)
		}
	default:
		err = process.Interrupt(pid)
	}
	if err != nil && process.Alive(pid) {
		return fmt.Errorf("kill '%s' (process %d): %w", shownName(t), pid, err)
	}
	if !ours {
		return nil // dvc's worker writes down what became of it
	}
	return q.awaitEnd(ctx, t, force)
}

// bury ends a task whose process died already.
func (q *Queue) bury(ctx context.Context, t Task) error {
	lease, err := q.takeLease(ctx, t.ID)
	if err != nil || lease == nil {
		return err
	}
	c := &claim{task: t, lease: lease}
	defer c.release()
	if ok, err := q.lookAgain(c); err != nil || !ok {
		return err
	}
	if c.task.record == nil {
		c.task.record = &record{Max: DefaultMaxAttempts}
	}
	q.clearAway(c.task.record)
	return q.fail(c, outcomeCancelled, "killed", -1)
}

// awaitEnd waits until a run that was told to end has, and writes it down where
// nobody else does. A run that ends in order may take longer; its worker sees
// to it.
func (q *Queue) awaitEnd(ctx context.Context, t Task, force bool) error {
	for deadline := time.Now().Add(killWait); time.Now().Before(deadline); {
		now, ok, err := q.task(messageFile{t.file, true})
		if err != nil || !ok || now.State == Failed || now.State == Success || now.State == Queued {
			return err
		}
		if now.State == Lost {
			return q.bury(ctx, now)
		}
		if !force && now.State == Running {
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

// Selection says which tasks Remove takes out.
type Selection struct {
	Names                   []string
	Queued, Failed, Success bool
}

// Remove takes tasks out of the queue that do not run, with their logs, and
// gives them. Experiments that they made stay.
func (q *Queue) Remove(ctx context.Context, sel Selection) ([]Task, error) {
	var doomed []Task
	if len(sel.Names) > 0 {
		found, err := q.Find(ctx, sel.Names)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if t.State == Running {
				return nil, errs.Hint(errs.New(errs.Conflict, "'%s' is running", shownName(t)), "ctrx queue kill %s", shownName(t))
			}
		}
		doomed = found
	}
	if sel.Queued || sel.Failed || sel.Success {
		tasks, err := q.Tasks(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if t.ID != "" && (sel.Queued && t.State == Queued || sel.Failed && (t.State == Failed || t.State == Lost) || sel.Success && t.State == Success) {
				doomed = append(doomed, t)
			}
		}
	}
	var removed []Task
	for _, t := range doomed {
		ok, err := q.remove(ctx, t)
		if err != nil {
			return removed, errors.Join(err, q.dropRevs(removed))
		}
		if ok {
			removed = append(removed, t)
		}
	}
	err := q.dropRevs(removed)
	if sel.Queued && err == nil {
		err = q.dropOrphans()
	}
	return removed, err
}

// remove deletes the files of a task, unless a worker has just taken it.
func (q *Queue) remove(ctx context.Context, t Task) (bool, error) {
	if err := os.MkdirAll(q.layout.tasks(), 0o777); err != nil { // of dvc's tasks there may be no trace here
		return false, fsx.FullDisk(err)
	}
	lease, err := q.leaseOf(ctx, t)
	if err != nil || lease == nil {
		return false, err
	}
	defer lease.Unlock()
	return q.removeFiles(t)
}

// removeFiles is remove for a process that has the task's lease.
func (q *Queue) removeFiles(t Task) (bool, error) {
	taken := t.State != Queued
	if err := os.Remove(q.path(messageFile{t.file, taken})); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // somebody moved it
		}
		return false, fmt.Errorf("remove '%s': %w", shownName(t), err)
	}
	if t.State == Lost && t.record != nil {
		q.clearAway(t.record)
	}
	if err := os.RemoveAll(q.layout.run(t.Rev)); err != nil {
		return false, err
	}
	for _, file := range []string{q.layout.result(t.ID), q.layout.record(t.ID), q.layout.cancelFile(t.ID), q.layout.lease(t.ID)} {
		if err := removeFile(file); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropRevs takes the entries of removed tasks out of the logs of both refs.
func (q *Queue) dropRevs(removed []Task) error {
	var revs []string
	for _, t := range removed {
		revs = append(revs, t.Rev)
	}
	if len(revs) == 0 {
		return nil
	}
	return errors.Join(q.dropFrom(stashRef, revs...), q.dropFrom(failedRef, revs...))
}

// Retry puts failed tasks into the queue again: the named ones, or all. What
// their stages finished is in the run cache, so a retry goes on from there. It
// gives the tasks.
func (q *Queue) Retry(ctx context.Context, names []string) ([]Task, error) {
	var again []Task
	if len(names) > 0 {
		found, err := q.Find(ctx, names)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if t.State != Failed && t.State != Lost {
				return nil, errs.Hint(errs.New(errs.Conflict, "'%s' has not failed: it is %s", shownName(t), strings.ToLower(string(t.State))), "ctrx queue status")
			}
		}
		again = found
	} else {
		tasks, err := q.Tasks(ctx)
		if err != nil {
			return nil, err
		}
		again = slices.DeleteFunc(tasks, func(t Task) bool { return t.State != Failed })
	}
	slices.SortStableFunc(again, func(a, b Task) int { return a.Created.Compare(b.Created) })
	for _, t := range again {
		if err := q.retry(ctx, t); err != nil {
			return nil, fmt.Errorf("retry '%s': %w", shownName(t), err)
		}
	}
	return again, nil
}

func (q *Queue) retry(ctx context.Context, t Task) error {
	if err := os.MkdirAll(q.layout.tasks(), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	lease, err := q.leaseOf(ctx, t)
	if err != nil {
		return err
	}
	if lease == nil {
		return errs.New(errs.Conflict, "another process has it")
	}
	c := &claim{task: t, lease: lease}
	defer c.release()
	now, ok, err := q.task(messageFile{t.file, true})
	switch {
	case err != nil:
		return err
	case !ok || now.State == Success || now.State == Queued:
		return errs.New(errs.Conflict, "another process has changed it")
	}
	c.task = now
	if _, err := q.git.Commit(t.Rev); err != nil {
		return err
	}
	if c.task.record == nil {
		c.task.record = &record{Max: DefaultMaxAttempts}
	}
	q.clearAway(c.task.record)
	c.task.record.end("retried", q.now())
	if a := c.task.record.last(); a != nil && a.Outcome == outcomeLost {
		a.Outcome = "lost, retried" // counted anew
	}
	c.task.record.Temp, c.task.record.Reason = false, ""
	if err := removeFile(q.layout.cancelFile(t.ID)); err != nil {
		return err
	}
	// The result file goes first: with it the task would count as done.
	if err := removeFile(q.layout.result(t.ID)); err != nil {
		return err
	}
	if err := q.giveBack(c); err != nil {
		return err
	}
	return q.dropFrom(failedRef, t.Rev)
}
