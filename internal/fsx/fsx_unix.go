//go:build unix

package fsx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func lockFile(f *os.File) error { return flock(f, unix.LOCK_EX) }

func shareFile(f *os.File) error { return flock(f, unix.LOCK_SH) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		case errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS):
			return fmt.Errorf("this file system has no file locks: %w", err)
		default:
			return err
		}
	}
}

func unlockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func rename(r *os.Root, from, to string) error { return r.Rename(from, to) }

func remove(r *os.Root, name string) error { return r.Remove(name) }

func syncDir(r *os.Root, name string) error {
	d, err := r.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some network file systems cannot flush a folder; the rename is as
	// durable there as it gets.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// linkInto names the new link relative to an open folder, so that it is made
// there even if a part of the path is exchanged meanwhile.
func linkInto(target string, r *os.Root, name string) error {
	d, err := r.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Linkat(unix.AT_FDCWD, target, int(d.Fd()), filepath.Base(name), 0); err != nil {
		return &os.LinkError{Op: "link", Old: target, New: name, Err: err}
	}
	return nil
}
