package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// SaveOptions is one call of `ctrx exp save`.
type SaveOptions struct {
	Name      string
	Message   string   // of the commit; "" is DVC's own
	Targets   []string // stages and data to record; all where empty
	Recursive bool     // targets are folders
	Overwrite bool     // an experiment of this name may be replaced
	Untracked []string // paths to keep although Git does not know them
	Now       func() time.Time
	Rand      *rand.Rand // chooses a name where none is given
	Tracking  TrackOptions
}

// Save keeps the work tree as an experiment: stages and data are recorded as
// they stand, without running anything, and the result becomes a commit below
// HEAD's. HEAD, the branch and the index stay as they are.
func Save(ctx context.Context, p *pipeline.Project, o SaveOptions) (*Outcome, error) {
	if _, err := p.Repo(); err != nil {
		return nil, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	release, err := p.LockExperiments(ctx, "workspace")
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := prepare(ctx, p, "save", RunOptions{Name: o.Name, Message: o.Message, Overwrite: o.Overwrite, Now: o.Now, Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	entries, err := p.RecordLocked(ctx, pipeline.RecordOptions{Targets: o.Targets, Recursive: o.Recursive, Force: true, NoRelink: true})
	if err != nil {
		return nil, err
	}
	r.outcome.Result = &pipeline.Result{Entries: entries}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	steps := make([]pipeline.Step, len(ix.Stages))
	for i, s := range ix.Stages {
		steps[i] = pipeline.Step{Stage: s}
	}
	for _, name := range o.Untracked {
		rel, err := p.Rel(name)
		if err != nil {
			return nil, err
		}
		if path.IsAbs(rel) || strings.HasPrefix(rel, "../") {
			return nil, errs.New(errs.Usage, "'%s' lies outside of the project %s", name, p.Root)
		}
		r.extra = append(r.extra, p.GitPath(rel))
	}
	if err := r.publish(ctx, ix, nil, steps); err != nil {
		return nil, err
	}
	if err := r.trackSaved(ctx, ix, steps, o.Tracking); err != nil {
		return r.outcome, err
	}
	if err := r.tellLeftOut(ctx); err != nil {
		return r.outcome, err
	}
	if remote, auto := autoPush(p); auto {
		return r.outcome, r.autoPush(ctx, remote)
	}
	return r.outcome, nil
}

// trackSaved records what was saved as an MLflow run, whose stages were not run.
func (r *run) trackSaved(ctx context.Context, ix *pipeline.Index, steps []pipeline.Step, o TrackOptions) error {
	d := r.description()
	d.Entry, d.Steps, d.Ended = "exp save", steps, true
	track, err := startTracking(ctx, r.project, ix, d, o)
	if err != nil {
		return fmt.Errorf("experiment '%s' is saved: %w", r.outcome.Name, err)
	}
	defer track.close(ctx)
	if r.outcome.Track, err = track.finish(ctx, r.outcome, nil); err != nil {
		return fmt.Errorf("experiment '%s' is saved: %w", r.outcome.Name, err)
	}
	return nil
}

// tellLeftOut warns of untracked files that the experiment does not hold.
func (r *run) tellLeftOut(ctx context.Context) error {
	left, err := r.project.Git.Untracked(ctx)
	if err != nil {
		return fmt.Errorf("look for untracked files: %w", err)
	}
	tree, err := r.project.Git.Tree(r.outcome.Commit)
	if err != nil {
		return err
	}
	left = slices.DeleteFunc(left, func(name string) bool {
		_, err := tree.Stat(name)
		return err == nil
	})
	if len(left) > 0 {
		r.project.Warn("The following untracked files were present in the workspace before saving but will not be included in the experiment commit:\n\t%s",
			strings.Join(left, ", "))
	}
	return nil
}
