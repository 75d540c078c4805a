package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

func TestStageFilesOfAFolderThatGoes(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"dvc.yaml", "a/dvc.yaml", "gone/deep/dvc.yaml", "z/x.dvc"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	w := workTree{root: root, ignored: func(rel string, _ bool) bool {
		if rel == "gone" { // it was listed, and is not read yet
			if err := os.RemoveAll(filepath.Join(root, rel)); err != nil {
				t.Error(err)
			}
		}
		return false
	}}
	found, err := w.StageFiles(t.Context())
	if want := []string{"a/dvc.yaml", "dvc.yaml", "z/x.dvc"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
	w.root = filepath.Join(root, "nosuch")
	if _, err := w.StageFiles(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that is not there: %v", err)
	}
}

// goneFS lists a folder that cannot be opened any more.
type goneFS struct{ fstest.MapFS }

func (g goneFS) Open(name string) (fs.File, error) {
	if name == "data/gone" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return g.MapFS.Open(name)
}

func (g goneFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "data/gone" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return g.MapFS.ReadDir(name)
}

func TestFilesBelowAFolderThatGoes(t *testing.T) {
	tree := goneFS{fstest.MapFS{"data/a": {}, "data/gone/x": {}, "data/z": {}}}
	found, err := filesBelow(tree, ".", "data")
	if want := []string{"data/a", "data/z"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
	for _, rel := range []string{"data/gone", "nosuch"} {
		if _, err := filesBelow(tree, ".", rel); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", rel, err)
		}
	}
}

func TestRunCacheEntryThatIsGone(t *testing.T) {
	dir := t.TempDir()
	p := openProject(t, upToDate(t, 1))
	if entry, err := p.readRunCache(filepath.Join(dir, "nosuch")); entry != nil || err != nil {
		t.Errorf("%v, %v", entry, err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("cmd: ["), 0o666); err != nil {
		t.Fatal(err)
	}
	if entry, err := p.readRunCache(broken); entry != nil || err != nil {
		t.Errorf("%v, %v", entry, err)
	}
	if _, err := os.Lstat(broken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the broken entry is still there: %v", err)
	}
}
