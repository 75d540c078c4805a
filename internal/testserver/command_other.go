//go:build !unix

package testserver

import (
	"context"
	"os/exec"
)

func command(ctx context.Context, program string, args []string) *exec.Cmd {
	return plain(ctx, program, args)
}
