package gitops

import (
	"container/heap"
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/errs"
)

// AllCommits lists every commit that HEAD, a branch, a branch of a remote or a
// tag leads to, in the order of `git rev-list`: newest first as far as the
// clocks of the committers tell. What a shallow clone does not have is left
// out.
func (r *Repo) AllCommits(ctx context.Context) ([]string, error) {
	head, err := r.Head()
	if err != nil {
		return nil, err
	}
	refs, err := r.Refs("refs/")
	if err != nil {
		return nil, fmt.Errorf("list commits: %w", err)
	}
	w := historyWalk{repo: r, seen: map[string]bool{}}
	if err := w.add(head.Commit, true); err != nil {
		return nil, err
	}
	for _, kind := range []string{"refs/heads/", "refs/tags/", "refs/remotes/"} {
		for _, ref := range refs {
			if !strings.HasPrefix(ref.Name, kind) {
				continue
			}
			if err := w.add(ref.Commit, kind == "refs/heads/"); err != nil {
				return nil, err
			}
		}
	}
	var all []string
	for w.queue.Len() > 0 {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := heap.Pop(&w.queue).(dated).commit
		all = append(all, c.Hash.String())
		for _, parent := range c.ParentHashes {
			if err := w.add(parent.String(), false); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// historyWalk holds the commits that were found and not listed yet.
type historyWalk struct {
	repo  *Repo
	queue byDate
	seen  map[string]bool
	count int
}

// add queues a commit, once. What a branch names must be there; a parent that
// is missing ends a shallow history, and a tag may be that of a file.
func (w *historyWalk) add(hash string, must bool) error {
	if hash == "" || w.seen[hash] {
		return nil
	}
	w.seen[hash] = true
	c, err := w.repo.commitObject(hash)
	if !must && errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	w.count++
	heap.Push(&w.queue, dated{c, w.count})
	return nil
}

// dated is a commit with its turn among those of one second.
type dated struct {
	commit *object.Commit
	turn   int
}

type byDate []dated

func (b byDate) Len() int { return len(b) }
func (b byDate) Less(i, j int) bool {
	x, y := b[i].commit.Committer.When.Unix(), b[j].commit.Committer.When.Unix()
	return x > y || x == y && b[i].turn < b[j].turn
}
func (b byDate) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b *byDate) Push(x any)   { *b = append(*b, x.(dated)) }
func (b *byDate) Pop() any {
	last := len(*b) - 1
	x := (*b)[last]
	*b = (*b)[:last]
	return x
}
