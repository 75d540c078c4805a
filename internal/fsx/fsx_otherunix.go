//go:build unix && !linux && !darwin

package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func reflinkInto(_ *os.File, _ *os.Root, name string, _ fs.FileMode) error {
	return fmt.Errorf("reflink %s: %w", name, errors.ErrUnsupported)
}

func syncFiles(r *os.Root, files []string) error { return syncEachFile(r, files) }

// Umask gives the permission bits that new files of this process lose.
func Umask() fs.FileMode { return umaskBySetting() }
