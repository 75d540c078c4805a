//go:build unix

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

func TestCommand(t *testing.T) {
	for _, tc := range []struct {
		name, text, out, err string
		code                 int
	}{
		{"succeeds", "echo hello", "hello\n", "", 0},
		{"fails", "exit 3", "", "failed to run: exit 3, exited with 3", 3},
		{"is killed", "kill -9 $$", "", "was killed by signal: killed", 137},
		{"is not found", "no-such-program-anywhere", "", "exited with 127", 127},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			c := shellCommand{text: tc.text, dir: t.TempDir(), env: os.Environ(), io: Stdio{Out: &out, Err: &bytes.Buffer{}}}
			err := c.run(t.Context())
			if out.String() != tc.out {
				t.Errorf("output %q, want %q", out.String(), tc.out)
			}
			if tc.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var failed *CommandError
			if !errors.As(err, &failed) || failed.Code != tc.code || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q with code %d", err, tc.err, tc.code)
			}
		})
	}
}

// A command that is interrupted takes the processes it started with it.
func TestCommandInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	c := shellCommand{text: "sleep 3600 & echo $! > pid; wait", dir: dir, env: os.Environ(), io: Stdio{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	child := waitForPid(t, filepath.Join(dir, "pid"))
	cancel(errs.New(errs.Terminated, "stop"))
	select {
	case err := <-ended:
		if errs.KindOf(err) != errs.Terminated {
			t.Errorf("kind of %v is not Terminated", err)
		}
	case <-time.After(patience):
		t.Fatal("the command did not end")
	}
	waitGone(t, child)
}

// What a command writes at once is not older than the command, however late its
// starter hears of it.
func TestCommandBegan(t *testing.T) {
	dir := t.TempDir()
	c := shellCommand{text: "echo > written", dir: dir, env: os.Environ(), io: Stdio{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
	c.began = func(_ int, at time.Time) func() {
		for begin := time.Now(); time.Since(begin) < patience; time.Sleep(50 * time.Millisecond) {
			info, err := os.Stat(filepath.Join(dir, "written"))
			if err != nil {
				continue
			}
			time.Sleep(50 * time.Millisecond)
			if lag := at.Sub(info.ModTime()); lag > 20*time.Millisecond { // of the file system's clock
				t.Errorf("the file is %v older than the command", lag)
			}
			return func() {}
		}
		t.Error("the command wrote nothing")
		return func() {}
	}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A process that a command leaves behind does not write on while its outputs
// are hashed, and does not keep ctrx waiting.
func TestCommandLeavesChild(t *testing.T) {
	dir := t.TempDir()
	c := shellCommand{text: "sleep 3600 & echo $! > pid", dir: dir, env: os.Environ(), io: Stdio{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
	begin := time.Now()
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if time.Since(begin) > patience {
		t.Error("waited for the child")
	}
	waitGone(t, waitForPid(t, filepath.Join(dir, "pid")))
}

// patience bounds waits that a hang would make endless; commands sleep for longer.
const patience = 5 * time.Minute

func waitForPid(t *testing.T, name string) int {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(50 * time.Millisecond) {
		if data, err := os.ReadFile(name); err == nil && strings.HasSuffix(string(data), "\n") {
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the command did not start")
	return 0
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(50 * time.Millisecond) {
		if !processAlive(pid) || isZombie(pid) {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

// isZombie tells whether a process has ended but was not waited for by its
// parent, which may be slow to do so.
func isZombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(data), ") Z ")
}
