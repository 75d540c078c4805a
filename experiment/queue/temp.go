package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ctrx/experiment"
	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// RunTemp runs an experiment now, in this process, in a working copy of its
// own. Work tree, index, HEAD and stash stay as they are, whatever happens. A
// run that fails is kept in the queue as a failed task, with its log.
func (q *Queue) RunTemp(ctx context.Context, o PutOptions, run RunOptions) (*experiment.Outcome, error) {
	c, err := q.putTaken(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.release()
	log, err := q.openLog(c.task)
	if err != nil {
		return nil, errors.Join(err, q.fail(c, outcomeFailed, firstLine(err.Error()), -1))
	}
	run.Sink = &loggedSink{to: run.Sink, log: log}
	run.Stdio.Out, run.Stdio.Err, run.Stdio.Terminal = io.MultiWriter(run.Stdio.Out, log), io.MultiWriter(run.Stdio.Err, log), false
	run.Explain = func(err error) { fmt.Fprintf(log, "error: %s\n", err) }
	outcome, err := q.run(ctx, c, run)
	if err != nil {
		err = errs.Hint(err, "the failed run is kept: ctrx queue logs %s; again, where it broke: ctrx queue retry %s", c.task.Name, c.task.Name)
	}
	if closeErr := log.Close(); err == nil {
		err = closeErr
	}
	if err == nil { // as with dvc, only failed ones stay
		_, err = q.removeFiles(c.task)
	}
	return outcome, err
}

func (q *Queue) putTaken(ctx context.Context, o PutOptions) (*claim, error) {
	unlock, err := q.lockPut(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := q.prepare(ctx, o, false)
	if err != nil {
		return nil, err
	}
	return q.enqueueTaken(ctx, entries[0], o)
}

// enqueueTaken puts an entry into the queue as one that this process has taken.
func (q *Queue) enqueueTaken(ctx context.Context, e newEntry, o PutOptions) (*claim, error) {
	staging, err := q.makeFolders(o.Rand)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(staging)
	lease, err := q.takeLease(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	if lease == nil {
		return nil, errs.New(errs.Conflict, "task %s is taken", e.ID)
	}
	name := fmt.Sprintf("%d_%s.celery.msg", uptime(q.now()), uuid(o.Rand))
	c := &claim{task: taskOf(e.message, name), lease: lease, number: 1}
	c.task.State, c.task.Executor = Running, InTemp
	c.task.record = &record{Max: 1, Temp: true, Attempts: []attempt{{Worker: process.Self(), Began: q.now().UTC().Truncate(time.Millisecond)}}}
	err = q.layout.writeRecord(e.ID, c.task.record, fsx.Flushed)
	if err == nil {
		err = q.git.PushReflog(stashRef, []gitops.LogLine{{New: e.Entry.Rev, Message: "commit: " + c.task.note().String()}})
	}
	var data []byte
	if err == nil {
		data, err = e.encode(uuid(o.Rand), uuid(o.Rand))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(staging, name), data, 0o666)
	}
	if err == nil {
		err = os.Rename(filepath.Join(staging, name), filepath.Join(q.layout.taken(), name))
	}
	if err != nil {
		c.release()
		return nil, fsx.FullDisk(err)
	}
	return c, nil
}

func (q *Queue) openLog(t Task) (*os.File, error) {
	name := q.layout.log(t.Rev)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, fsx.FullDisk(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o666)
	return f, fsx.FullDisk(err)
}

// loggedSink passes events on and writes their lines into a log.
type loggedSink struct {
	to  event.Sink
	log io.Writer
}

// Send implements event.Sink.
func (s *loggedSink) Send(e event.Event) {
	switch e.Type {
	case event.Info:
		fmt.Fprintln(s.log, e.Text)
	case event.Warn:
		fmt.Fprintln(s.log, "WARNING: "+e.Text)
	}
	s.to.Send(e)
}
