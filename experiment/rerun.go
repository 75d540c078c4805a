package experiment

import (
	"context"
	"fmt"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// RerunTag names the run that a run repeats.
const RerunTag = "ctrx.rerun_of"

// RerunOptions is one call of `ctrx runs rerun`, as far as it is about the run
// that is repeated.
type RerunOptions struct {
	Run          tracking.RunRecord
	AllowMissing bool
	Remote       string
	Jobs         int
	Now          time.Time
}

// PrepareRerun brings the code of a run here and its data into the cache. It
// gives a commit with the files that the run saw, on top of its baseline, that
// the queue can start an experiment from.
func PrepareRerun(ctx context.Context, p *pipeline.Project, client *tracking.Client, o RerunOptions) (snapshot string, warnings []string, err error) {
	code, err := CodeOf(ctx, p, client, o.Run, o.AllowMissing)
	if err != nil {
		return "", nil, err
	}
	src, err := p.Commit(code.Commit)
	if err != nil {
		return "", nil, err
	}
	done := RunRestored{Warnings: code.Warnings}
	checkout := RunCheckoutOptions{Run: o.Run, AllowMissing: o.AllowMissing, Remote: o.Remote, Jobs: o.Jobs}
	if err := checkout.fetch(ctx, p, src, code.Commit, &done); err != nil {
		return "", nil, err
	}
	info, err := p.Git.Commit(code.Commit)
	if err != nil {
		return "", nil, err
	}
	baseline := code.Baseline
	if baseline == "" || !p.Git.Has(baseline) {
		if len(info.Parents) == 0 {
			return "", nil, errs.New(errs.CommitGone, "run %s: the commit that it started from is not here", o.Run.ID)
		}
		baseline = info.Parents[0]
	}
	by := p.Git.Identity(ctx)
	by.When = o.Now
	snapshot, err = p.Git.CommitTree(info.Tree, gitops.CommitSpec{Parent: baseline, Message: fmt.Sprintf("ctrx: what run %s saw, to be run again", o.Run.ID), Author: by})
	return snapshot, done.Warnings, err
}
