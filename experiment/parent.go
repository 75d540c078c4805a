package experiment

import (
	"context"
	"errors"
	"fmt"

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

// StartParent begins a parent run. With the id of one that was begun before it
// goes on with that, and begins another where the server no longer has it.
func StartParent(ctx context.Context, p *pipeline.Project, o TrackOptions, name, id string, tags []tracking.Tag) (*ParentRun, error) {
	if o.Off {
		return &ParentRun{options: o}, nil
	}
	client, err := tracking.Open(ctx, o.Config)
	if err != nil {
		return nil, fmt.Errorf("open tracking: %w", err)
	}
	r := &ParentRun{client: client, options: o}
	if err = hideStore(p, client); err == nil && id != "" {
		r.run, err = client.ContinueRun(ctx, id)
		if kind := errs.KindOf(err); err != nil && (kind == errs.NotFound || kind == errs.Unreachable) {
			p.Warn("the sweep's run in MLflow cannot go on, and another begins: %v", err)
			err = nil
		}
	}
	if err == nil && r.run == nil {
		r.run, err = client.StartRun(ctx, tracking.RunSpec{
			Name: name, User: o.User, Tags: append(o.startTags("exp sweep"), tags...), StartTime: o.Config.Now(),
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the MLflow run of the sweep: %w", err), client.Close())
	}
	return r, nil
}

// ID is the id of the run; "" where no server knows it.
func (r *ParentRun) ID() string {
	if r.client == nil || r.run.Spooled() {
		return ""
	}
	return r.run.ID()
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
