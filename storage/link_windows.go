package storage

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isLinkRefused tells the errors of making links that come from the file
// systems, or from the right to make symbolic links, and not from the files.
func isLinkRefused(err error) bool {
	for _, no := range []error{windows.ERROR_NOT_SAME_DEVICE, windows.ERROR_INVALID_FUNCTION,
		windows.ERROR_PRIVILEGE_NOT_HELD, windows.ERROR_NOT_SUPPORTED, windows.ERROR_TOO_MANY_LINKS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
