package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func reflinkInto(src *os.File, r *os.Root, name string, perm fs.FileMode) error {
	d, err := r.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	err = unix.Fclonefileat(int(src.Fd()), int(d.Fd()), filepath.Base(name), 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("reflink %s: %w (%w)", name, errors.ErrUnsupported, err)
	}
	if err != nil {
		return &os.LinkError{Op: "clonefile", Old: src.Name(), New: name, Err: err}
	}
	// A clone takes over the mode of its source, which may be read-only.
	return r.Chmod(name, perm&^Umask())
}

func syncFiles(r *os.Root, files []string) error { return syncEachFile(r, files) }

// Umask gives the permission bits that new files of this process lose.
func Umask() fs.FileMode { return umaskBySetting() }
