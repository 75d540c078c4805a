package gitops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/filemode"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// RestoreTree makes the tracked files of the work tree equal to a commit:
// files of the commit are written, tracked files that it lacks are deleted.
// HEAD, branch and index stay, so that git shows the difference as changes of
// the user's. Untracked files are overwritten where the commit has a file of
// that name and left alone otherwise. Whether changes may be lost is for the
// caller to decide beforehand (Dirty).
//
// Files are replaced one by one, each in one step. Nothing is written outside of
// the work tree, through a symbolic link, or into a .git folder.
func (r *Repo) RestoreTree(ctx context.Context, rev string) error {
	t, err := r.Tree(rev)
	if err != nil {
		return err
	}
	if err := r.restore(ctx, t); err != nil {
		return fmt.Errorf("restore the files of %s: %w", rev, err)
	}
	return nil
}

func (r *Repo) restore(ctx context.Context, t *Tree) error {
	target, err := t.files()
	if err != nil {
		return err
	}
	x, err := r.loadIndex(ctx)
	if err != nil {
		return err
	}
	present := map[string]change{}
	err = r.scan(ctx, x, false, func(c change) error {
		present[c.entry.Name] = c
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.removeOthers(present, target); err != nil {
		return err
	}
	root, err := fsx.OpenRoot(r.root)
	if err != nil {
		return err
	}
	defer root.Close()
	converted, err := r.converts(ctx)
	if err != nil {
		return err
	}
	for _, f := range target {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c, ok := present[f.path]; ok && !c.deleted && c.now == f || ok && c.entry.SkipWorktree {
			continue
		}
		if err := r.restoreFile(ctx, root, t, f, converted); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return nil
}

// removeOthers deletes the tracked files that the target lacks, and the
// folders that become empty by that.
func (r *Repo) removeOthers(present map[string]change, target []file) error {
	root, err := fsx.OpenRoot(r.root)
	if err != nil {
		return err
	}
	defer root.Close()
	wanted := make(map[string]bool, len(target))
	for _, f := range target {
		if err := root.Check(filepath.FromSlash(f.path)); err != nil && errs.KindOf(err) == errs.ProjectFile {
			return err // a hostile name: refused before anything is changed
		}
		wanted[f.path] = true
	}
	var gone []string
	for name, c := range present {
		if !wanted[name] && !c.deleted && c.entry.Mode != filemode.Submodule && !c.entry.SkipWorktree {
			gone = append(gone, name)
		}
	}
	// Deepest last names first, so that folders are empty when their turn comes.
	sort.Sort(sort.Reverse(sort.StringSlice(gone)))
	for _, name := range gone {
		if err := root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if root.Remove(filepath.FromSlash(dir)) != nil {
				break // not empty
			}
		}
	}
	return nil
}

func (r *Repo) restoreFile(ctx context.Context, root *fsx.Root, t *Tree, f file, converted bool) error {
	name := filepath.FromSlash(f.path)
	if err := r.makeRoom(root, name); err != nil {
		return err
	}
	switch f.mode {
	case filemode.Submodule:
		return root.MkdirAll(name, 0o777)
	case filemode.Symlink:
		target, err := r.blob(f.hash)
		if err != nil {
			return err
		}
		if r.newWorkTree().symlinks {
			return root.Symlink(filepath.FromSlash(string(target)), name)
		}
		return writeRestored(root, name, target, 0o666)
	}
	var data []byte
	var err error
	if converted {
		// The path decides which filters are applied.
		data, err = r.git(ctx, nil, "cat-file", "--filters", t.commit+":"+f.path)
		err = needGit(err, "a repository with line end conversion or filters")
	} else {
		data, err = r.blob(f.hash)
	}
	if err != nil {
		return err
	}
	perm := fs.FileMode(0o666)
	if f.mode == filemode.Executable {
		perm = 0o777
	}
	return writeRestored(root, name, data, perm)
}

// makeRoom makes the folders above name and removes what stands in the way: a
// link or file in the place of a folder, an empty folder in the place of the
// file.
func (r *Repo) makeRoom(root *fsx.Root, name string) error {
	parent := filepath.Dir(name)
	for dir, rest := "", parent; rest != "" && rest != "."; {
		first, after, _ := strings.Cut(rest, string(filepath.Separator))
		dir, rest = filepath.Join(dir, first), after
		info, err := root.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			if err := root.Remove(dir); err != nil {
				return err
			}
			break
		}
	}
	if err := root.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() {
		return nil
	}
	if err := root.Remove(name); err != nil {
		if entries, readErr := os.ReadDir(filepath.Join(root.Dir(), name)); readErr == nil && len(entries) > 0 {
			return errs.Hint(errs.New(errs.Conflict, "a folder with untracked files is in the place of a file"), "move the folder %s away", name)
		}
		return err
	}
	return nil
}

func writeRestored(root *fsx.Root, name string, data []byte, perm fs.FileMode) error {
	temp, err := root.Create(name, perm)
	if err != nil {
		return err
	}
	defer temp.Discard()
	if _, err := temp.Write(data); err != nil {
		return fsx.FullDisk(err)
	}
	return temp.Publish(fsx.Fast)
}
