package sweep

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/interrupt"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

// perform runs the trials with the sweep's MLflow run around them.
func (s *sweeper) perform(ctx context.Context) error {
	if err := s.startParent(ctx); err != nil {
		return err
	}
	err := s.adopt(ctx)
	if err == nil {
		err = s.loop(ctx)
	}
	r := s.report()
	status := tracking.Finished
	switch {
	case ctx.Err() != nil:
		status = tracking.Killed
		err = errors.Join(err, errs.New(errs.KindOf(context.Cause(ctx)), "sweep '%s' was stopped after %d of its trials", s.plan.Name, r.Count(Done)+r.Count(Failed)))
	case err == nil && r.Best() == nil && len(r.Trials) > 0:
		err = errs.New(errs.Failed, "no trial of sweep '%s' came to a value of %s; the last one failed: %s", s.plan.Name, s.metric, lastReason(r.Trials))
	}
	if err != nil && status == tracking.Finished {
		status = tracking.Failed
	}
	if best := r.Best(); best != nil && ctx.Err() == nil {
		if err := s.parent.Params(ctx, s.bestParams(best)); err != nil {
			s.p.Warn("log the parameters of the best trial to MLflow: %v", err)
		}
	}
	if finishErr := s.parent.Finish(ctx, status); finishErr != nil {
		s.p.Warn("the MLflow run of the sweep is incomplete: %v", finishErr)
	}
	if err != nil || s.stopped != "" {
		s.p.Info("Sweep '%s' can go on: ctrx exp sweep --resume %s", s.plan.Name, s.plan.Name)
	}
	return err
}

func lastReason(trials []*Trial) string {
	for i := len(trials) - 1; i >= 0; i-- {
		if trials[i].Reason != "" {
			return trials[i].Reason
		}
	}
	return "it was stopped"
}

// startParent begins the MLflow run that the trials' runs are children of.
func (s *sweeper) startParent(ctx context.Context) error {
	tags := []tracking.Tag{
		{Key: "ctrx.sweep", Value: s.plan.Name}, {Key: "ctrx.sweep.method", Value: s.plan.Method}, {Key: "ctrx.sweep.metric", Value: s.metric.String()},
		{Key: "ctrx.sweep.direction", Value: string(s.plan.Direction)}, {Key: "ctrx.sweep.seed", Value: strconv.FormatUint(s.plan.Seed, 10)},
		{Key: "ctrx.sweep.space", Value: strings.Join(s.plan.Params, "\n")}, {Key: "mlflow.source.git.commit", Value: s.plan.Baseline},
	}
	var err error
	s.parent, err = experiment.StartParent(ctx, s.p, s.o.Tracking, experiment.ParentSpec{Name: s.plan.Name, ID: s.journal.parent, Entry: "exp sweep", Tags: tags})
	if err != nil || s.parent.ID() == s.journal.parent {
		return err
	}
	s.journal.parent = s.parent.ID()
	return s.journal.add(line{Parent: &parent{RunID: s.journal.parent}})
}

// adopt brings the MLflow runs of trials that were taken up to their end.
func (s *sweeper) adopt(ctx context.Context) error {
	for _, t := range s.takenUp {
		var m []tracking.Metric
		if t.Value != nil {
			m = append(m, tracking.Metric{Key: s.metric.key, Value: *t.Value, Time: s.o.Now()})
		}
		id, err := s.parent.Adopt(ctx, experiment.RefName(s.plan.Baseline, t.Experiment), t.Commit, m)
		if err != nil {
			s.p.Warn("the MLflow run of %s is incomplete: %v", t.Experiment, err)
		}
		if t.RunID = id; id != "" {
			if err := s.journal.put(t); err != nil {
				return err
			}
		}
		if s.report().Best() == t {
			s.logBest(ctx, t)
		}
	}
	return nil
}

// ended is a trial that came to an end.
type ended struct {
	trial  *Trial
	result Result
	err    error
	took   time.Duration
}

// loop is the one goroutine that owns the state of the sweep: it begins trials
// while there is room, and settles them as they end. When ctx ends it begins no
// more; a second interruption ends those that run.
func (s *sweeper) loop(ctx context.Context) error {
	// The trials outlive the first Ctrl-C. Where no second one can come, they
	// end with ctx.
	work, cancel := ctx, context.CancelCauseFunc(func(error) {})
	if again := interrupt.Again(ctx); again != nil {
		work, cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	}
	defer cancel(nil)
	l := &trialLoop{sweeper: s, work: work, results: make(chan ended)}
	l.group.SetLimit(max(s.o.Jobs, 1))
	var timeout <-chan time.Time
	if s.o.Timeout > 0 {
		t := time.NewTimer(s.o.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	interrupted, again := ctx.Done(), interrupt.Again(ctx)
	for {
		l.fill(ctx)
		l.progress(l.running == 0)
		if l.running == 0 {
			return errors.Join(l.failure, l.group.Wait())
		}
		select {
		case e := <-l.results:
			l.settle(e)
		case <-timeout:
			l.stop(fmt.Sprintf("the time of %v is over", s.o.Timeout))
		case <-interrupted:
			interrupted = nil
			l.stop("interrupted")
			if again != nil {
				s.p.Warn("no more trials are begun; those under way (%d) go on to their end, and Ctrl-C once more ends them", l.running)
			}
		case <-again:
			again = nil
			cancel(context.Cause(ctx))
		}
	}
}

// trialLoop is the state of loop.
type trialLoop struct {
	*sweeper
	work    context.Context // of trials
	group   errgroup.Group
	results chan ended
	running int
	idle    bool  // there are no more trials to begin
	failure error // that ends the sweep
	since   int   // trials that ended since the best one
}

// stop begins no more trials; the first reason counts.
func (l *trialLoop) stop(why string) {
	l.idle = true
	if l.stopped == "" {
		l.stopped = why
	}
}

// fill begins trials while there is room.
func (l *trialLoop) fill(ctx context.Context) {
	for !l.idle && l.running < max(l.o.Jobs, 1) {
		if ctx.Err() != nil {
			l.stop("interrupted")
			return
		}
		t, again, err := l.next(ctx)
		if again && err == nil {
			err = l.o.Runner.Forget(ctx, l.spec(t))
		}
		if err == nil && t != nil {
			l.begin(t)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			l.stop("interrupted")
		case err != nil:
			l.failure = err
			l.stop("an error")
		case t == nil:
			l.idle = true
		}
	}
}

// next gives the next trial, written down: one that was cut off, or a new one.
// It is nil when there are no more.
func (l *trialLoop) next(ctx context.Context) (t *Trial, again bool, err error) {
	if len(l.again) > 0 {
		t, l.again = l.again[0], l.again[1:]
		return t, true, nil
	}
	number := len(l.journal.trials) + 1
	if l.plan.Trials > 0 && number > l.plan.Trials {
		return nil, false, nil
	}
	set, ok, err := l.optimiser.ask(ctx, number)
	if err != nil || !ok {
		return nil, false, err
	}
	t = &Trial{
		Number: number, Experiment: fmt.Sprintf("%s-%d", l.plan.Name, number), Params: arguments(set), State: Running,
		Began: l.o.Now().UTC().Truncate(time.Millisecond),
	}
	return t, false, l.journal.put(t)
}

// begin starts a trial on a goroutine of its own.
func (l *trialLoop) begin(t *Trial) {
	spec := l.spec(t)
	spec.Tracking = l.parent.Child(tracking.Tag{Key: "ctrx.sweep", Value: l.plan.Name}, tracking.Tag{Key: "ctrx.sweep.trial", Value: strconv.Itoa(t.Number)})
	l.running++
	began := l.o.Now()
	l.group.Go(func() error {
		result, err := l.o.Runner.Run(l.work, spec)
		l.results <- ended{trial: t, result: result, err: err, took: l.o.Now().Sub(began)}
		return nil
	})
}

// settle writes down what became of a trial and tells the optimiser.
func (l *trialLoop) settle(e ended) {
	l.running--
	t := e.trial
	if e.err != nil && l.work.Err() != nil {
		l.p.Info("%s was stopped", t.Experiment)
		return // stays as under way: a resume runs it again
	}
	before := l.report().Best()
	l.judge(t, e.result, e.err)
	t.Seconds = e.took.Round(time.Millisecond).Seconds()
	l.since++
	best := t.State == Done && (before == nil || l.plan.Direction.better(*t.Value, *before.Value))
	if best {
		l.since = 0
	}
	err := l.journal.put(t)
	if err == nil && l.stopped != "interrupted" { // a resume tells the whole history
		err = l.optimiser.tell(l.work, t.Number, t.Value, t.Reason)
	}
	if err != nil {
		l.failure = errors.Join(l.failure, err)
		l.stop("an error")
	}
	l.announce(t, best)
	switch {
	case t.State == Failed && l.o.FailFast && l.failure == nil:
		l.failure = errs.New(errs.Failed, "%s failed: %s", t.Experiment, t.Reason)
		l.stop("a trial failed")
	case l.o.StopAfter > 0 && l.since >= l.o.StopAfter:
		l.stop(fmt.Sprintf("%d trials brought no improvement", l.since))
	}
}

// judge gives a trial its state and value.
func (s *sweeper) judge(t *Trial, r Result, err error) {
	t.Commit, t.RunID, t.Value, t.Reason = r.Commit, r.RunID, nil, ""
	var value float64
	if err == nil {
		value, err = s.metric.value(r.Metrics)
	}
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
		t.State, t.Reason = Failed, first
		return
	}
	t.State, t.Value = Done, &value
}

// announce prints a line about a trial, and takes a new best one to MLflow.
func (l *trialLoop) announce(t *Trial, best bool) {
	of := ""
	if n := l.report().Planned; n > 0 {
		of = "/" + strconv.Itoa(n)
	}
	count := l.report()
	text := fmt.Sprintf("[%d%s] %s: %s", count.Count(Done)+count.Count(Failed), of, t.Experiment, l.verdict(t))
	if best {
		text += " (best)"
	}
	l.p.Info("%s  %s", text, strings.Join(t.Params, " "))
	if best {
		l.logBest(l.work, t)
	}
}

// verdict says what came out of a trial.
func (s *sweeper) verdict(t *Trial) string {
	if t.State == Done {
		return fmt.Sprintf("%s=%s", s.metric.key, strconv.FormatFloat(*t.Value, 'g', 6, 64))
	}
	return "failed: " + t.Reason
}

// logBest tells MLflow's run of the sweep which child is the best now.
func (s *sweeper) logBest(ctx context.Context, t *Trial) {
	tags := []tracking.Tag{{Key: "ctrx.best_run_id", Value: t.RunID}, {Key: "ctrx.best_experiment", Value: t.Experiment}, {Key: "ctrx.best_commit", Value: t.Commit}}
	for _, p := range s.bestParams(t) {
		tags = append(tags, tracking.Tag{Key: "ctrx.best." + p.Key, Value: p.Value})
	}
	// Not the trial's number: the best value is the one of the last step, in
	// whichever order trials end.
	step := s.report().Count(Done) + s.report().Count(Failed)
	m := tracking.Metric{Key: s.metric.key, Value: *t.Value, Step: int64(step), Time: s.o.Now()}
	if err := s.parent.Log(ctx, tags, m); err != nil {
		s.p.Warn("log the best trial to MLflow: %v", err)
	}
}

// bestParams are the parameters of a trial that the sweep chose. While the sweep
// goes on they are tags of its run; in the end they are its parameters, which
// MLflow never changes.
func (s *sweeper) bestParams(t *Trial) []tracking.Param {
	var params []tracking.Param
	for i, arg := range t.Params {
		if a := &s.space.Axes[i]; a.Kind != dvcfile.Fixed {
			_, value, _ := strings.Cut(arg, "=")
			params = append(params, tracking.Param{Key: strings.TrimLeft(a.Name, "+"), Value: value})
		}
	}
	return params
}

// progress shows how many trials have ended.
func (l *trialLoop) progress(final bool) {
	r := l.report()
	l.o.Sink.Send(event.Event{
		Type: event.Progress, Text: "sweep " + l.plan.Name, Done: int64(r.Count(Done) + r.Count(Failed)), Total: int64(r.Planned), Unit: "trials", Final: final,
	})
}
