package queue

import (
	"context"

	"ctrx/internal/errs"
)

// TaskOf gives the stash commit of the task that a name means, "" when none
// does.
func (q *Queue) TaskOf(ctx context.Context, name string) (string, error) {
	found, err := q.Find(ctx, []string{name})
	if errs.KindOf(err) == errs.NotFound {
		return "", nil
	}
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Rev, nil
}

// RemoveTasks takes tasks out of the queue by their stash commits.
func (q *Queue) RemoveTasks(ctx context.Context, revs []string) error {
	_, err := q.Remove(ctx, Selection{Names: revs})
	return err
}

// RemoveQueued takes all waiting tasks out of the queue and gives their names.
func (q *Queue) RemoveQueued(ctx context.Context) ([]string, error) {
	removed, err := q.Remove(ctx, Selection{Queued: true})
	names := make([]string, len(removed))
	for i, t := range removed {
		names[i] = shownName(t)
	}
	return names, err
}
