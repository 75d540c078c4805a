package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// copyPaths copies the paths of -C from the work tree into the project of a
// working copy, as they are now: like DVC, the queue keeps their names only. What
// was written to since the task was queued is told in the log of the run.
func (q *Queue) copyPaths(t Task, dir string) error {
	for _, rel := range t.message.CopyPaths {
		if !filepath.IsLocal(filepath.FromSlash(rel)) {
			return errs.New(errs.Usage, "path to copy '%s' lies outside of the project", rel)
		}
		from := q.project.Abs(rel)
		if err := copyPath(from, filepath.Join(dir, filepath.FromSlash(rel))); err != nil {
			return fmt.Errorf("copy %s into the working copy: %w", rel, err)
		}
		if t.record != nil && t.record.Temp {
			continue // it was queued a moment ago
		}
		// The commit's time is in whole seconds.
		if queued, err := q.git.Commit(t.Rev); err == nil && writtenAfter(from, queued.Time.Add(time.Second)) {
			q.project.Warn("%s was written to after this run was queued: it sees what is there now", rel)
		}
	}
	return nil
}

// writtenAfter tells whether a file, or one below a folder, was.
func writtenAfter(name string, when time.Time) bool {
	found := false
	_ = filepath.WalkDir(name, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // what is gone was copied or not; it is no reason for a warning
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(when) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// vanished tells whether a copy failed because another process removed what was
// to be copied after it had been listed.
func vanished(from string, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = os.Lstat(from)
	return errors.Is(err, fs.ErrNotExist)
}

// copyPath copies a file, link or folder.
func copyPath(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	switch {
	case info.IsDir():
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o777); err != nil {
			return fsx.FullDisk(err)
		}
		for _, e := range entries {
			if e.Name() == ".git" || e.Name() == ".dvc" {
				continue
			}
			child := filepath.Join(from, e.Name())
			if err := copyPath(child, filepath.Join(to, e.Name())); err != nil && !vanished(child, err) {
				return err
			}
		}
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		_ = os.Remove(to)
		return os.Symlink(target, to)
	case !info.Mode().IsRegular():
		return nil
	}
	return copyFile(from, to, info.Mode().Perm())
}

func copyFile(from, to string, perm fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	_ = os.Remove(to) // what git put there may be a link
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fsx.FullDisk(err)
	}
	_, err = io.Copy(out, in)
	return fsx.FullDisk(errors.Join(err, out.Close()))
}
