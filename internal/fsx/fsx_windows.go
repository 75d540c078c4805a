package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockFile locks the first byte, as DVC does through the C runtime.
func lockFile(f *os.File) error { return lockRange(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

func shareFile(f *os.File) error { return lockRange(f, 0) }

func lockRange(f *os.File, flags uint32) error {
	flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errLocked
	}
	return err
}

func unlockFile(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{})
}

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// rename clears the read-only bit of the target first: cache objects have it,
// and Windows does not replace such files.
func rename(r *os.Root, from, to string) error {
	err := r.Rename(from, to)
	if errors.Is(err, fs.ErrPermission) && r.Chmod(to, 0o666) == nil {
		err = r.Rename(from, to)
	}
	return err
}

func remove(r *os.Root, name string) error {
	err := r.Remove(name)
	if errors.Is(err, fs.ErrPermission) && r.Chmod(name, 0o666) == nil {
		err = r.Remove(name)
	}
	return err
}

// syncDir does nothing: Windows has no call that flushes a folder.
func syncDir(*os.Root, string) error { return nil }

func linkInto(target string, r *os.Root, name string) error {
	return os.Link(target, filepath.Join(r.Name(), name))
}

func reflinkInto(_ *os.File, _ *os.Root, name string, _ fs.FileMode) error {
	return fmt.Errorf("reflink %s: %w", name, errors.ErrUnsupported)
}

func syncFiles(r *os.Root, files []string) error { return syncEachFile(r, files) }

// Umask is 0: Windows has none.
func Umask() fs.FileMode { return 0 }
