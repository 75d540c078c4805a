//go:build unix

package storage

import (
	"errors"
	"syscall"
)

// isLinkRefused tells the errors of link(2) and symlink(2) that come from the
// file systems and not from the files.
func isLinkRefused(err error) bool {
	for _, no := range []error{syscall.EXDEV, syscall.EPERM, syscall.EMLINK, syscall.EOPNOTSUPP, syscall.ENOSYS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
