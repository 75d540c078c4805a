package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

func startOf(int) string { return "" }

func bootID() string { return "" }

// Alive tells whether a process with this id exists.
func Alive(pid int) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var code uint32
	const stillActive = 259
	return windows.GetExitCodeProcess(h, &code) == nil && code == stillActive
}

// Interrupt asks a process group to stop; Windows knows one way only.
func Interrupt(pid int) error { return Kill(pid) }

// Terminate asks a process to stop; Windows knows one way only.
func Terminate(pid int) error { return Kill(pid) }

// Kill ends a process at once.
func Kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// KillSession does nothing: Windows has no sessions of processes.
func KillSession(int) {}

// Detach lets a command live on when its starter ends.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}

// Inherited gives nothing: Windows passes no open files on.
func Inherited(uintptr, string) *os.File { return nil }

// Inherits tells whether a child process can be handed open files.
const Inherits = false
