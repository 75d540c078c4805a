package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestRWLock(t *testing.T) {
	dir := t.TempDir()
	me := &rwLock{dir: dir, holder: lockHolder{PID: os.Getpid(), Cmd: "ctrx repro"}}
	other := &rwLock{dir: dir, holder: lockHolder{PID: os.Getppid(), Cmd: "dvc repro"}}
	release, err := me.acquire(t.Context(), []string{"/p/in"}, []string{"/p/out"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name          string
		reads, writes []string
		busy          bool
	}{
		{"read what is read", []string{"/p/in"}, nil, false},
		{"read below what is written", []string{"/p/out/x"}, nil, true},
		{"write what is read", nil, []string{"/p/in"}, true},
		{"write above what is written", nil, []string{"/p"}, true},
		{"write beside", nil, []string{"/p/out2"}, false},
	} {
		free, err := other.acquire(t.Context(), tc.reads, tc.writes)
		if tc.busy != (errs.KindOf(err) == errs.Conflict && err != nil) {
			t.Errorf("%s: %v, want busy %v", tc.name, err, tc.busy)
		}
		if err == nil {
			if err := free(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "rwlock"))
	if err != nil || string(data) != "{}" {
		t.Errorf("table after release: %q, %v", data, err)
	}
}

// Entries of processes that are gone do not block; a broken table says so.
func TestRWLockLeftovers(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "rwlock")
	// The largest process id that Linux gives out is 4194304.
	if err := os.WriteFile(name, []byte(`{"read": {}, "write": {"/p/out": {"pid": 4194305, "cmd": "dvc repro"}}}`), 0o666); err != nil {
		t.Fatal(err)
	}
	l := &rwLock{dir: dir, holder: lockHolder{PID: os.Getpid(), Cmd: "ctrx repro"}}
	release, err := l.acquire(t.Context(), nil, []string{"/p/out"})
	if err != nil {
		t.Fatalf("a dead process blocks: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("{broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = l.acquire(t.Context(), nil, []string{"/p/out"})
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "rwlock") {
		t.Errorf("broken table: %v", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Error("a broken table is not a missing one")
	}
}
