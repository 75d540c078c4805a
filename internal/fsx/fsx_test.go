package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dvc.lock")
	if err := WriteFile(path, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteFile(path, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "two" {
		t.Fatalf("content %q, %v", got, err)
	}
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode of an existing file became %v", info.Mode())
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWriteFileReplacesLink(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "victim")
	write(t, outside, "old")
	path := filepath.Join(dir, "params.yaml")
	symlink(t, outside, path)
	if err := WriteFile(path, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(t, outside); got != "old" {
		t.Errorf("wrote through the link: %q", got)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("content %q", got)
	}
}

func TestWriteFileMissingFolder(t *testing.T) {
	err := WriteFile(filepath.Join(t.TempDir(), "no", "x"), nil, 0o644)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
}

func TestRootRefuses(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	mkdir(t, filepath.Join(dir, ".git", "hooks"))
	mkdir(t, filepath.Join(dir, "data"))
	symlink(t, outside, filepath.Join(dir, "out"))
	symlink(t, ".git", filepath.Join(dir, "inside"))
	write(t, filepath.Join(dir, "file"), "x")
	r := open(t, dir)
	tests := []struct {
		name string
		kind errs.Kind
	}{
		{"../x", errs.ProjectFile},
		{"data/../../x", errs.ProjectFile},
		{".", errs.ProjectFile},
		{".git/hooks/pre-commit", errs.ProjectFile},
		{".GIT/config", errs.ProjectFile},
		{"data/.git/config", errs.ProjectFile},
		{".git. /config", errs.ProjectFile},
		{"GIT~1/config", errs.ProjectFile},
		{".g\u200cit/config", errs.ProjectFile},
		{".git::$INDEX_ALLOCATION/config", errs.ProjectFile},
		{"out/x", errs.Conflict},
		{"out/deep/x", errs.Conflict},
		{"inside/hooks/pre-commit", errs.Conflict},
		{"file/x", errs.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := r.WriteFile(filepath.FromSlash(tt.name), []byte("bad"), 0o644)
			if err == nil || errs.KindOf(err) != tt.kind {
				t.Errorf("WriteFile: %v (kind %d), want kind %d", err, errs.KindOf(err), tt.kind)
			}
			if err := r.Symlink("/etc/passwd", filepath.FromSlash(tt.name)); err == nil {
				t.Error("Symlink: no error")
			}
			if err := r.Remove(filepath.FromSlash(tt.name)); err == nil {
				t.Error("Remove: no error")
			}
		})
	}
	if got := names(t, outside); len(got) != 0 {
		t.Errorf("written outside: %v", got)
	}
	if got := names(t, filepath.Join(dir, ".git", "hooks")); len(got) != 0 {
		t.Errorf("written into .git: %v", got)
	}
}

func TestRootAllows(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "cache")
	write(t, outside, "cached")
	r := open(t, dir)
	for _, name := range []string{"a", "d/e/f", ".gitignore", "git", "d/.github/x", "..a"} {
		if err := r.WriteFile(filepath.FromSlash(name), []byte(name), 0o644); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Symlink(outside, "a"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "a")); got != "cached" {
		t.Errorf("through the link: %q", got)
	}
	if err := r.WriteFile("a", []byte("own"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(t, outside); got != "cached" {
		t.Errorf("the link's target became %q", got)
	}
	for range 2 { // the second time both names are the same file already
		if err := r.Link(outside, "d/hard"); err != nil {
			t.Fatal(err)
		}
	}
	if !sameFile(t, outside, filepath.Join(dir, "d", "hard")) {
		t.Error("not a hard link")
	}
	if left := names(t, filepath.Join(dir, "d")); len(left) != 3 {
		t.Errorf("left behind in d: %v", left)
	}
	if _, err := r.Rel(filepath.Join(dir, "d", "e")); err != nil {
		t.Error(err)
	}
	for _, p := range []string{dir, filepath.Dir(dir), outside} {
		if rel, err := r.Rel(p); err == nil {
			t.Errorf("Rel(%s) = %s", p, rel)
		}
	}
}

func TestRootReflink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "src"), strings.Repeat("x", 1<<16))
	r := open(t, dir)
	f, err := r.Open("src")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = r.Reflink(f, "dst", 0o666)
	if errors.Is(err, errors.ErrUnsupported) {
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if read(t, filepath.Join(dir, "dst")) != read(t, filepath.Join(dir, "src")) {
		t.Error("content differs")
	}
}

func TestTempDiscard(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	f, err := r.Create("x", 0o666)
	if err != nil {
		t.Fatal(err)
	}
	left := names(t, dir)
	if len(left) != 1 || !IsTemp(left[0]) {
		t.Errorf("temporary name %v", left)
	}
	f.Discard()
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := r.Sync(nil); err != nil {
		t.Error(err)
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{
		".ctrx-0123456789abcdef.tmp": true, ".ctrx-.tmp": false, "x.tmp": false, ".ctrx-0123456789abcdef": false,
	} {
		if IsTemp(name) != want {
			t.Errorf("IsTemp(%q) = %v", name, !want)
		}
	}
}

func open(t *testing.T, dir string) *Root {
	t.Helper()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o777); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}
