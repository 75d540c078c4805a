package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Revisions selects commits besides the work tree.
type Revisions struct {
	AllBranches bool
	AllTags     bool
	AllCommits  bool
	Commits     []string // these instead of the work tree, by hash
}

// Any tells whether a revision is selected.
func (r Revisions) Any() bool { return r.AllBranches || r.AllTags || r.AllCommits }

// NamedSource is a source with the name that a listing gives it.
type NamedSource struct {
	Name   string // "workspace"; branches and tags joined by commas; or a commit. "" when the work tree is the only one
	Commit string // "" for the work tree
	Source Source
}

// Sources gives the work tree and the selected commits, each commit once.
func (p *Project) Sources(ctx context.Context, r Revisions) ([]NamedSource, error) {
	if len(r.Commits) > 0 {
		return p.commitSources(r.Commits)
	}
	work := p.WorkTree()
	if p.Git == nil || !r.Any() {
		return []NamedSource{{Source: work}}, nil
	}
	commits, names, err := p.namedCommits(ctx, r)
	if err != nil {
		return nil, err
	}
	all := []NamedSource{{Name: "workspace", Source: work}}
	for _, c := range commits {
		src, err := p.Commit(c)
		if err != nil {
			return nil, err
		}
		name := strings.Join(names[c], ",")
		if name == "" {
			name = c
		}
		all = append(all, NamedSource{Name: name, Commit: c, Source: src})
	}
	return all, nil
}

func (p *Project) commitSources(commits []string) ([]NamedSource, error) {
	all := make([]NamedSource, len(commits))
	for i, c := range commits {
		src, err := p.Commit(c)
		if err != nil {
			return nil, err
		}
		all[i] = NamedSource{Name: c, Commit: c, Source: src}
	}
	return all, nil
}

// namedCommits lists the selected commits with the branches and tags on them.
func (p *Project) namedCommits(ctx context.Context, r Revisions) ([]string, map[string][]string, error) {
	var commits []string
	names := map[string][]string{}
	for _, kind := range []struct {
		wanted bool
		prefix string
	}{{r.AllBranches, "refs/heads/"}, {r.AllTags, "refs/tags/"}} {
		if !kind.wanted {
			continue
		}
		refs, err := p.Git.Refs(kind.prefix)
		if err != nil {
			return nil, nil, fmt.Errorf("list revisions: %w", err)
		}
		for _, ref := range refs {
			if !slices.Contains(commits, ref.Commit) {
				commits = append(commits, ref.Commit)
			}
			names[ref.Commit] = append(names[ref.Commit], strings.TrimPrefix(ref.Name, kind.prefix))
		}
	}
	if r.AllCommits {
		history, err := p.Git.AllCommits(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range history {
			if !slices.Contains(commits, c) {
				commits = append(commits, c)
			}
		}
	}
	return commits, names, nil
}
