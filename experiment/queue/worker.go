package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// StartOptions say how workers are started.
type StartOptions struct {
	Jobs        int      // as many workers as shall be at work, those that are already included
	Program     []string // this program, found anew by the workers
	Env         []string
	MaxAttempts int      // how often a task is tried whose worker dies
	FailFast    bool     // after a failed run the workers take no other
	GPUs        []string // shared out among the workers
	StageJobs   int      // stages at a time within a run
}

// arguments are the command line of a worker.
func (o StartOptions) arguments(slot int) []string {
	args := []string{"queue", "worker", "--slot", strconv.Itoa(slot), "--max-attempts", strconv.Itoa(o.MaxAttempts)}
	if o.FailFast {
		args = append(args, "--fail-fast")
	}
	if o.StageJobs > 1 {
		args = append(args, "--jobs", strconv.Itoa(o.StageJobs))
	}
	if gpus := share(o.GPUs, slot, o.Jobs); gpus != nil {
		args = append(args, "--gpus", strings.Join(gpus, ","))
	}
	return args
}

// share gives the GPUs of one of n slots: each its part, or where there are
// more slots than GPUs, one that it shares.
func share(gpus []string, slot, n int) []string {
	if len(gpus) == 0 {
		return nil
	}
	i := (slot - 1) % n
	if n >= len(gpus) {
		return []string{gpus[i%len(gpus)]}
	}
	return gpus[i*len(gpus)/n : (i+1)*len(gpus)/n]
}

// Start starts workers, so that Jobs of them are at work, and tells how many
// are new. They live on when this process ends.
func (q *Queue) Start(ctx context.Context, o StartOptions) (int, error) {
	l := q.layout
	for _, dir := range []string{l.waiting(), l.taken(), l.results(), l.tasks(), l.slots()} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return 0, fmt.Errorf("start workers: %w", fsx.FullDisk(err))
		}
	}
	started := 0
	for slot := 1; slot <= max(o.Jobs, 1); slot++ {
		if err := ctx.Err(); err != nil {
			return started, context.Cause(ctx)
		}
		if err := removeFile(l.slotStop(slot)); err != nil { // one that is about to stop goes on
			return started, err
		}
		there, err := q.hasWorker(slot)
		if err != nil {
			return started, err
		}
		if there {
			continue
		}
		if err := q.spawn(slot, o); err != nil {
			return started, fmt.Errorf("start worker %d: %w", slot, err)
		}
		started++
	}
	return started, nil
}

// hasWorker tells whether a slot has a living worker, or one that waits for it.
// A worker waits until it has told of itself, and takes its file away before it
// looks for the last time whether there is work: so one that is counted here
// sees what was queued before the question.
func (q *Queue) hasWorker(slot int) (bool, error) {
	if waits, err := fsx.Held(q.layout.slotWait(slot)); err != nil || waits {
		return waits, err
	}
	held, err := fsx.Held(q.layout.slotLock(slot))
	if err != nil || !held {
		return false, err
	}
	var state slotState
	known, err := readJSON(q.layout.slotInfo(slot), &state)
	return err != nil || known && state.Worker.Alive(), nil
}

// spawn starts a worker and waits until it is there.
func (q *Queue) spawn(slot int, o StartOptions) error {
	log, err := os.OpenFile(q.layout.workerLog(slot), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	args := slices.Concat(o.Program[1:], o.arguments(slot))
	cmd := exec.Command(o.Program[0], args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = q.project.Root, o.Env, log, log
	process.Detach(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-ended: // it may have done all there was to do
			if err != nil {
				err = errs.New(errs.Failed, "it ended at once (%w); see %s", err, q.layout.workerLog(slot))
			}
			return err
		case <-time.After(5 * time.Millisecond):
		}
		if there, err := q.hasWorker(slot); there || err != nil {
			return err
		}
	}
	return errs.New(errs.Failed, "it does not come up; see %s", q.layout.workerLog(slot))
}

// WorkOptions say how one worker works.
type WorkOptions struct {
	Slot        int
	MaxAttempts int
	FailFast    bool
	GPUs        []string
	Program     []string // this program with the arguments that make it run a task
	Env         []string
	Sink        event.Sink
}

// How long a worker waits before it looks again.
const (
	idlePoll = 300 * time.Millisecond
	reapPoll = 5 * time.Second
)

// worker takes one task after the other.
type worker struct {
	*Queue
	o        WorkOptions
	slot     *fsx.FileLock
	done     map[string]bool    // message files of tasks that have ended
	messages map[string]message // by file; a message never changes
	reaped   time.Time
}

// Work is the life of one worker: it takes tasks until nothing waits and
// nothing runs, or until it is asked to stop. Another worker that has the slot
// is no error.
func (q *Queue) Work(ctx context.Context, o WorkOptions) error {
	w := &worker{Queue: q, o: o, done: map[string]bool{}, messages: map[string]message{}}
	if there, err := w.takeSlot(ctx); err != nil || !there {
		return err
	}
	defer w.slot.File().Close()
	for {
		again, err := w.next(ctx)
		if err != nil || !again {
			return errors.Join(err, removeFile(q.layout.slotInfo(o.Slot)))
		}
	}
}

// takeSlot takes the worker's slot and tells of it. It waits for the end of a
// run that outlived the slot's worker, and of a worker that is about to leave.
// It is false when another worker is there, or waits.
func (w *worker) takeSlot(ctx context.Context) (bool, error) {
	var locked *fsx.LockedError
	wait, err := fsx.Lock(ctx, w.layout.slotWait(w.o.Slot), time.Second)
	if errors.As(err, &locked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer wait.File().Close()
	for {
		w.slot, err = fsx.Lock(ctx, w.layout.slotLock(w.o.Slot), 200*time.Millisecond)
		if err == nil {
			if err = w.say(""); err != nil {
				_ = w.slot.File().Close()
			}
			return err == nil, err
		}
		if !errors.As(err, &locked) {
			return false, err
		}
		var state slotState
		if known, err := readJSON(w.layout.slotInfo(w.o.Slot), &state); err != nil || known && state.Worker.Alive() {
			return false, err
		}
	}
}

func (w *worker) say(task string) error {
	return writeJSON(w.layout.slotInfo(w.o.Slot), slotState{Worker: process.Self(), Task: task, GPUs: w.o.GPUs, FailFast: w.o.FailFast}, fsx.Fast)
}

// next takes one task and sees to it. It is false when there is nothing more to
// do.
func (w *worker) next(ctx context.Context) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if _, err := os.Lstat(w.layout.slotStop(w.o.Slot)); err == nil {
		return w.obey()
	}
	working := 0
	if now := w.now(); now.Sub(w.reaped) > reapPoll {
		_, n, err := w.reap(ctx, w.done)
		if err != nil {
			return false, err
		}
		w.reaped, working = now, n
	}
	paused := w.Paused()
	if !paused {
		c, err := w.pick(ctx)
		if err != nil {
			return false, err
		}
		if c != nil {
			return true, w.perform(ctx, c)
		}
		back, n, err := w.reap(ctx, w.done)
		if err != nil {
			return false, err
		}
		if back > 0 {
			return true, nil
		}
		w.reaped, working = w.now(), n
	}
	if !paused && working == 0 {
		names, err := listDir(w.layout.waiting())
		if err != nil {
			return false, err
		}
		if !w.pickable(names) {
			return w.leave()
		}
	}
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-time.After(idlePoll):
	}
	return true, nil
}

// leave ends a worker that sees nothing to do, unless something was queued by
// somebody who still counted on it. It is true when the worker goes on.
func (w *worker) leave() (bool, error) {
	if err := removeFile(w.layout.slotInfo(w.o.Slot)); err != nil {
		return false, err
	}
	names, err := listDir(w.layout.waiting())
	if err != nil || !w.pickable(names) {
		return false, err
	}
	return true, w.say("")
}

// obey ends a worker that was asked to stop, unless that was taken back just
// now. It is true when the worker goes on.
func (w *worker) obey() (bool, error) {
	if err := removeFile(w.layout.slotInfo(w.o.Slot)); err != nil {
		return false, err
	}
	err := os.Remove(w.layout.slotStop(w.o.Slot))
	if errors.Is(err, fs.ErrNotExist) {
		return true, w.say("")
	}
	return false, err
}

// pickable tells whether any waiting message is a task: what dvc's workers say
// to each other is not, nor is what cannot be read.
func (w *worker) pickable(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		_, ok := w.message(n)
		return ok && strings.HasSuffix(n, ".msg")
	})
}

// message reads a waiting message, once.
func (w *worker) message(name string) (message, bool) {
	if m, ok := w.messages[name]; ok {
		return m, m.ID != ""
	}
	data, err := os.ReadFile(w.path(messageFile{name, false}))
	if err != nil || len(data) == 0 {
		return message{}, false // gone, or being written
	}
	m, ok, err := decodeMessage(name, data)
	if err != nil && !json.Valid(data) {
		return message{}, false
	}
	if err != nil {
		w.project.Warn("%v", err)
	}
	w.messages[name] = m
	return m, ok && err == nil
}

// pick claims the task whose turn it is: by priority, then in the order in
// which they were queued. It is nil when there is none.
func (w *worker) pick(ctx context.Context) (*claim, error) {
	names, err := listDir(w.layout.waiting())
	if err != nil || len(names) == 0 {
		return nil, err
	}
	_, order, err := w.log()
	if err != nil {
		return nil, err
	}
	var tasks []Task
	for _, name := range names {
		if !strings.HasSuffix(name, ".msg") {
			continue
		}
		if m, ok := w.message(name); ok {
			tasks = append(tasks, taskOf(m, name))
		}
	}
	slices.SortFunc(tasks, func(a, b Task) int {
		if a.Priority != b.Priority {
			return b.Priority - a.Priority
		}
		return order.compare(a, b)
	})
	for _, t := range tasks {
		c, err := w.take(ctx, t, w.o.Slot, w.o.MaxAttempts)
		if err != nil || c != nil {
			return c, err
		}
	}
	return nil, nil
}

// perform lets the engine run a claimed task and sees to what it left.
func (w *worker) perform(ctx context.Context, c *claim) error {
	defer c.release()
	t := c.task
	if err := w.say(t.ID); err != nil {
		return err
	}
	w.project.Info("%s %s [%s], attempt %d", w.now().Format(time.DateTime), t.Rev[:7], t.Name, c.number)
	engine := &localEngine{
		program: w.o.Program, env: w.o.Env, files: []*os.File{c.lease.File(), w.slot.File()}, now: w.now, running: map[string]*localRun{},
	}
	spec := Spec{
		Run: t.ID, Attempt: c.number, Commit: t.Rev, Source: w.git.CommonDir(), Project: w.project.Root, Message: t.file, Log: w.layout.log(t.Rev),
		Resources: Resources{GPUs: w.o.GPUs},
	}
	h, err := engine.Submit(ctx, spec)
	if err != nil {
		return errors.Join(err, w.fail(c, outcomeFailed, firstLine(err.Error()), -1))
	}
	stop := w.keepBeating(ctx, t.ID)
	defer stop()
	if !engine.wait(ctx, h) { // this worker is told to go
		if err := engine.Cancel(ctx, h, 15*time.Second); err != nil {
			return err
		}
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := w.settle(after, c); err != nil {
		return err
	}
	return w.say("")
}

// settle looks at what an attempt left whose process has ended.
func (w *worker) settle(ctx context.Context, c *claim) error {
	t, ok, err := w.task(messageFile{c.task.file, true})
	if err != nil {
		return err
	}
	switch {
	case !ok || t.State == Queued: // removed, or given back
		return nil
	case t.State == Success:
		w.done[t.file] = true
		return nil
	case t.State == Failed:
		w.done[t.file] = true
		return w.failed()
	}
	c.task = t
	back, err := w.afterDeath(ctx, c)
	if err != nil || back {
		return err
	}
	return w.settleFailure(c)
}

func (w *worker) settleFailure(c *claim) error {
	if c.task.record.Reason == "" {
		return nil
	}
	return w.failed()
}

// failed lets the workers that shall stop at a failure stop.
func (w *worker) failed() error {
	if !w.o.FailFast {
		return nil
	}
	slots, err := w.slotsAtWork()
	if err != nil {
		return err
	}
	for _, s := range slots {
		if s.state.FailFast {
			if err := os.WriteFile(w.layout.slotStop(s.number), nil, 0o666); err != nil {
				return fsx.FullDisk(err)
			}
		}
	}
	return nil
}
