package experiment

import (
	"context"
	"fmt"
	"slices"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// Selection says which experiments a command means.
type Selection struct {
	All  bool     // of every baseline
	Revs []string // baselines; HEAD when empty and not All
	Num  int      // so many first parents of each rev, itself included; negative for all
}

// Group is a baseline with its experiments, sorted by name.
type Group struct {
	Baseline string
	Label    string // branch or tag name, else seven digits of the commit
	Refs     []Ref
}

// List gives the experiments of the selected baselines, in the order of their
// refs. With a Git remote, a name or URL, they are those of its repository.
func List(ctx context.Context, p *pipeline.Project, sel Selection, remote string) ([]Group, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	refs, err := refsOf(ctx, repo, remote)
	if err != nil {
		return nil, err
	}
	if refs, err = sel.of(ctx, repo, refs); err != nil {
		return nil, err
	}
	labels, err := labelsOf(repo)
	if err != nil {
		return nil, err
	}
	var groups []Group
	for _, r := range refs {
		if n := len(groups); n == 0 || groups[n-1].Baseline != r.Baseline {
			g := Group{Baseline: r.Baseline, Label: r.Baseline[:7]}
			if l, ok := labels[r.Baseline]; ok {
				g.Label = l
			}
			groups = append(groups, g)
		}
		last := &groups[len(groups)-1]
		last.Refs = append(last.Refs, r)
	}
	return groups, nil
}

// of narrows experiments to those of the selected baselines.
func (sel Selection) of(ctx context.Context, repo *gitops.Repo, refs []Ref) ([]Ref, error) {
	if sel.All {
		return refs, nil
	}
	commits, err := Baselines{Revs: sel.Revs, Num: sel.Num}.commits(ctx, repo)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool { return !slices.Contains(commits, r.Baseline) }), nil
}

// Branch makes a branch of an experiment and gives its name.
func Branch(ctx context.Context, p *pipeline.Project, name, branch string) (string, error) {
	repo, err := p.Repo()
	if err != nil {
		return "", err
	}
	ref, err := Find(repo, name)
	if err != nil {
		return "", err
	}
	if branch == "" {
		branch = ref.Name + "-branch"
	}
	full := "refs/heads/" + branch
	if err := gitops.CheckRefName(full); err != nil {
		return "", errs.New(errs.Usage, "'%s' is not a valid branch name", branch)
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	if err := repo.SetRef(full, ref.Commit, "", fmt.Sprintf("dvc: Created from experiment '%s'", ref.Name)); err != nil {
		if errs.KindOf(err) == errs.Conflict {
			return "", errs.Hint(errs.New(errs.Conflict, "branch '%s' exists already", branch), "choose another name: ctrx exp branch %s NAME", name)
		}
		return "", err
	}
	return branch, nil
}
