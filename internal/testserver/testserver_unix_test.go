//go:build unix

package testserver

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// victim is set for a copy of this test binary that starts a "server" and is
// then killed.
const victim = "CTRX_TESTSERVER_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) != "" {
		os.Exit(beVictim())
	}
	os.Exit(m.Run())
}

func beVictim() int {
	cmd := exec.Command("sh", "-c", lifeline, "sh", "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout = os.Stdout
	stdin, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return 1
	}
	defer stdin.Close()
	fmt.Println("started")
	_ = cmd.Wait()
	return 1
}

// The server has the same standard output as the test that started it, so the
// end of that pipe is the end of both.
func TestServerEndsWithAKilledTest(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victim+"=1")
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the victim printed %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := r.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Errorf("the server outlives the test that started it: %v", err)
	}
}

func TestStartSaysWhyAServerEnded(t *testing.T) {
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), t.TempDir(), address, "/", nil, "sh", "-c", "echo no room >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("start: %v", err)
	}
}
