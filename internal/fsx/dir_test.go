package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestDir(t *testing.T) {
	top := t.TempDir()
	r, err := OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.MkdirAll("a/b", 0o777); err != nil {
		t.Fatal(err)
	}
	d, err := r.OpenDir(filepath.FromSlash("a/b"))
	if err != nil {
		t.Fatal(err)
	}
	put, err := d.Put("f", []byte("content"), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if put, err = d.Put("f", []byte("new"), 0o666); err != nil { // replaces
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	n, s, err := d.Read("f", buf)
	if err != nil || string(buf[:n]) != "new" || s.Size != 3 || s.Ino != put.Ino || s.MTime != put.MTime {
		t.Errorf("read %q, %+v, %v after %+v", buf[:n], s, err, put)
	}
	if n, _, err := d.Read("f", buf[:3]); n != 3 || err != nil {
		t.Errorf("a full buffer: %d, %v", n, err)
	}
	if err := d.Chmod("f", 0o444); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Lstat("f"); err != nil || s.Mode != 0o444 || s.Links != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if n, s, err := ReadInto(filepath.Join(top, "a", "b", "f"), buf); n != 3 || s.Size != 3 || err != nil {
		t.Errorf("%d, %+v, %v", n, s, err)
	}
	if _, err := d.Lstat("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := d.Read("none", buf); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if names, err := os.ReadDir(filepath.Join(top, "a", "b")); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink("f", filepath.Join(top, "a", "b", "link")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Read("link", buf); err == nil {
			t.Error("read through a link")
		}
		if err := os.Symlink("b", filepath.Join(top, "a", "folder")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.OpenDir(filepath.FromSlash("a/folder")); err == nil {
			t.Error("opened a folder through a link")
		}
		if _, _, err := d.Read(".", buf); err == nil {
			t.Error("read a folder")
		}
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Error(err)
	}
	if _, err := d.Put("g", nil, 0o666); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := r.OpenDir("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := r.OpenDir(".git"); err == nil {
		t.Error("opened .git")
	}
}

func TestFree(t *testing.T) {
	s, err := Free(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || s.Bytes <= 0 || s.Block <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := (Space{Block: 4096}).Takes(1) + (Space{Block: 4096}).Takes(4096) + (Space{Block: 4096}).Takes(0); got != 8192 {
		t.Errorf("takes %d", got)
	}
}
