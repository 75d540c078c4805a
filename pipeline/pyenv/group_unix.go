//go:build unix

package pyenv

import (
	"os/exec"
	"syscall"
)

// inOwnGroup starts cmd in a process group of its own, to which the end of its
// context sends SIGTERM. kill ends what is left of the group.
func inOwnGroup(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
}
