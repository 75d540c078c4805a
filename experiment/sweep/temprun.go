package sweep

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"ctrx/experiment/queue"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
)

// tempRunner runs trials in working copies of their own, in this process. What
// they print goes to the log that the queue keeps of each.
type tempRunner struct {
	home    *pipeline.Project
	options Options
	warned  sync.Map // texts of warnings that were shown: they are often the same for all trials
}

// Run implements Runner. A project that is opened for this trial alone keeps
// trials that run at one time apart.
func (r *tempRunner) Run(ctx context.Context, t TrialSpec) (result Result, err error) {
	err = r.open(ctx, t, func(q *queue.Queue, sink event.Sink) error {
		result, err = r.run(ctx, q, sink, t)
		return err
	})
	return result, err
}

// open opens the project for one trial.
func (r *tempRunner) open(ctx context.Context, t TrialSpec, f func(*queue.Queue, event.Sink) error) error {
	sink := event.Func(func(e event.Event) {
		if e.Type != event.Warn {
			return
		}
		if _, shown := r.warned.LoadOrStore(e.Text, true); !shown {
			r.home.Warn("%s: %s", t.Experiment, e.Text)
		}
	})
	p, err := pipeline.Open(ctx, pipeline.OpenOptions{
		Dir: filepath.Join(r.home.Root, filepath.FromSlash(t.Dir)), Args: r.options.Args, Env: r.options.Env, Sink: sink, Now: r.options.Now,
	})
	if err != nil {
		return err
	}
	q, err := queue.Open(p, r.options.Now)
	if err == nil {
		err = f(q, sink)
	}
	return errors.Join(err, p.Close())
}

func (r *tempRunner) run(ctx context.Context, q *queue.Queue, sink event.Sink, t TrialSpec) (result Result, err error) {
	put := queue.PutOptions{
		ExecuteOptions: pipeline.ExecuteOptions{PlanOptions: pipeline.PlanOptions{Targets: t.Targets}},
		Name:           t.Experiment, SetParams: t.Params, CopyPaths: t.CopyPaths, Rand: t.Rand, Snapshot: t.Snapshot,
	}
	run := queue.RunOptions{
		Args: r.options.Args, Env: r.options.Env, Sink: sink, Stdio: pipeline.Stdio{Out: io.Discard, Err: io.Discard}, Jobs: 1, Tracking: t.Tracking,
	}
	outcome, err := q.RunTemp(ctx, put, run)
	for try := 1; busy(err) && try < busyTries; try++ { // many trials that begin at one time
		if err := pause(ctx, t.Rand); err != nil {
			return result, err
		}
		outcome, err = q.RunTemp(ctx, put, run)
	}
	if outcome != nil { // also a failed run has one
		result.Commit, result.Metrics = outcome.Commit, outcome.Metrics
		if outcome.Track != nil && !outcome.Track.Spooled {
			result.RunID = outcome.Track.RunID
		}
	}
	return result, err
}

// busyTries is how often a trial tries to begin while others hold the lock of
// the repository.
const busyTries = 20

func busy(err error) bool {
	_, locked := errors.AsType[*fsx.LockedError](err)
	return locked
}

func pause(ctx context.Context, r *rand.Rand) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(100+r.IntN(400)) * time.Millisecond):
		return nil
	}
}

// Forget implements Runner: the task of a run that was cut off stays in the
// queue as a lost or failed one.
func (r *tempRunner) Forget(ctx context.Context, t TrialSpec) error {
	return r.open(ctx, t, func(q *queue.Queue, _ event.Sink) error { return q.Forget(ctx, t.Baseline, t.Experiment) })
}
