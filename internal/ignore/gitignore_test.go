package ignore

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAddAndRemove(t *testing.T) {
	tests := []struct {
		name, before, path, after string
		isDir                     bool
	}{
		{"new file", "", "data.csv", "/data.csv\n", false},
		{"no newline at the end", "x", "data.csv", "x\n/data.csv\n", false},
		{"newline at the end", "x\n", "data.csv", "x\n/data.csv\n", false},
		{"ignored by a pattern", "*.csv\n", "data.csv", "*.csv\n", false},
		{"folder ignored by a folder pattern", "data/\n", "data", "data/\n", true},
		{"file not ignored by a folder pattern", "data/\n", "data", "data/\n/data\n", false},
		{"escaped", "", `a[1] #!*?\.txt`, `/a\[1\] \#\!\*\?\\.txt` + "\n", false},
		{"undone further down", "/a\n!/a\n", "a", "/a\n!/a\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, ".gitignore")
			if tt.before != "" {
				if err := os.WriteFile(file, []byte(tt.before), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			set := NewGit(os.DirFS(root))
			changed, err := Add(root, tt.path, tt.isDir, set)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, file); got != tt.after {
				t.Fatalf("after Add: %q, want %q", got, tt.after)
			}
			if (changed == ".gitignore") != (tt.before != tt.after) {
				t.Errorf("Add says %q", changed)
			}
			if again, err := Add(root, tt.path, tt.isDir, set); err != nil || again != "" {
				t.Errorf("second Add: %q, %v", again, err)
			}
			if tt.before == tt.after {
				return
			}
			if !set.Ignored(tt.path, tt.isDir) {
				t.Error("not ignored after Add")
			}
			if changed, err := Remove(root, tt.path); err != nil || changed != ".gitignore" {
				t.Errorf("Remove: %q, %v", changed, err)
			}
			want := tt.before
			if want == "x" {
				want = "x\n"
			}
			if got := content(t, file); got != want {
				t.Errorf("after Remove: %q, want %q", got, want)
			}
		})
	}
}

func TestAddInSubfolderKeepsMode(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "a/b/.gitignore")
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, err := Add(root, "a/b/model.bin", false, NewGit(os.DirFS(root)))
	if err != nil || changed != "a/b/.gitignore" {
		t.Fatalf("Add: %q, %v", changed, err)
	}
	if got := content(t, file); got != "x\n/model.bin\n" {
		t.Errorf("content %q", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRemoveNothing(t *testing.T) {
	root := t.TempDir()
	if changed, err := Remove(root, "a"); err != nil || changed != "" {
		t.Errorf("no file: %q, %v", changed, err)
	}
	file := filepath.Join(root, ".gitignore")
	if err := os.WriteFile(file, []byte("/b\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if changed, err := Remove(root, "a"); err != nil || changed != "" || content(t, file) != "/b\n" {
		t.Errorf("other line: %q, %v, %q", changed, err, content(t, file))
	}
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
