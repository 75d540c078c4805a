package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func reflinkInto(src *os.File, r *os.Root, name string, perm fs.FileMode) error {
	dst, err := r.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	err = unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	if e := dst.Close(); err == nil {
		err = e
	}
	if err == nil {
		return nil
	}
	r.Remove(name)
	// Which of these comes depends on the file systems and on whether they are
	// two; all say "not here".
	for _, no := range []error{unix.ENOTTY, unix.EOPNOTSUPP, unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.EBADF} {
		if errors.Is(err, no) {
			return fmt.Errorf("reflink %s: %w (%w)", name, errors.ErrUnsupported, err)
		}
	}
	return fmt.Errorf("reflink %s: %w", name, err)
}

// syncFiles flushes the whole file system at once: for thousands of files that
// takes one journal commit where flushing each would take one per file.
func syncFiles(r *os.Root, files []string) error {
	if len(files) < syncEach {
		return syncEachFile(r, files)
	}
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return FullDisk(unix.Syncfs(int(d.Fd())))
}

// Umask gives the permission bits that new files of this process lose.
func Umask() fs.FileMode {
	// Unlike umask(2), reading it here does not change it for a moment.
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(line, "Umask:"); ok {
				if n, err := strconv.ParseUint(strings.TrimSpace(v), 8, 32); err == nil {
					return fs.FileMode(n)
				}
			}
		}
	}
	return umaskBySetting()
}
