package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// Selection says which experiments a command means.
type Selection struct {
	All  bool     // of every baseline
	Revs []string // baselines; HEAD when empty and not All
	Num  int      // also this many first parents of each rev, less one; 0 is 1
}

// Group is a baseline with its experiments, sorted by name.
type Group struct {
	Baseline string
	Label    string // branch or tag name, else seven digits of the commit
	Refs     []Ref
}

// List gives the experiments of the selected baselines.
func List(p *pipeline.Project, sel Selection) ([]Group, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	refs, err := Refs(repo)
	if err != nil {
		return nil, err
	}
	baselines, err := sel.baselines(repo, refs)
	if err != nil {
		return nil, err
	}
	labels, err := labelsOf(repo)
	if err != nil {
		return nil, err
	}
	var groups []Group
	for _, b := range baselines {
		g := Group{Baseline: b, Label: b[:7]}
		if l, ok := labels[b]; ok {
			g.Label = l
		}
		for _, r := range refs {
			if r.Baseline == b {
				g.Refs = append(g.Refs, r)
			}
		}
		if len(g.Refs) > 0 {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

func (sel Selection) baselines(repo *gitops.Repo, refs []Ref) ([]string, error) {
	var found []string
	if sel.All {
		for _, r := range refs {
			if !slices.Contains(found, r.Baseline) {
				found = append(found, r.Baseline)
			}
		}
		return found, nil
	}
	revs := sel.Revs
	if len(revs) == 0 {
		revs = []string{"HEAD"}
	}
	for _, rev := range revs {
		commit, err := repo.Resolve(rev)
		if err != nil {
			return nil, err
		}
		for n := max(1, sel.Num); n > 0 && commit != ""; n-- {
			if !slices.Contains(found, commit) {
				found = append(found, commit)
			}
			info, err := repo.Commit(commit)
			if err != nil {
				return nil, err
			}
			if commit = ""; len(info.Parents) > 0 {
				commit = info.Parents[0]
			}
		}
	}
	return found, nil
}

// labelsOf names commits by the branches and tags that point to them.
func labelsOf(repo *gitops.Repo) (map[string]string, error) {
	labels := map[string]string{}
	for _, p := range []string{"refs/tags/", "refs/heads/"} { // branches win
		refs, err := repo.Refs(p)
		if err != nil {
			return nil, fmt.Errorf("list branches and tags: %w", err)
		}
		for _, r := range refs {
			labels[r.Commit] = strings.TrimPrefix(r.Name, p)
		}
	}
	head, err := repo.Head()
	if err == nil && head.Branch != "" {
		labels[head.Commit] = head.Branch
	}
	return labels, nil
}

// Remove deletes experiments by name, or those of the selected baselines when
// no name is given; with keep it deletes every experiment of the selection
// except the named ones. It gives the names removed.
func Remove(ctx context.Context, p *pipeline.Project, names []string, sel *Selection, keep bool) ([]string, error) {
	if _, err := p.Repo(); err != nil {
		return nil, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	doomed, err := selectForRemoval(p, names, sel, keep)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, r := range doomed {
		if err := dropMarks(p.Git, r.Commit); err != nil {
			return removed, err
		}
		if err := p.Git.DeleteRef(r.Full, r.Commit); err != nil {
			return removed, fmt.Errorf("remove experiment '%s': %w", r.Name, err)
		}
		removed = append(removed, r.Name)
	}
	return removed, nil
}

func selectForRemoval(p *pipeline.Project, names []string, sel *Selection, keep bool) ([]Ref, error) {
	if len(names) == 0 && sel == nil {
		return nil, errs.Hint(errs.New(errs.Usage, "nothing to remove was named"), "ctrx exp remove NAME, or --all-commits, or --rev REV")
	}
	var named []Ref
	for _, n := range names {
		r, err := Find(p.Git, n)
		if err != nil {
			return nil, err
		}
		named = append(named, r)
	}
	if !keep && sel == nil {
		return named, nil
	}
	if sel == nil {
		sel = &Selection{All: true}
	}
	groups, err := List(p, *sel)
	if err != nil {
		return nil, err
	}
	selected := named[:len(named):len(named)]
	if keep {
		selected = nil
	}
	for _, g := range groups {
		for _, r := range g.Refs {
			if !slices.Contains(named, r) {
				selected = append(selected, r)
			}
		}
	}
	return selected, nil
}

// dropMarks removes DVC's marks that point to a commit that is going away.
func dropMarks(repo *gitops.Repo, commit string) error {
	marked, _, err := repo.Ref(appliedRef)
	if err != nil || marked != commit {
		return err
	}
	return repo.DeleteRef(appliedRef, commit)
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
