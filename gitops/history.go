package gitops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// AllCommits lists every commit that HEAD, a branch or a tag leads to, newest
// first. What a shallow clone does not have is left out.
func (r *Repo) AllCommits(ctx context.Context) ([]string, error) {
	head, err := r.Head()
	if err != nil {
		return nil, err
	}
	refs, err := r.Refs("refs/")
	if err != nil {
		return nil, fmt.Errorf("list commits: %w", err)
	}
	starts := []string{head.Commit}
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, "refs/heads/") || strings.HasPrefix(ref.Name, "refs/tags/") {
			starts = append(starts, ref.Commit)
		}
	}
	seen := map[plumbing.Hash]bool{}
	var all []string
	for _, start := range starts {
		if start == "" {
			continue
		}
		c, err := r.commitObject(start)
		if err != nil {
			return nil, err
		}
		if all, err = collectHistory(ctx, c, seen, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func collectHistory(ctx context.Context, start *object.Commit, seen map[plumbing.Hash]bool, all []string) ([]string, error) {
	if seen[start.Hash] {
		return all, nil
	}
	commits := object.NewCommitIterCTime(start, seen, nil)
	defer commits.Close()
	for {
		c, err := commits.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, plumbing.ErrObjectNotFound):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("list commits: %w", err)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		seen[c.Hash] = true
		all = append(all, c.Hash.String())
	}
}
