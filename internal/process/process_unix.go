//go:build unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Alive tells whether a process with this id exists.
func Alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return (err == nil || errors.Is(err, unix.EPERM)) && !zombie(pid)
}

// Interrupt asks a process and its group to stop, as Ctrl-C does.
func Interrupt(pid int) error { return signal(pid, unix.SIGINT) }

// Terminate asks a process and its group to stop, as a machine that goes down
// does.
func Terminate(pid int) error { return signal(pid, unix.SIGTERM) }

// Kill ends a process and its group at once.
func Kill(pid int) error { return signal(pid, unix.SIGKILL) }

// signal reaches the group that pid leads, or pid alone if it leads none.
func signal(pid int, s unix.Signal) error {
	if pid <= 1 {
		return unix.ESRCH
	}
	if err := unix.Kill(-pid, s); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return unix.Kill(pid, s)
}

// KillSession ends every process of a session whose leader has ended: what it
// started and what those started, as far as they stayed in the session.
func KillSession(leader int) {
	if leader <= 1 || Alive(leader) {
		return // the number may belong to somebody else by now
	}
	for _, pid := range all() {
		if sid, err := unix.Getsid(pid); err == nil && sid == leader && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// Detach lets a command live on when its starter ends: a session of its own,
// with no terminal.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Inherited opens a file that the starter passed on as descriptor fd, and keeps
// the commands started from here from inheriting it in turn.
func Inherited(fd uintptr, name string) *os.File {
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, name)
}

// Inherits tells whether a child process can be handed open files.
const Inherits = true
