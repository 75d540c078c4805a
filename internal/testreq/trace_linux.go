package testreq

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// canTrace starts a program that stops at its first instruction, as one does that
// is traced, and ends it there.
func canTrace(ctx context.Context) error {
	if runtime.GOARCH != "amd64" {
		return errors.ErrUnsupported
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	_, _ = cmd.Process.Wait() // killed
	return nil
}
