package storage

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestKilledCommit kills a process that commits, at different moments. After
// each, whatever has mode 0444 must be whole, a directory object must have its
// members, and the workspace must be as it was; a last commit finishes.
func TestKilledCommit(t *testing.T) {
	if dir := os.Getenv("CTRX_TEST_COMMIT"); dir != "" {
		state := openState(t, filepath.Join(dir, "state"))
		c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Links: []LinkType{Hardlink, Copy}, State: state})
		commit(t, c, filepath.Join(dir, "ws"))
		return
	}
	dir := t.TempDir()
	content := map[string]string{"big": strings.Repeat("0123456789", bigObject/10+1)}
	for i := range 400 {
		content[strconv.Itoa(i%7)+"/"+strconv.Itoa(i)] = strings.Repeat(strconv.Itoa(i), 50)
	}
	tree(t, filepath.Join(dir, "ws"), content)
	want := hash(t, filepath.Join(dir, "ws"))
	finished := 0
	for wait := 5 * time.Millisecond; finished < 2 && wait < 5*time.Minute; wait += wait / 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledCommit$")
		cmd.Env = append(os.Environ(), "CTRX_TEST_COMMIT="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(wait, func() { cmd.Process.Kill() })
		if cmd.Wait() == nil {
			finished++
		}
		kill.Stop()
		sound(t, filepath.Join(dir, "cache"))
		if got := hash(t, filepath.Join(dir, "ws")); got.Digest != want.Digest {
			t.Fatalf("killed after %v: the workspace changed", wait)
		}
	}
	if finished == 0 {
		t.Error("no commit finished")
	}
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	if missing, err := c.Missing(t.Context(), want.Digest); len(missing) > 0 || err != nil {
		t.Errorf("after the last commit: %d missing, %v", len(missing), err)
	}
}

// sound checks all objects of a cache.
func sound(t *testing.T, dir string) {
	t.Helper()
	c := OpenCache(dir, CacheOptions{})
	defer c.Close()
	err := filepath.WalkDir(filepath.Join(dir, "files", "md5"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		d := Digest(filepath.Base(filepath.Dir(path)) + e.Name())
		if !d.Valid() {
			return nil // a temporary file
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if string(digestBytes(data)) != d.Hex() && mode(t, path) == objectMode {
			t.Errorf("%s is marked as whole and is not", path)
		}
		if d.IsDir() {
			if missing, err := c.Missing(t.Context(), d); len(missing) > 0 || err != nil {
				t.Errorf("%s lacks %d members, %v", d, len(missing), err)
			}
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
