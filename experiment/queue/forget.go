package queue

import (
	"context"
	"slices"
)

// Forget takes out of the queue what runs of this name that were cut off have
// left there: their tasks, and entries in the log of the queue whose process
// was killed before the task was there. A run that is at work is errs.Conflict.
func (q *Queue) Forget(ctx context.Context, baseline, name string) error {
	tasks, err := q.Tasks(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, t := range tasks {
		if t.ID != "" && t.Name == name && t.Baseline == baseline {
			ids = append(ids, t.ID)
		}
	}
	if len(ids) > 0 {
		if _, err := q.Remove(ctx, Selection{Names: ids}); err != nil {
			return err
		}
	}
	lines, err := q.git.Reflog(stashRef)
	if err != nil {
		return err
	}
	var orphans []string
	for _, l := range lines {
		n, ok := parseNote(l.Message)
		known := slices.ContainsFunc(tasks, func(t Task) bool { return t.Rev == l.New && !slices.Contains(ids, t.ID) })
		if ok && n.Name == name && n.Baseline == baseline && !known {
			orphans = append(orphans, l.New)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	return q.dropFrom(stashRef, orphans...)
}
