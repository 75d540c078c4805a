package pyenv

import (
	"os/exec"
	"strconv"
)

// inOwnGroup makes the end of cmd's context end its children, too.
func inOwnGroup(cmd *exec.Cmd) (kill func()) {
	kill = func() {
		if cmd.Process != nil {
			_ = exec.Command("taskkill", "/t", "/f", "/pid", strconv.Itoa(cmd.Process.Pid)).Run()
		}
	}
	cmd.Cancel = func() error {
		kill()
		return nil
	}
	return kill
}
