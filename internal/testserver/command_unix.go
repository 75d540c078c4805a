//go:build unix

package testserver

import (
	"context"
	"os/exec"
	"syscall"
)

// lifeline runs a server in the background of a shell that holds the reading
// end of a pipe. Nothing is ever written to it: it ends when the test process
// is gone, however that came about, and then the whole group is killed.
const lifeline = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(cat <&3 >/dev/null; kill -KILL 0) >/dev/null 2>&1 &
wait $server
`

// command makes the command of a server in a process group of its own, so that
// it ends together with its workers.
func command(ctx context.Context, program string, args []string) *exec.Cmd {
	cmd := plain(ctx, "sh", append([]string{"-c", lifeline, "sh", program}, args...))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}
