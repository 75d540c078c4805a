package experiment

import (
	"context"
	"slices"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// Workspace is what users call the work tree where a revision is asked for.
const Workspace = "workspace"

// Source is the tree of files of a revision, an experiment, or the work tree.
func Source(p *pipeline.Project, rev string) (pipeline.Source, error) {
	if rev == Workspace {
		return p.WorkTree(), nil
	}
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	commit, err := Resolve(repo, rev)
	if err != nil {
		return nil, err
	}
	return p.Commit(commit)
}

// PlotRevisions gives the revisions that `plots diff` compares: those named, or
// HEAD where the work tree differs from it; fewer than two are compared with
// the work tree, which comes first. With baseline, a single experiment is
// compared with the commit that it started from. A repository without a commit
// has none.
func PlotRevisions(ctx context.Context, p *pipeline.Project, revs []string, baseline bool) ([]string, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	head, err := repo.Head()
	if err != nil || head.Commit == "" {
		return nil, err
	}
	revs = slices.Clone(revs)
	if baseline {
		if len(revs) != 1 {
			return nil, errs.New(errs.Usage, "-e compares one experiment with its baseline, got %d", len(revs))
		}
		ref, err := Find(repo, revs[0])
		if err != nil {
			return nil, err
		}
		return append(revs, ref.Baseline[:7]), nil
	}
	if len(revs) == 0 {
		dirty, err := repo.Dirty(ctx)
		if err != nil {
			return nil, err
		}
		if dirty {
			revs = append(revs, "HEAD")
		}
	}
	if len(revs) <= 1 || slices.Contains(revs, Workspace) {
		revs = slices.DeleteFunc(revs, func(r string) bool { return r == Workspace })
		revs = append([]string{Workspace}, revs...)
	}
	return revs, nil
}
