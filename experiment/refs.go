package experiment

import (
	"context"
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
	return experimentsAmong(all), nil
}

// refsOf is Refs of a Git remote, or of the repository itself for "".
func refsOf(ctx context.Context, repo *gitops.Repo, remote string) ([]Ref, error) {
	if remote == "" {
		return Refs(repo)
	}
	all, err := repo.RemoteRefs(ctx, remote, prefix+"*")
	if err != nil {
		return nil, err
	}
	return experimentsAmong(all), nil
}

func experimentsAmong(all []gitops.Ref) []Ref {
	var found []Ref
	for _, r := range all {
		parts := strings.Split(strings.TrimPrefix(r.Name, prefix), "/")
		if len(parts) != 3 || len(parts[0]) != 2 || len(parts[1]) < 38 {
			continue
		}
		found = append(found, Ref{Name: parts[2], Baseline: parts[0] + parts[1], Commit: r.Commit, Full: r.Name})
	}
	return found
}

// Find resolves what a user calls an experiment: its name, its full ref or its
// commit. A name that several baselines have means the one of HEAD.
func Find(repo *gitops.Repo, name string) (Ref, error) {
	refs, err := Refs(repo)
	if err != nil {
		return Ref{}, err
	}
	return findAmong(repo, refs, name)
}

// errNoSuchName is matched where a name may be that of something else.
var errNoSuchName = errors.New("not a valid experiment name")

func findAmong(repo *gitops.Repo, refs []Ref, name string) (Ref, error) {
	matches := slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool {
		return r.Name != name && r.Full != name && !(len(name) >= 7 && strings.HasPrefix(r.Commit, name))
	})
	if named := slices.DeleteFunc(slices.Clone(matches), func(r Ref) bool { return r.Name != name }); len(named) > 0 {
		matches = named // a name goes before what is only like a commit
	}
	switch len(matches) {
	case 1:
		return matches[0], nil
	case 0:
		return Ref{}, errs.Hint(errs.New(errs.NotFound, "'%s' is %w", name, errNoSuchName), "ctrx exp list --all-commits")
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

// findAll finds experiments by name, each once. All names that are none are
// told in one error.
func findAll(repo *gitops.Repo, refs []Ref, names []string) ([]Ref, error) {
	var found []Ref
	var unknown []string
	for _, n := range names {
		r, err := findAmong(repo, refs, n)
		switch {
		case errors.Is(err, errNoSuchName):
			unknown = append(unknown, n)
		case err != nil:
			return nil, err
		case !slices.Contains(found, r):
			found = append(found, r)
		}
	}
	switch len(unknown) {
	case 0:
		return found, nil
	case 1:
		return nil, errs.Hint(errs.New(errs.NotFound, "'%s' is %w", unknown[0], errNoSuchName), "ctrx exp list --all-commits")
	}
	return nil, errs.Hint(errs.New(errs.NotFound, "'%s' are not valid experiment names", strings.Join(unknown, "; ")), "ctrx exp list --all-commits")
}

// firstCommit is the hint for a repository without a commit.
const firstCommit = "git add -A && git commit -m 'first'"

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
		if head, err := repo.Head(); err == nil && head.Commit == "" {
			return "", errs.Hint(errs.New(errs.NotFound, "unknown Git revision '%s': the repository has no commit yet", rev), firstCommit)
		}
		return "", errs.Hint(errs.New(errs.NotFound, "unknown Git revision or experiment '%s'", rev), "ctrx exp list --all-commits")
	}
	return "", errors.Join(findErr)
}
