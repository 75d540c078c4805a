package gitops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// LinkSpec says what a new linked work tree holds.
type LinkSpec struct {
	Dir    string // where it will be; absolute; must not exist, or be an empty folder
	Commit string // whose files it has
	Branch string // full name of the ref that its HEAD is; "" for a detached HEAD at Commit
	// ID names the folder below .git/worktrees; [A-Za-z0-9-] only. It must not
	// be taken.
	ID string
}

// NewWorkTree is a linked work tree that is not in its place yet. It is being
// made in Dir, beside the place; Publish puts it there in one step. A process
// that dies before leaves a hidden folder and an entry that the next Link of
// the repository removes, as far as nobody works in it.
type NewWorkTree struct {
	Dir   string // of the files, for now
	place string
	admin string // its folder below .git/worktrees
	lock  *fsx.FileLock
}

const (
	linkedMark = "ctrx-building"       // in the folder below .git/worktrees; its lock is held while the work tree is made
	linkLock   = "ctrx-worktrees.lock" // in the repository's folder: see begin
	linkPrefix = "ctrx-"
	linkWait   = time.Minute
)

// Link makes a linked work tree, as `git worktree add` does, beside the place
// where Publish will put it.
func (r *Repo) Link(ctx context.Context, spec LinkSpec) (*NewWorkTree, error) {
	if err := CheckFree(spec.Dir); err != nil {
		return nil, err
	}
	w, err := r.link(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("make a work tree in %s: %w", spec.Dir, err)
	}
	return w, nil
}

// CheckFree refuses a folder for a new work tree that holds something.
func CheckFree(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && len(entries) == 0:
		return nil
	case err == nil:
		return errs.Hint(errs.New(errs.Conflict, "%s is there already and not empty", dir), "name another folder: --worktree DIR")
	}
	if info, statErr := os.Lstat(dir); statErr == nil && !info.IsDir() {
		return errs.Hint(errs.New(errs.Conflict, "%s is there already and no folder", dir), "name another folder: --worktree DIR")
	}
	return err
}

func (r *Repo) link(ctx context.Context, spec LinkSpec) (w *NewWorkTree, err error) {
	tree, err := r.Tree(spec.Commit)
	if err != nil {
		return nil, err
	}
	files, err := tree.files()
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(spec.Dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return nil, fsx.FullDisk(err)
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return nil, err
	}
	w = &NewWorkTree{
		place: filepath.Join(parent, filepath.Base(spec.Dir)), admin: filepath.Join(r.commonDir, "worktrees", linkPrefix+spec.ID),
	}
	w.Dir = filepath.Join(parent, "."+filepath.Base(spec.Dir)+"."+linkPrefix+spec.ID)
	if err := os.MkdirAll(filepath.Dir(w.admin), 0o777); err != nil {
		return nil, fsx.FullDisk(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Discard())
		}
	}()
	if err := r.begin(ctx, w); err != nil {
		return w, err
	}
	if err := os.Mkdir(w.Dir, 0o777); err != nil {
		return w, fsx.FullDisk(err)
	}
	if err := w.writeAdmin(tree.commit, spec.Branch); err != nil {
		return w, err
	}
	copied, err := OpenWith(w.Dir, Options{Env: r.env, Now: r.now})
	if err != nil {
		return w, err
	}
	converted, err := r.converts(ctx)
	if err != nil {
		return w, err
	}
	return w, r.fill(ctx, copied, tree, files, converted)
}

// begin clears away what others left and makes the folder of w, with its lock
// and the place of its files. No other process does either at the same time, so
// a folder without a place is of a process that died.
func (r *Repo) begin(ctx context.Context, w *NewWorkTree) (err error) {
	alone, err := fsx.Lock(ctx, filepath.Join(r.commonDir, linkLock), linkWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.Unlock()) }()
	r.clearUnfinished()
	if err := os.Mkdir(w.admin, 0o777); err != nil {
		w.admin = "" // somebody else's
		return fsx.FullDisk(err)
	}
	if w.lock, err = fsx.Lock(ctx, filepath.Join(w.admin, linkedMark), linkWait); err != nil {
		return err
	}
	return fsx.FullDisk(os.WriteFile(filepath.Join(w.admin, "gitdir"), []byte(filepath.ToSlash(filepath.Join(w.Dir, ".git"))+"\n"), 0o666))
}

// writeAdmin writes what ties the work tree to its repository, for the place
// that it is made in.
func (w *NewWorkTree) writeAdmin(commit, branch string) error {
	head := commit
	if branch != "" {
		head = "ref: " + branch
	}
	for name, text := range map[string]string{
		filepath.Join(w.admin, "commondir"): "../..", filepath.Join(w.admin, "HEAD"): head,
		filepath.Join(w.Dir, ".git"): "gitdir: " + filepath.ToSlash(w.admin),
	} {
		if err := os.WriteFile(name, []byte(text+"\n"), 0o666); err != nil {
			return fsx.FullDisk(err)
		}
	}
	return nil
}

// Publish puts the work tree into its place.
func (w *NewWorkTree) Publish() error {
	next := filepath.Join(w.admin, "gitdir.new")
	if err := os.WriteFile(next, []byte(filepath.ToSlash(filepath.Join(w.place, ".git"))+"\n"), 0o666); err != nil {
		return fsx.FullDisk(err)
	}
	if err := os.Rename(next, filepath.Join(w.admin, "gitdir")); err != nil {
		return err
	}
	if err := CheckFree(w.place); err != nil {
		return err
	}
	if err := os.Remove(w.place); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(w.Dir, w.place); err != nil {
		if taken := CheckFree(w.place); taken != nil { // by another process, just now
			return taken
		}
		return fmt.Errorf("put the work tree into its place: %w", err)
	}
	err := w.lock.Unlock()
	w.lock, w.Dir = nil, w.place
	if rmErr := os.Remove(filepath.Join(w.admin, linkedMark)); !errors.Is(rmErr, fs.ErrNotExist) { // who cleared up may have taken it
		err = errors.Join(err, rmErr)
	}
	return err
}

// Discard removes a work tree that was not published. After Publish it does
// nothing.
func (w *NewWorkTree) Discard() error {
	if w == nil || w.Dir == w.place {
		return nil
	}
	err := errors.Join(os.RemoveAll(w.Dir))
	if w.lock != nil {
		err = errors.Join(err, w.lock.Unlock())
		w.lock = nil
	}
	if w.admin != "" {
		err = errors.Join(err, os.RemoveAll(w.admin))
	}
	return err
}

// clearUnfinished removes what processes that died left of their work trees.
// What cannot be removed stays for the next time. It belongs into begin.
func (r *Repo) clearUnfinished() {
	admins, err := filepath.Glob(filepath.Join(r.commonDir, "worktrees", linkPrefix+"*"))
	if err != nil {
		return
	}
	for _, admin := range admins {
		mark := filepath.Join(admin, linkedMark)
		if _, err := os.Lstat(mark); err != nil {
			_ = os.Remove(admin) // nothing is in it where its process died at once
			continue
		}
		lock, err := fsx.TryLock(mark)
		if err != nil {
			continue // somebody works in it
		}
		r.clearOne(admin)
		_ = lock.Unlock()
	}
}

// clearOne removes an unfinished work tree that nobody works in, or takes the
// mark off one that is in its place.
func (r *Repo) clearOne(admin string) {
	data, err := os.ReadFile(filepath.Join(admin, "gitdir"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	dir := filepath.Dir(filepath.FromSlash(strings.TrimSpace(string(data))))
	if !filepath.IsAbs(dir) { // it was being begun, there are no files yet
		_ = os.RemoveAll(admin)
		return
	}
	hidden := dir
	if name := filepath.Base(dir); !strings.HasSuffix(name, "."+filepath.Base(admin)) { // it got as far as Publish
		hidden = filepath.Join(filepath.Dir(dir), "."+name+"."+filepath.Base(admin))
	}
	if _, err := os.Lstat(hidden); err != nil && hidden != dir {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			_ = os.Remove(filepath.Join(admin, linkedMark))
			return
		}
	}
	if os.RemoveAll(hidden) == nil {
		_ = os.RemoveAll(admin)
	}
}
