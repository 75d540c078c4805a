//go:build unix

package pipeline

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// processGroup is the process group of one command. On a terminal the group is
// put in the foreground, so that a command may read from it (a debugger), and
// Ctrl-C reaches the command itself.
type processGroup struct {
	cmd *exec.Cmd
	tty int // file descriptor of the controlling terminal, -1 without one
}

func newProcessGroup(cmd *exec.Cmd) *processGroup {
	g := &processGroup{cmd: cmd, tty: -1}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if f, ok := cmd.Stdin.(*os.File); ok {
		pgrp, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
		if err == nil && pgrp == unix.Getpgrp() {
			g.tty = int(f.Fd())
			cmd.SysProcAttr.Foreground = true
			cmd.SysProcAttr.Ctty = g.tty
		}
	}
	return g
}

func (g *processGroup) terminate() { _ = unix.Kill(-g.cmd.Process.Pid, unix.SIGTERM) }
func (g *processGroup) kill()      { _ = unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL) }

// restoreTerminal brings ctrx's own process group back to the foreground.
func (g *processGroup) restoreTerminal() {
	if g.tty < 0 {
		return
	}
	// A background process that changes the foreground group gets SIGTTOU.
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(g.tty, unix.TIOCSPGRP, unix.Getpgrp())
}

// interruptedByUser tells whether Ctrl-C on the terminal ended the command.
func (g *processGroup) interruptedByUser(err error) bool {
	var exit *exec.ExitError
	if g.tty < 0 || !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGINT || status.ExitStatus() == 128+int(syscall.SIGINT))
}

func exitSignal(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return 1
}

// processAlive tells whether a process with this id exists.
func processAlive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}
