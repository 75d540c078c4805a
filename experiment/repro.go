package experiment

import (
	"context"
	"slices"

	"ctrx/pipeline"
)

// ReproOptions is one call of `ctrx repro`.
type ReproOptions struct {
	pipeline.ExecuteOptions
	Tracking TrackOptions
}

// Repro brings the selected stages up to date without making an experiment; as
// an MLflow run where tracking is on.
func Repro(ctx context.Context, p *pipeline.Project, o ReproOptions) (*Outcome, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if o.Pull && !o.NoRunCache && !o.Dry {
		if err := p.PullRunCache(ctx); err != nil {
			return nil, err
		}
	}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	graph, err := pipeline.NewGraph(ix.Stages)
	if err != nil {
		return nil, err
	}
	steps, err := p.Plan(ctx, ix, graph, o.PlanOptions)
	if err != nil {
		return nil, err
	}
	d := runDescription{Entry: "repro", Steps: steps}
	if p.Git != nil && !o.Tracking.Off {
		if d.Head, err = p.Git.Head(); err != nil {
			return nil, err
		}
		if d.Dirty, err = p.Git.Dirty(ctx); err != nil {
			return nil, err
		}
	}
	track, err := startTracking(ctx, p, ix, d, o.Tracking)
	if err != nil {
		return nil, err
	}
	defer track.close(ctx)
	o.Env = append(slices.Clone(o.Env), track.Environ()...)
	o.Observer = track.observer()
	outcome := &Outcome{}
	if o.Dry {
		if outcome.Estimate, err = p.Estimate(graph, steps, o.Jobs); err != nil {
			return nil, err
		}
	}
	outcome.Result, err = p.Execute(ctx, lock, graph, steps, o.ExecuteOptions)
	outcome.Track, err = track.finish(ctx, outcome, err)
	return outcome, err
}
