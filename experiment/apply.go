package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// Refs that apply leaves behind: DVC's own mark of what was applied last, and
// what the work tree held before.
const (
	appliedRef = "refs/exps/exec/EXEC_APPLY"
	backupRef  = "refs/ctrx/apply-backup"
)

// Applied says what Apply did.
type Applied struct {
	Commit string
	Backup string // commit with the former work tree; "" when it was clean
}

// Apply makes the work tree what an experiment, or any revision, holds: code,
// parameters and data; of a task of the queue the code and parameters that it
// waits with. HEAD and the branch stay. Uncommitted work is first kept as a
// commit under refs/ctrx/apply-backup.
func Apply(ctx context.Context, p *pipeline.Project, name string, tasks TaskQueue, now time.Time) (Applied, error) {
	repo, err := p.Repo()
	if err != nil {
		return Applied{}, err
	}
	commit, err := Resolve(repo, name)
	if errs.KindOf(err) == errs.NotFound {
		rev, queueErr := tasks.TaskOf(ctx, name)
		if queueErr != nil {
			return Applied{}, queueErr
		}
		if rev != "" {
			commit, err = rev, nil
		}
	}
	if err != nil {
		return Applied{}, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return Applied{}, err
	}
	defer lock.Unlock()
	// A run in the work tree would record what was put there after its start.
	release, err := p.LockExperiments(ctx, "workspace")
	if err != nil {
		return Applied{}, err
	}
	defer release()
	a := Applied{Commit: commit}
	src, err := p.Commit(commit)
	if err == nil {
		err = p.CheckPlaces(ctx, src) // somebody else's experiment, before any of it is here
	}
	if err != nil {
		return a, fmt.Errorf("apply '%s': %w", name, err)
	}
	if a.Backup, err = backup(ctx, p, commit, now); err != nil {
		return a, err
	}
	if err := p.Git.RestoreTree(ctx, commit); err != nil {
		return a, fmt.Errorf("apply '%s': %w", name, err)
	}
	// A queued commit, and one that dvc saved, holds the arguments of its run.
	if err := os.Remove(filepath.Join(p.TmpDir(), "repro.dat")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("apply '%s': %w", name, err)
	}
	done, err := p.CheckoutLocked(ctx, pipeline.CheckoutOptions{Force: true, AllowMissing: true})
	if len(done.Missing) > 0 {
		p.Warn("Code and parameters are in place, but not all data is in the cache. `ctrx pull` may bring it: %s", strings.Join(done.Missing, ", "))
	}
	if err != nil {
		return a, errs.Hint(fmt.Errorf("apply '%s': code and parameters are in place, data is not: %w", name, err), "ctrx pull")
	}
	return a, p.Git.SetRef(appliedRef, commit, gitops.AnyValue, "exp apply "+name)
}

// backup keeps uncommitted work that Apply would overwrite.
func backup(ctx context.Context, p *pipeline.Project, target string, now time.Time) (string, error) {
	untracked, err := untrackedIn(p, target)
	if err != nil {
		return "", err
	}
	dirty, err := p.Git.Dirty(ctx)
	if err != nil || !dirty && len(untracked) == 0 {
		return "", err
	}
	head, err := p.Git.Head()
	if err != nil {
		return "", err
	}
	author := p.Git.Identity(ctx)
	author.When = now
	commit, err := p.Git.WriteCommit(ctx, gitops.CommitSpec{
		Parent: head.Commit, Message: "ctrx: work tree before exp apply", Add: untracked, Author: author,
	})
	if err != nil {
		return "", fmt.Errorf("keep the work tree before applying: %w", err)
	}
	return commit, p.Git.SetRef(backupRef, commit, gitops.AnyValue, "exp apply: backup")
}

// untrackedIn lists the untracked files of the work tree that a commit has a
// file in the place of.
func untrackedIn(p *pipeline.Project, commit string) ([]string, error) {
	tree, err := p.Git.Tree(commit)
	if err != nil {
		return nil, err
	}
	files, err := tree.List(".")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(name string) bool {
		_, err := os.Lstat(filepath.Join(p.Git.Root(), filepath.FromSlash(name)))
		return err != nil || p.Git.Tracked(name)
	}), nil
}
