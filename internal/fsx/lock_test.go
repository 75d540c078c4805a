package fsx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
)

func TestLockWritesPID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tmp", "lock")
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, path), fmt.Sprintf(" %d\n", os.Getpid()); got != want {
		t.Errorf("content %q, want %q", got, want)
	}
	again, err := TryLock(path)
	if err != nil {
		t.Fatalf("after Unlock: %v", err)
	}
	again.Unlock()
}

func TestLockContention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	write(t, path, " 4194304 and more text than an id needs\n")
	l, err := Lock(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = Lock(t.Context(), path, 100*time.Millisecond)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("error %#v", err)
	}
	if d := time.Since(start); d < 90*time.Millisecond || d > 30*time.Second {
		t.Errorf("waited %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Lock(ctx, path, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { l.Unlock() })
	next, err := Lock(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatalf("after the holder let go: %v", err)
	}
	next.Unlock()
}

// TestLockEndsWithProcess kills a process that holds the lock.
func TestLockEndsWithProcess(t *testing.T) {
	if path := os.Getenv("CTRX_TEST_LOCK"); path != "" {
		if _, err := TryLock(path); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		time.Sleep(time.Minute)
		return
	}
	path := filepath.Join(t.TempDir(), "lock")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockEndsWithProcess$")
	cmd.Env = append(os.Environ(), "CTRX_TEST_LOCK="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	_, err = TryLock(path)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("while held by process %d: %v", cmd.Process.Pid, err)
	}
	cmd.Process.Kill()
	io.Copy(io.Discard, out)
	cmd.Wait()
	l, err := TryLock(path)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	l.Unlock()
}

// TestLockAgainstDVC lets the real dvc find the lock taken.
func TestLockAgainstDVC(t *testing.T) {
	testreq.Need(t, testreq.DVC)
	dir := t.TempDir()
	dvc := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "dvc", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(dir, "site"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := dvc("init", "--no-scm", "-q"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, filepath.Join(dir, "data"), "x")
	l, err := TryLock(filepath.Join(dir, ".dvc", "tmp", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := dvc("add", "data"); err == nil || !strings.Contains(out, "Unable to acquire lock") {
		t.Errorf("dvc worked beside us: %v\n%s", err, out)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if out, err := dvc("add", "-q", "data"); err != nil {
		t.Errorf("after Unlock: %v\n%s", err, out)
	}
}

func TestHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if held, err := Held(path); err != nil || held {
		t.Fatalf("no file: %v, %v", held, err)
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if held, err := Held(path); err != nil || !held {
		t.Fatalf("locked: %v, %v", held, err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if held, err := Held(path); err != nil || held {
		t.Fatalf("unlocked: %v, %v", held, err)
	}
	if l, err = TryLock(path); err != nil {
		t.Fatalf("asking must not keep the lock: %v", err)
	}
	_ = l.Unlock()
}
