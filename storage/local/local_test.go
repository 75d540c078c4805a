package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

func TestContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) storage.Backend {
		dir := filepath.Join(t.TempDir(), "remote")
		b := Open(dir, Options{})
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err == nil && fsx.IsTemp(e.Name()) {
					t.Errorf("left behind: %s", path)
				}
				return nil
			})
		})
		return b
	})
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := t.TempDir()
	b := Open(filepath.Join(dir, "r"), Options{Shared: true})
	d := storage.Digest("0cc175b9c0f1b6a831c399e269772661") // of "a"
	for _, key := range []string{d.Key(), "runs/ab/abc/def"} {
		if err := b.Put(t.Context(), key, strings.NewReader("a"), 1); err != nil {
			t.Fatal(err)
		}
	}
	object := filepath.Join(dir, "r", filepath.FromSlash(d.Key()))
	if m := mode(t, object); m == objectMode {
		t.Error("marked as whole before it was flushed")
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, object); m != objectMode {
		t.Errorf("object: %v", m)
	}
	if m := mode(t, filepath.Join(dir, "r", "runs", "ab", "abc", "def")); m&0o200 == 0 {
		t.Errorf("run cache file: %v", m)
	}
	if m := mode(t, filepath.Dir(object)); m != fs.ModeDir|fs.ModeSetgid|0o775 {
		t.Errorf("folder: %v", m)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// TestHostileRemote has links where objects should be.
func TestHostileRemote(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "runs")); err != nil {
		t.Skip(err)
	}
	b := Open(dir, Options{})
	defer b.Close()
	for o, err := range b.List(t.Context(), "runs/") {
		if err == nil {
			t.Errorf("lists %v", o)
		}
	}
	if err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1); errs.KindOf(err) != errs.Conflict {
		t.Errorf("Put through a link: %v", err)
	}
	if _, err := os.Stat(filepath.Join(outside, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("written outside")
	}
}

func TestRefusedFolder(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("this user may do everything")
	}
	dir := filepath.Join(t.TempDir(), "r")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	err := Open(dir, Options{}).Put(t.Context(), "runs/x", strings.NewReader("x"), 1)
	if errs.KindOf(err) != errs.Auth || errs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}
