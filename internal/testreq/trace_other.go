//go:build !linux

package testreq

import (
	"context"
	"errors"
)

func canTrace(context.Context) error { return errors.ErrUnsupported }
