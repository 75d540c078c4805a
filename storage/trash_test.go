package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What is in the trash takes the place of an object that was damaged meanwhile,
// and leaves a good one alone.
func TestRestoreReplacesDamaged(t *testing.T) {
	dir := t.TempDir()
	tree(t, filepath.Join(dir, "ws"), map[string]string{"a": "one", "b": "two"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	commit(t, c, filepath.Join(dir, "ws"))
	unused, err := c.Unused(t.Context(), func(Digest) bool { return false })
	if err != nil || len(unused) != 3 {
		t.Fatalf("%v, %v", unused, err)
	}
	trash := OpenTrash(filepath.Join(dir, "trash"))
	if err := trash.Add(t.Context(), c, unused, time.Now()); err != nil {
		t.Fatal(err)
	}
	damaged := digestBytes([]byte("one"))
	if err := os.MkdirAll(filepath.Dir(c.Path(damaged)), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path(damaged), []byte("on"), 0o666); err != nil { // what a power cut may leave
		t.Fatal(err)
	}
	n, err := trash.Restore(t.Context(), c)
	if err != nil || n != 3 {
		t.Errorf("restored %d objects, %v", n, err)
	}
	sound(t, filepath.Join(dir, "cache"))
	if ok, err := c.Has(t.Context(), damaged); !ok || err != nil {
		t.Errorf("the damaged object was kept: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "trash")); err != nil || len(left) != 0 {
		t.Errorf("left in the trash: %v, %v", left, err)
	}
}
