package gitops

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestRestoreTree(t *testing.T) {
	s := newSandbox(t)
	s.write("same", "s", "changed", "old", "dir/gone", "g", "exec", "#!", "swap", "file")
	if runtime.GOOS != "windows" {
		check(t, os.Chmod(filepath.Join(s.root, "exec"), 0o755))
		check(t, os.Symlink("same", filepath.Join(s.root, "link")))
	}
	s.commit("old")
	s.write("changed", "new", "added/x", "a")
	s.remove("dir", "exec", "swap", "link")
	s.write("swap/in", "folder")
	s.commit("new")
	s.write("untracked", "u", "added/own", "mine", "changed", "edited")
	info, err := os.Stat(filepath.Join(s.root, "same"))
	check(t, err)
	r := s.open()
	before := s.state()
	check(t, r.RestoreTree(t.Context(), "HEAD~1"))
	if s.state() != before {
		t.Error("the index, a ref or HEAD was touched")
	}
	for name, want := range map[string]string{"same": "s", "changed": "old", "dir/gone": "g", "exec": "#!", "swap": "file", "added/x": "(none)", "added/own": "mine", "untracked": "u"} {
		if got := s.read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if runtime.GOOS != "windows" {
		if exec, err := os.Stat(filepath.Join(s.root, "exec")); err != nil || exec.Mode().Perm()&0o100 == 0 {
			t.Errorf("exec: %v, %v", exec, err)
		}
		if target, err := os.Readlink(filepath.Join(s.root, "link")); err != nil || target != "same" {
			t.Errorf("link: %q, %v", target, err)
		}
	}
	if now, err := os.Stat(filepath.Join(s.root, "same")); err != nil || !now.ModTime().Equal(info.ModTime()) {
		t.Error("an equal file was written again")
	}
	if err := r.RestoreTree(t.Context(), "nope"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown revision: %v", err)
	}
}

func TestRestoreConverts(t *testing.T) {
	s := newSandbox(t)
	s.write(".gitattributes", "*.txt text eol=crlf\n", "a.txt", "one\r\n", "b.bin", "x\n")
	s.commit("one")
	s.write("a.txt", "two\r\n", "b.bin", "y\n")
	s.commit("two")
	check(t, s.open().RestoreTree(t.Context(), "HEAD~1"))
	if s.read("a.txt") != "one\r\n" || s.read("b.bin") != "x\n" {
		t.Errorf("a.txt %q, b.bin %q", s.read("a.txt"), s.read("b.bin"))
	}
}

func TestRestoreKeepsFolderOfUntrackedFiles(t *testing.T) {
	s := newSandbox(t)
	s.write("x", "file")
	s.commit("one")
	s.git("rm", "-q", "x")
	s.write("y", "1")
	s.commit("two")
	s.write("x/mine", "precious")
	if err := s.open().RestoreTree(t.Context(), "HEAD~1"); errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v", err)
	}
	if s.read("x/mine") != "precious" {
		t.Error("x/mine is lost")
	}
}

// A tree can hold names that git itself would not write.
func TestRestoreRefusesHostileTrees(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1")
	s.commit("base")
	blob := s.git("rev-parse", "HEAD:f")
	mktree := func(lines string) string {
		cmd := exec.CommandContext(t.Context(), "git", "mktree")
		cmd.Dir = s.root
		cmd.Stdin = strings.NewReader(lines)
		out, err := cmd.Output()
		check(t, err)
		return strings.TrimSpace(string(out))
	}
	inner := mktree("100755 blob " + blob + "\tpost-checkout\n")
	hooks := mktree("040000 tree " + inner + "\thooks\n")
	for _, name := range []string{".git", ".GIT", "..", "git~1"} {
		tree := mktree("040000 tree " + hooks + "\t" + name + "\n100644 blob " + blob + "\tg\n")
		evil := s.git("commit-tree", "-m", "evil", tree)
		if err := s.open().RestoreTree(t.Context(), evil); errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%s: %v", name, err)
		}
		if s.read("g") != "(none)" || s.read("f") != "1" {
			t.Errorf("%s: the work tree was changed", name)
		}
	}
	if s.read(".git/hooks/post-checkout") != "(none)" {
		t.Error("a hook was written")
	}
	if runtime.GOOS == "windows" {
		return
	}
	// A link to the outside, and a file below it in the same tree.
	outside := t.TempDir()
	s.write("../target", outside)
	link := s.git("hash-object", "-w", "../target")
	sub := mktree("100644 blob " + blob + "\tpwned\n")
	tree := mktree("120000 blob " + link + "\tdir\n040000 tree " + sub + "\tdirx\n")
	check(t, s.open().RestoreTree(t.Context(), s.git("commit-tree", "-m", "link", tree)))
	tree = mktree("040000 tree " + sub + "\tdir\n")
	check(t, s.open().RestoreTree(t.Context(), s.git("commit-tree", "-m", "through", tree)))
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("written through the link: %v, %v", entries, err)
	}
	if s.read("dir/pwned") != "1" {
		t.Error("the link was not replaced by the folder")
	}
}
