package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ctrx/gitops"
)

// Baselines selects the commits that experiments started from.
type Baselines struct {
	Revs        []string // HEAD where nothing is selected
	Num         int      // of each rev and branch: so many commits by first parents; negative for all
	AllBranches bool
	AllTags     bool
	AllCommits  bool
}

// commits gives the selected commits in the order in which DVC lists them,
// each once.
func (b Baselines) commits(ctx context.Context, repo *gitops.Repo) ([]string, error) {
	revs := b.Revs
	if len(revs) == 0 && !b.AllBranches && !b.AllTags && !b.AllCommits {
		revs = []string{"HEAD"}
	}
	found, err := withParents(ctx, repo, revs, b.Num)
	if err != nil {
		return nil, err
	}
	if b.AllCommits {
		all, err := repo.AllCommits(ctx)
		return unique(append(found, all...)), err
	}
	if b.AllBranches {
		branches, err := refNames(repo, "refs/heads/")
		if err != nil {
			return nil, err
		}
		commits, err := withParents(ctx, repo, branches, b.Num)
		if err != nil {
			return nil, err
		}
		found = append(found, commits...)
	}
	if b.AllTags {
		tags, err := refNames(repo, "refs/tags/")
		if err != nil {
			return nil, err
		}
		commits, err := withParents(ctx, repo, tags, 1)
		if err != nil {
			return nil, err
		}
		found = append(found, commits...)
	}
	return unique(found), nil
}

func refNames(repo *gitops.Repo, prefix string) ([]string, error) {
	refs, err := repo.Refs(prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.Name
	}
	return names, nil
}

// withParents gives num commits of each revision: itself and its first
// parents, as far as there are any.
func withParents(ctx context.Context, repo *gitops.Repo, revs []string, num int) ([]string, error) {
	var found []string
	for _, rev := range revs {
		if num == 0 {
			continue
		}
		commit, err := Resolve(repo, rev)
		if err != nil {
			return nil, err
		}
		for n := 1; ; n++ {
			found = append(found, commit)
			if n == num {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			info, err := repo.Commit(commit)
			if err != nil || len(info.Parents) == 0 {
				break
			}
			if commit = info.Parents[0]; !repo.Has(commit) {
				break // a shallow clone ends here
			}
		}
	}
	return found, nil
}

func unique(commits []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(commits, func(c string) bool {
		known := seen[c]
		seen[c] = true
		return known
	})
}

// labelsOf names commits as DVC does: by the current branch, else the first
// tag, else the first branch.
func labelsOf(repo *gitops.Repo) (map[string]string, error) {
	labels := map[string]string{}
	head, err := repo.Head()
	if err != nil {
		return nil, err
	}
	if head.Branch != "" && head.Commit != "" {
		labels[head.Commit] = head.Branch
	}
	for _, prefix := range []string{"refs/tags/", "refs/heads/"} {
		refs, err := repo.Refs(prefix)
		if err != nil {
			return nil, fmt.Errorf("list branches and tags: %w", err)
		}
		for _, r := range refs {
			if _, named := labels[r.Commit]; !named {
				labels[r.Commit] = strings.TrimPrefix(r.Name, prefix)
			}
		}
	}
	return labels, nil
}
