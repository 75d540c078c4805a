package gitops

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestHooksDirAndConfig(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Skipf("git init: %v: %s", err, out)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ hooksPath, want string }{
		{"", filepath.Join(dir, ".git", "hooks")},
		{".githooks", filepath.Join(dir, ".githooks")},
	} {
		if c.hooksPath != "" {
			if err := r.SetConfig(t.Context(), "core.hooksPath", c.hooksPath); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.HooksDir(t.Context()); err != nil || got != c.want {
			t.Errorf("core.hooksPath %q: %s, %v, want %s", c.hooksPath, got, err, c.want)
		}
	}
}
