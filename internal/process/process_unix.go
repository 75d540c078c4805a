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

// Interrupt asks the process group that pid leads to stop, as Ctrl-C does.
func Interrupt(pid int) error { return unix.Kill(-pid, unix.SIGINT) }

// Kill ends the process group that pid leads at once.
func Kill(pid int) error { return unix.Kill(-pid, unix.SIGKILL) }

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

// Session is the session that this process is in.
func Session() int {
	sid, err := unix.Getsid(0)
	if err != nil {
		return 0
	}
	return sid
}

// Detach lets a command live on when its starter ends: a session of its own,
// with no terminal.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Lead makes a command the leader of a process group.
func Lead(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// Inherited opens a file that the starter passed on as descriptor fd, and keeps
// the commands started from here from inheriting it in turn.
func Inherited(fd uintptr, name string) *os.File {
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, name)
}

// Inherits tells whether a child process can be handed open files.
const Inherits = true
