package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
)

// prefix is the namespace of experiment refs, shared with DVC (dvc-compat 11.1).
const prefix = "refs/exps/"

// Ref is an experiment as Git knows it.
type Ref struct {
	Name     string // "brisk-otter"
	Baseline string // commit that it started from
	Commit   string // tip
	Full     string // refs/exps/ab/cdef.../brisk-otter
}

// RefName gives the full ref of an experiment.
func RefName(baseline, name string) string {
	return prefix + baseline[:2] + "/" + baseline[2:] + "/" + name
}

// Refs lists all experiments of a repository, leaving out the refs that DVC
// keeps for itself in the same namespace.
func Refs(repo *gitops.Repo) ([]Ref, error) {
	all, err := repo.Refs(prefix)
	if err != nil {
		return nil, fmt.Errorf("list experiments: %w", err)
	}
	var found []Ref
	for _, r := range all {
		parts := strings.Split(strings.TrimPrefix(r.Name, prefix), "/")
		if len(parts) != 3 || len(parts[0]) != 2 || len(parts[1]) < 38 {
			continue
		}
		found = append(found, Ref{Name: parts[2], Baseline: parts[0] + parts[1], Commit: r.Commit, Full: r.Name})
	}
	return found, nil
}

// Find resolves what a user calls an experiment: its name, its full ref or its
// commit. A name that several baselines have means the one of HEAD.
func Find(repo *gitops.Repo, name string) (Ref, error) {
	refs, err := Refs(repo)
	if err != nil {
		return Ref{}, err
	}
	matches := slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool {
		return r.Name != name && r.Full != name && !(len(name) >= 7 && strings.HasPrefix(r.Commit, name))
	})
	switch len(matches) {
	case 1:
		return matches[0], nil
	case 0:
		err := errs.New(errs.NotFound, "'%s' is not a valid experiment name", name)
		return Ref{}, errs.Hint(err, "ctrx exp list --all-commits")
	}
	head, err := repo.Head()
	if err != nil {
		return Ref{}, err
	}
	for _, m := range matches {
		if m.Baseline == head.Commit {
			return m, nil
		}
	}
	var full []string
	for _, m := range matches {
		full = append(full, m.Full)
	}
	return Ref{}, errs.Hint(errs.New(errs.Conflict, "'%s' is the name of %d experiments of different baselines", name, len(matches)),
		"name one of: %s", strings.Join(full, ", "))
}

// Resolve gives the commit that a revision or an experiment name means.
func Resolve(repo *gitops.Repo, rev string) (string, error) {
	commit, err := repo.Resolve(rev)
	if err == nil {
		return commit, nil
	}
	if errs.KindOf(err) != errs.NotFound {
		return "", err
	}
	ref, findErr := Find(repo, rev)
	if findErr == nil {
		return ref.Commit, nil
	}
	if errs.KindOf(findErr) == errs.NotFound {
		return "", errs.Hint(errs.New(errs.NotFound, "unknown Git revision or experiment '%s'", rev), "ctrx exp list --all-commits")
	}
	return "", errors.Join(findErr)
}
