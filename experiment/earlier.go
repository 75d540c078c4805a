package experiment

import (
	"context"
	"errors"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// earlierRuns is the work on what earlier runs left: spooled ones are sent, and
// those whose processes were killed get their end. It goes on beside a run whose
// server answers, so that nobody has to think of `ctrx tracking sync`.
type earlierRuns struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// settleEarlier begins the work.
func settleEarlier(ctx context.Context, p *pipeline.Project, cfg tracking.Config) *earlierRuns {
	ctx, cancel := context.WithCancel(ctx)
	e := &earlierRuns{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		result, err := tracking.Sync(ctx, cfg)
		if n := len(result.Runs); n > 0 {
			p.Info("Sent %d MLflow run(s) that were kept on disk", n)
		}
		if err != nil && ctx.Err() == nil && !laterWillDo(err) {
			p.Warn("MLflow runs that were kept on disk: %v", err)
		}
	}()
	return e
}

// laterWillDo tells failures that need nobody's attention: another process is
// at it, or the server is away again.
func laterWillDo(err error) bool {
	kind := errs.KindOf(err)
	return kind == errs.Conflict || kind == errs.Unreachable
}

// end waits for the work, or for the end of ctx, which cuts it off: what was
// sent is noted, and the next run goes on from there.
func (e *earlierRuns) end(ctx context.Context) {
	if e == nil {
		return
	}
	defer e.cancel()
	ctx, cancel := context.WithTimeout(ctx, cleanUpTime)
	defer cancel()
	select {
	case <-e.done:
	case <-ctx.Done():
		e.cancel()
		<-e.done
	}
}

// EndDeadRuns gives MLflow runs whose processes were killed their end, for
// commands that write without a run of their own. A server that does not answer
// is left for another time.
func EndDeadRuns(ctx context.Context, p *pipeline.Project, o TrackOptions) error {
	client, err := tracking.Open(ctx, o.Config)
	if err != nil {
		return nil // the command that needs it says so
	}
	_, err = client.Reap(ctx)
	if err != nil && ctx.Err() == nil {
		if !laterWillDo(err) {
			p.Warn("%v", err)
		}
		err = nil
	}
	return errors.Join(err, client.Close())
}
