//go:build unix && !linux && !darwin

package fsx

import (
	"errors"
	"fmt"
)

func free(dir string) (Space, error) {
	return Space{}, fmt.Errorf("free space of %s: %w", dir, errors.ErrUnsupported)
}
