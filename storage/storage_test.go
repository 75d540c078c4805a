package storage

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tree makes files below dir: slash separated path -> content.
func tree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for rel, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(rel))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// files reads all files below dir, and files that links there lead to.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return nil // a link to a folder
		}
		rel, _ := filepath.Rel(dir, path)
		data, err := os.ReadFile(path)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

// age sets the time of a file into the past, so that its hash may be
// remembered.
func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func openState(t *testing.T, path string) *State {
	t.Helper()
	s, err := OpenState(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func hash(t *testing.T, path string) Tree {
	t.Helper()
	tr, err := NewHasher(nil, 0, nil).Hash(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// commit stores path in c.
func commit(t *testing.T, c *Cache, path string) Tree {
	t.Helper()
	tr, err := c.Hasher().Hash(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(t.Context(), path, tr, CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	return tr
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}
