//go:build unix

package pyenv

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// fakePython stands for an interpreter: it makes a virtual environment that
// holds itself. Its pip fails when the requirements say so, takes its time when
// they say so, and installs itself as uv. Each call is a line in the log, and
// what pip installs.
const fakePython = `#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
*implementation*) echo "fake 3.11.0 /usr" ;;
"-m venv "*) for f; do :; done; mkdir -p "$f/bin" && cp "$0" "$f/bin/python" ;;
"-m pip --version") echo "pip ${PIP:-22.2} from x" ;;
"sync "*) mkdir -p "$UV_PROJECT_ENVIRONMENT/bin" && cp "$0" "$UV_PROJECT_ENVIRONMENT/bin/python" ;;
*" install "*)
	for f; do :; done
	to=$0; if [ "$3" = --python ]; then to=$4; fi
	if [ "$f" = uv ]; then cp "$0" "$(dirname "$to")/uv"; exit; fi
	sed 's/^/installs /' "$f" >> "$LOG"
	if [ -n "$PYTHONPATH" ]; then echo "the user's PYTHONPATH"; exit 1; fi
	if grep -q broken "$f"; then echo "Collecting broken"; echo "no such package: broken"; exit 1; fi
	if grep -q slow "$f"; then sleep 60 & echo $! > "$LOG.pid"; wait; fi
	echo "Collecting one" ;;
esac
`

// machine gives options on a machine whose only programs are the fake Python
// and the shell's own.
func machine(t *testing.T, requirements string) (Options, string) {
	t.Helper()
	dir := t.TempDir()
	bin, log := filepath.Join(dir, "bin"), filepath.Join(dir, "log")
	write(t, filepath.Join(bin, "python3"), fakePython, 0o755)
	write(t, filepath.Join(dir, "requirements.txt"), requirements, 0o644)
	path := bin + string(os.PathListSeparator) + "/bin" + string(os.PathListSeparator) + "/usr/bin"
	t.Setenv("PATH", path)
	return Options{
		Dir: filepath.Join(dir, "envs"), File: filepath.Join(dir, "requirements.txt"), NoUV: true,
		Env: []string{"PATH=" + path, "LOG=" + log}, Sink: event.Discard,
	}, log
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func installs(t *testing.T, log string) int {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), " install ") + strings.Count(string(data), "sync ")
}

func TestEnsureMakesOnePerContent(t *testing.T) {
	o, log := machine(t, "one==1\n")
	first, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Ensure(t.Context(), o); err != nil || again != first {
		t.Errorf("second call: %v, %v", again, err)
	}
	if n := installs(t, log); n != 1 {
		t.Errorf("%d installations, want 1", n)
	}
	write(t, o.File, "one==2\n", 0o644)
	other, err := Ensure(t.Context(), o)
	if err != nil || other == first {
		t.Errorf("changed requirements: %v, %v", other, err)
	}
	env := strings.Join(first.Environ([]string{"PATH=/bin", "PYTHONHOME=/x", "A=b"}), " ")
	if want := "A=b PATH=" + first.Bin + ":/bin VIRTUAL_ENV=" + first.Dir; env != want {
		t.Errorf("environment %q, want %q", env, want)
	}
}

// A process that was killed leaves a half-made environment, into which its
// installer may still write: neither is taken for an environment.
func TestEnsureAfterKill(t *testing.T) {
	o, log := machine(t, "one==1\n")
	env, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(env.Dir), readyMark)); err != nil {
		t.Fatal(err)
	}
	again, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Dir == env.Dir || installs(t, log) != 2 {
		t.Errorf("the half-made environment was used")
	}
	if _, err := os.Stat(env.Dir); err == nil {
		t.Errorf("the half-made environment stays")
	}
	// nor is one whose interpreter has gone
	if err := os.Remove(again.program("python")); err != nil {
		t.Fatal(err)
	}
	if third, err := Ensure(t.Context(), o); err != nil || third.Dir == again.Dir {
		t.Errorf("an environment without python was used: %v", err)
	}
	// nor is one that a mark names outside of the folder
	write(t, filepath.Join(filepath.Dir(env.Dir), readyMark), "../..", 0o644)
	if _, err := Ensure(t.Context(), o); err != nil || installs(t, log) != 4 {
		t.Errorf("a mark that leads elsewhere was followed: %v", err)
	}
}

func TestEnsureFailures(t *testing.T) {
	t.Run("installer", func(t *testing.T) {
		o, _ := machine(t, "broken\n")
		_, err := Ensure(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "no such package: broken") || errs.HintOf(err) == "" {
			t.Errorf("error %v, want the installer's last lines and a hint", err)
		}
	})
	t.Run("new pip", func(t *testing.T) {
		o, _ := machine(t, "broken\n")
		o.Env = append(o.Env, "PIP=22.3")
		_, err := Ensure(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "python3 -m pip --python "+o.Dir) || !strings.Contains(err.Error(), "no such package: broken") {
			t.Errorf("error %v, want that of the interpreter's own pip", err)
		}
	})
	t.Run("no file", func(t *testing.T) {
		o, _ := machine(t, "")
		o.File += ".nowhere"
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.NotFound {
			t.Errorf("error %v, want NotFound", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		o, _ := machine(t, "")
		o.File = filepath.Dir(o.File)
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("error %v, want ProjectFile", err)
		}
	})
	t.Run("no Python", func(t *testing.T) {
		o, _ := machine(t, "one\n")
		t.Setenv("PATH", t.TempDir())
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "install Python") {
			t.Errorf("error %v, want NotFound and a hint", err)
		}
	})
}

// A failed installation is not taken for an environment, and the next call
// begins anew.
func TestEnsureAfterFailure(t *testing.T) {
	o, log := machine(t, "-r more.txt\n")
	more := filepath.Join(filepath.Dir(o.File), "more.txt")
	write(t, more, "x\n", 0o644)
	write(t, o.File, "broken\n", 0o644)
	for range 2 {
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.Failed {
			t.Fatalf("error %v", err)
		}
	}
	if n := installs(t, log); n != 2 {
		t.Errorf("%d installations, want 2", n)
	}
	if left, err := filepath.Glob(filepath.Join(o.Dir, "*", "env-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Many at once: one installs, the others wait for it.
func TestEnsureAtOnce(t *testing.T) {
	o, log := machine(t, "one\n")
	o.Env = append(o.Env, "PYTHONPATH=/of/the/user")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			env, err := Ensure(t.Context(), o)
			if now, ok := ready(filepath.Dir(env.Dir)); err != nil || !ok || now != env {
				t.Errorf("%v, ready: %v, %v", err, now, ok)
			}
		})
	}
	all.Wait()
	if n := installs(t, log); n != 1 {
		t.Errorf("%d installations, want 1", n)
	}
}

// Ctrl-C ends the installer and what it started, and leaves nothing that looks
// like an environment.
func TestEnsureInterrupted(t *testing.T) {
	o, log := machine(t, "slow\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Ensure(ctx, o)
		ended <- err
	}()
	pid := 0
	for range 15_000 { // minutes, for a slow machine
		data, _ := os.ReadFile(log + ".pid")
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(data))); pid > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if pid == 0 {
		t.Fatal("the installer did not start")
	}
	cancel()
	select {
	case err := <-ended:
		if errs.KindOf(err) != errs.Interrupted {
			t.Errorf("error %v, want Interrupted", err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("the installer goes on")
	}
	for range 15_000 {
		if syscall.Kill(pid, 0) != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d of the installer lives on", pid)
	}
	if left, err := filepath.Glob(filepath.Join(o.Dir, "*", "env-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
