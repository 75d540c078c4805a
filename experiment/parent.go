package experiment

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// ParentRun is an MLflow run whose children are the runs of several
// experiments: MLflow's UI shows them nested. With tracking off its methods do
// nothing.
type ParentRun struct {
	client  *tracking.Client
	run     *tracking.Run
	options TrackOptions
}

// parentTag is the tag by which MLflow nests runs.
const parentTag = "mlflow.parentRunId"

// ParentSpec describes a parent run.
type ParentSpec struct {
	Name  string
	ID    string // of one that was begun before, to go on with; "" begins one
	Entry string // "exp sweep"
	Tags  []tracking.Tag
	// Shared is a parent that no process owns: several go on with it, one after
	// the other. It is let go by Leave, and ended by Finish.
	Shared bool
}

// StartParent begins a parent run, or goes on with one. Where the server no
// longer has that, another begins.
func StartParent(ctx context.Context, p *pipeline.Project, o TrackOptions, spec ParentSpec) (*ParentRun, error) {
	if o.Off {
		return &ParentRun{options: o}, nil
	}
	client, err := tracking.Open(ctx, o.Config)
	if err != nil {
		return nil, fmt.Errorf("open tracking: %w", err)
	}
	r := &ParentRun{client: client, options: o}
	if err = hideStore(p, client); err == nil && spec.ID != "" {
		err = r.goOn(ctx, spec.ID, true)
		if kind := errs.KindOf(err); err != nil && (kind == errs.NotFound || kind == errs.Unreachable) {
			p.Warn("the parent run in MLflow cannot go on, and another begins: %v", err)
			err = nil
		}
	}
	if err == nil && r.run == nil {
		r.run, err = client.StartRun(ctx, tracking.RunSpec{
			Name: spec.Name, User: o.User, Tags: append(o.startTags(spec.Entry), spec.Tags...), StartTime: o.Config.Now(), Shared: spec.Shared,
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the parent run in MLflow: %w", err), client.Close())
	}
	return r, nil
}

// GoOnWithParent opens a parent run that was begun before; reopen makes one run
// again that had its end. One that the server does not have is errs.NotFound.
func GoOnWithParent(ctx context.Context, o TrackOptions, id string, reopen bool) (*ParentRun, error) {
	client, err := tracking.Open(ctx, o.Config)
	if err != nil {
		return nil, fmt.Errorf("open tracking: %w", err)
	}
	r := &ParentRun{client: client, options: o}
	if err := r.goOn(ctx, id, reopen); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return r, nil
}

// goOn takes up a run by its id, or by the key that it was known by while it was
// in the spool.
func (r *ParentRun) goOn(ctx context.Context, id string, reopen bool) error {
	run, err := r.client.ContinueRun(ctx, id)
	if errs.KindOf(err) == errs.NotFound {
		var keyErr error
		if id, keyErr = r.client.RunByKey(ctx, id); keyErr == nil {
			run, err = r.client.ContinueRun(ctx, id)
		}
	}
	if err != nil {
		return err
	}
	r.run = run
	if !reopen {
		return nil
	}
	return run.Reopen(ctx)
}

// ID is the id of the run, or its key while it is only in the spool: then it
// gets its id, also where children name it, when it is sent. "" with tracking
// off.
func (r *ParentRun) ID() string {
	if r.client == nil {
		return ""
	}
	return r.run.ID()
}

// Best looks for the best finished child: that with the best last value of one
// of the metrics keys, the first of them that it has. ok is false where no child
// has any.
func (r *ParentRun) Best(ctx context.Context, keys []string, smaller bool) (best tracking.RunRecord, m tracking.Metric, ok bool, err error) {
	q := tracking.RunQuery{Experiments: []string{r.run.ExperimentID()}, Filter: fmt.Sprintf("tags.`%s` = '%s' and attributes.status = 'FINISHED'", parentTag, r.ID())}
	for {
		page, err := r.client.SearchRuns(ctx, q)
		if err != nil {
			return best, m, false, err
		}
		for _, run := range page.Runs {
			v, has := metricNamed(run, keys)
			if !has || math.IsNaN(v.Value) {
				continue
			}
			if !ok || smaller && v.Value < m.Value || !smaller && v.Value > m.Value {
				best, m, ok = run, v, true
			}
		}
		if q.Page = page.Next; q.Page == "" {
			return best, m, ok, nil
		}
	}
}

func metricNamed(run tracking.RunRecord, keys []string) (tracking.Metric, bool) {
	for _, key := range keys {
		for _, m := range run.Metrics {
			if m.Key == key {
				return m, true
			}
		}
	}
	return tracking.Metric{}, false
}

// Child gives the tracking options of a child run.
func (r *ParentRun) Child(tags ...tracking.Tag) TrackOptions {
	o := r.options
	if id := r.ID(); id != "" {
		tags = append(tags, tracking.Tag{Key: parentTag, Value: id})
	}
	o.Tags = tags
	return o
}

// Params logs parameters of the parent itself, such as those of the best child.
func (r *ParentRun) Params(ctx context.Context, params []tracking.Param) error {
	if r.client == nil {
		return nil
	}
	return r.run.LogParams(ctx, params)
}

// Leave lets go of a shared parent.
func (r *ParentRun) Leave() error {
	if r.client == nil {
		return nil
	}
	return errors.Join(r.run.Leave(), r.client.Close())
}

// Log sets tags and adds a point to a metric.
func (r *ParentRun) Log(ctx context.Context, tags []tracking.Tag, m tracking.Metric) error {
	if r.client == nil {
		return nil
	}
	return errors.Join(r.run.SetTags(ctx, tags), r.run.LogMetrics(ctx, []tracking.Metric{m}))
}

// Adopt brings the child run of an experiment to its end, whose process ended
// before it had done so, and gives its id: "" where there is none.
func (r *ParentRun) Adopt(ctx context.Context, ref, commit string, metrics []tracking.Metric) (string, error) {
	if r.ID() == "" {
		return "", nil
	}
	page, err := r.client.SearchRuns(ctx, tracking.RunQuery{
		Experiments: []string{r.run.ExperimentID()}, Filter: fmt.Sprintf("tags.`ctrx.experiment.ref` = '%s'", ref), Max: 1,
	})
	if err != nil || len(page.Runs) == 0 {
		return "", err
	}
	child := page.Runs[0]
	if child.Status != tracking.Running {
		return child.ID, nil
	}
	run, err := r.client.ContinueRun(ctx, child.ID)
	if err != nil {
		return child.ID, err
	}
	return child.ID, errors.Join(
		run.SetTags(ctx, []tracking.Tag{{Key: "ctrx.experiment.commit", Value: commit}}),
		run.LogMetrics(ctx, metrics),
		run.Finish(ctx, tracking.Finished, r.options.Config.Now()),
	)
}

// Finish ends the run.
func (r *ParentRun) Finish(ctx context.Context, status tracking.Status) error {
	if r.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	return errors.Join(r.run.Finish(ctx, status, r.options.Config.Now()), r.client.Close())
}
