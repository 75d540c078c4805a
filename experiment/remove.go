package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// TaskQueue is what the commands on experiments need of the queue.
type TaskQueue interface {
	// TaskOf gives the stash commit of the task that a name means, "" when none.
	TaskOf(ctx context.Context, name string) (string, error)
	// RemoveTasks takes tasks out by their stash commits.
	RemoveTasks(ctx context.Context, revs []string) error
	// RemoveQueued takes out all that wait, and gives their names.
	RemoveQueued(ctx context.Context) ([]string, error)
}

// RemoveOptions says which experiments Remove deletes: by name, those of
// baselines, or those that wait in the queue.
type RemoveOptions struct {
	Names  []string // also of tasks of the queue
	By     *Selection
	Queued bool
	Keep   bool   // all of the repository but the named and selected ones
	Remote string // at this Git remote instead of here
	Queue  TaskQueue
}

// check refuses what contradicts itself.
func (o RemoveOptions) check() error {
	switch {
	case o.Keep && o.Queued:
		return errs.New(errs.Usage, "Cannot use both `--keep` and `--queue`.")
	case (len(o.Names) > 0) == (o.By != nil || o.Queued):
		return errs.Hint(errs.New(errs.Usage, "Either provide an `experiment` argument, or use the `--rev` or `--all-commits` or `--queue` flag."),
			"ctrx exp remove NAME, or ctrx exp remove --all-commits, or ctrx exp remove --rev REV")
	}
	return nil
}

// Remove deletes experiments and gives their names.
func Remove(ctx context.Context, p *pipeline.Project, o RemoveOptions) ([]string, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	doomed, tasks, err := o.doomed(ctx, repo)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range doomed {
		names = append(names, r.Name)
	}
	if o.Remote != "" {
		return names, removeThere(ctx, repo, o.Remote, doomed)
	}
	if n, err := removeHere(repo, doomed); err != nil {
		return names[:n], err
	}
	lock.Unlock() // the queue has locks of its own
	if o.Queued {
		queued, err := o.Queue.RemoveQueued(ctx)
		return append(names, queued...), err
	}
	var revs []string
	for name, rev := range tasks {
		revs = append(revs, rev)
		if !slices.ContainsFunc(doomed, func(r Ref) bool { return r.Name == name || r.Full == name || strings.HasPrefix(r.Commit, name) }) {
			names = append(names, name)
		}
	}
	if len(revs) == 0 {
		return names, nil
	}
	return names, o.Queue.RemoveTasks(ctx, revs)
}

// removeThere deletes refs at a Git remote.
func removeThere(ctx context.Context, repo *gitops.Repo, remote string, doomed []Ref) error {
	var changes []gitops.RefChange
	for _, r := range doomed {
		changes = append(changes, gitops.RefChange{Name: r.Full, Old: r.Commit})
	}
	return repo.PushRefs(ctx, remote, changes)
}

// doomed are the experiments to be removed, and the tasks of the queue that are
// named, as stash commits by name.
func (o RemoveOptions) doomed(ctx context.Context, repo *gitops.Repo) ([]Ref, map[string]string, error) {
	all, err := refsOf(ctx, repo, o.Remote)
	if err != nil {
		return nil, nil, err
	}
	tasks := map[string]string{}
	var names []string // of what must be an experiment
	for _, n := range o.Names {
		if o.Remote == "" && !o.Keep {
			rev, err := o.Queue.TaskOf(ctx, n)
			if err != nil {
				return nil, nil, err
			}
			if rev != "" {
				tasks[n] = rev
				if _, err := findAmong(repo, all, n); errors.Is(err, errNoSuchName) {
					continue
				}
			}
		}
		names = append(names, n)
	}
	var chosen []Ref
	if o.By != nil {
		chosen, err = o.By.of(ctx, repo, all)
	} else {
		chosen, err = findAll(repo, all, names)
	}
	if err != nil || !o.Keep {
		return chosen, tasks, err
	}
	return slices.DeleteFunc(all, func(r Ref) bool { return slices.Contains(chosen, r) }), nil, nil
}

// removeHere deletes refs and tells how many it deleted.
func removeHere(repo *gitops.Repo, doomed []Ref) (int, error) {
	for i, r := range doomed {
		if err := dropMarks(repo, r.Commit); err != nil {
			return i, err
		}
		if err := repo.DeleteRef(r.Full, r.Commit); err != nil {
			return i, fmt.Errorf("remove experiment '%s': %w", r.Name, err)
		}
	}
	return len(doomed), nil
}

// dropMarks removes DVC's marks that point to a commit that is going away.
func dropMarks(repo *gitops.Repo, commit string) error {
	marked, _, err := repo.Ref(appliedRef)
	if err != nil || marked != commit {
		return err
	}
	return repo.DeleteRef(appliedRef, commit)
}

// RenameOptions is one call of `ctrx exp rename`.
type RenameOptions struct {
	Old, New string
	Force    bool   // an experiment that has the new name is replaced
	Remote   string // at this Git remote, and here where the experiment is here too
}

// Rename gives an experiment another name. Its commit and what leads to it stay
// as they are.
func Rename(ctx context.Context, p *pipeline.Project, o RenameOptions) error {
	repo, err := p.Repo()
	if err != nil {
		return err
	}
	if err := CheckName(o.New); err != nil {
		return err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if o.Remote != "" {
		if err := o.remote(ctx, repo); err != nil {
			return err
		}
	}
	here, err := Refs(repo)
	if err != nil {
		return err
	}
	old, err := findAmong(repo, here, o.Old)
	if o.Remote != "" && errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil || old.Name == o.New {
		return err
	}
	expected := ""
	if o.Force {
		expected = gitops.AnyValue
	}
	if err := repo.SetRef(RefName(old.Baseline, o.New), old.Commit, expected, "exp rename: "+old.Name); err != nil {
		if errs.KindOf(err) == errs.Conflict && !o.Force {
			return nameTaken(o.New, "rename -f "+o.Old)
		}
		return err
	}
	return repo.DeleteRef(old.Full, old.Commit)
}

// remote renames at the Git remote: both refs change in one push.
func (o RenameOptions) remote(ctx context.Context, repo *gitops.Repo) error {
	there, err := refsOf(ctx, repo, o.Remote)
	if err != nil {
		return err
	}
	old, err := findAmong(repo, there, o.Old)
	if err != nil {
		return errs.New(errs.KindOf(err), "Experiment '%s' does not exist in '%s': %w", o.Old, o.Remote, err)
	}
	full := RefName(old.Baseline, o.New)
	taken := ""
	if i := slices.IndexFunc(there, func(r Ref) bool { return r.Full == full }); i >= 0 {
		if taken = there[i].Commit; !o.Force {
			return nameTaken(o.New, "rename -f "+o.Old)
		}
	}
	if !repo.Has(old.Commit) {
		if err := repo.FetchObjects(ctx, o.Remote, []string{old.Full}); err != nil {
			return err
		}
	}
	return repo.PushRefs(ctx, o.Remote, []gitops.RefChange{{Name: full, New: old.Commit, Old: taken}, {Name: old.Full, Old: old.Commit}})
}

// nameTaken is the error of a name that another experiment of the baseline has.
func nameTaken(name, command string) error {
	return errs.Hint(errs.New(errs.Conflict, "Experiment conflicts with existing experiment '%s'.", name),
		"choose another name, or replace it: ctrx exp %s %s", command, name)
}
