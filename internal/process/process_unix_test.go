//go:build unix

package process

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAlive(t *testing.T) {
	if !Self().Alive() || !Alive(os.Getpid()) {
		t.Error("this process is not alive")
	}
	for _, pid := range []int{0, -1, 1 << 30} {
		if Alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	other := Self()
	other.Boot = "another start of the machine"
	if other.Alive() {
		t.Error("a process of before a restart is alive")
	}
	other = Self()
	if other.Start != "" { // where the system tells
		other.Start = "1"
		if other.Alive() {
			t.Error("another process of the same number is alive")
		}
	}
	other = Self()
	other.Host = "elsewhere"
	if other.Here() || !other.Alive() {
		t.Error("of a process elsewhere nothing is known")
	}
}

// What a dead leader left in its session is ended; a session whose leader lives
// is left alone.
func TestKillSession(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 300 & echo $!; exec sleep 300")
	Detach(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	KillSession(cmd.Process.Pid)
	if !Alive(left) || !Alive(cmd.Process.Pid) {
		t.Error("a living session was ended")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	KillSession(cmd.Process.Pid)
	for range 30_000 { // minutes, for a slow machine
		if !Alive(left) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("what the dead leader left is still there")
}
