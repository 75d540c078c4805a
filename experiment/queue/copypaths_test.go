package queue

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWrittenAfter(t *testing.T) {
	dir := t.TempDir()
	when := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	old, late := filepath.Join(dir, "old", "a"), filepath.Join(dir, "late", "deep", "b")
	for name, at := range map[string]time.Time{old: when, late: when.Add(time.Second)} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{
		old: false, filepath.Dir(old): false, late: true, filepath.Join(dir, "late"): true, dir: true, filepath.Join(dir, "nosuch"): false,
	} {
		if got := writtenAfter(name, when); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestVanished(t *testing.T) {
	dir := t.TempDir()
	if !vanished(filepath.Join(dir, "nosuch"), fs.ErrNotExist) {
		t.Error("what is gone is not")
	}
	if vanished(dir, fs.ErrNotExist) { // it is the place to copy to that is missing
		t.Error("what is there is gone")
	}
	if vanished(filepath.Join(dir, "nosuch"), fs.ErrPermission) {
		t.Error("another error")
	}
	if err := copyPath(filepath.Join(dir, "nosuch"), filepath.Join(dir, "to")); err == nil {
		t.Error("a path that was named and is not there was copied")
	}
}
