package pipeline

import (
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

// processGroup is the process tree of one command. Windows has no signals: a
// command is ended by taskkill, which also ends its children.
type processGroup struct{ cmd *exec.Cmd }

func newProcessGroup(cmd *exec.Cmd) *processGroup {
	// cmd.exe parses its own command line: hand it over as it is.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CmdLine:       "cmd /c " + cmd.Args[len(cmd.Args)-1],
		CreationFlags: windows.CREATE_NEW_PROCESS_GROUP,
	}
	return &processGroup{cmd: cmd}
}

func (g *processGroup) terminate() { g.kill() }

func (g *processGroup) kill() {
	_ = exec.Command("taskkill", "/t", "/f", "/pid", strconv.Itoa(g.cmd.Process.Pid)).Run()
}

func (g *processGroup) restoreTerminal()                 {}
func (g *processGroup) interruptedByUser(err error) bool { return false }

func exitSignal(*exec.ExitError) int { return 1 }

// processAlive tells whether a process with this id exists.
func processAlive(pid int) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return err == windows.ERROR_ACCESS_DENIED
	}
	defer windows.CloseHandle(h)
	var code uint32
	const stillActive = 259
	return windows.GetExitCodeProcess(h, &code) == nil && code == stillActive
}
