//go:build unix

package fsx

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// umaskBySetting sets the umask to read it, and sets it back. A file that
// another goroutine makes in between would get wider permissions, hence the
// strict value in between.
func umaskBySetting() fs.FileMode {
	old := unix.Umask(0o077)
	unix.Umask(old)
	return fs.FileMode(old)
}
