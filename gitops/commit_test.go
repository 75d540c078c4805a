package gitops

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

// gitTree is the tree that `git add -u`, then `git add -f` of more paths, would
// commit; made in an index of its own. The copy keeps the time of the index: git
// looks again at files that are not older than that.
func (s *sandbox) gitTree(add ...string) string {
	s.t.Helper()
	tmp := filepath.Join(s.t.TempDir(), "index")
	if info, err := os.Stat(filepath.Join(s.root, ".git/index")); err == nil {
		data, err := os.ReadFile(filepath.Join(s.root, ".git/index"))
		check(s.t, err)
		check(s.t, os.WriteFile(tmp, data, 0o666))
		check(s.t, os.Chtimes(tmp, info.ModTime(), info.ModTime()))
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(s.t.Context(), "git", args...)
		cmd.Dir = s.root
		cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+tmp)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("add", "-u")
	for _, a := range add {
		run("add", "-f", "--", a)
	}
	return run("write-tree")
}

func TestWriteTreeAsGitDoes(t *testing.T) {
	unix := runtime.GOOS != "windows"
	tests := map[string]func(s *sandbox) (add []string){
		"nothing changed": func(s *sandbox) []string { return nil },
		"modified, same size": func(s *sandbox) []string {
			s.write("a.txt", "B", "dir/b.txt", "C")
			return nil
		},
		"deleted file and folder": func(s *sandbox) []string { s.remove("a.txt", "dir/sub"); return nil },
		"everything deleted": func(s *sandbox) []string {
			s.remove("a.txt", "dir", "dir.x", "dir-x", "run.sh", "link")
			return nil
		},
		"untracked is left out": func(s *sandbox) []string { s.write("new", "n", "dir/new", "n"); return nil },
		"added files": func(s *sandbox) []string {
			s.write("new", "n", "dir/new", "n", "deep/er/x", "1", "x.ign", "ignored")
			return []string{"new", "dir/new", "deep/er/x", "x.ign"}
		},
		"staged but not committed": func(s *sandbox) []string {
			s.write("staged", "1")
			s.git("add", "staged")
			s.write("staged", "2")
			return nil
		},
		"intent to add": func(s *sandbox) []string {
			s.write("later", "1")
			s.git("add", "-N", "later")
			return nil
		},
		"removed from the index": func(s *sandbox) []string { s.git("rm", "-q", "--cached", "a.txt"); return nil },
		"file becomes a folder": func(s *sandbox) []string {
			s.remove("a.txt")
			s.write("a.txt/inside", "1")
			return []string{"a.txt/inside"}
		},
		"folder becomes a file": func(s *sandbox) []string {
			s.remove("dir")
			s.write("dir", "1")
			return []string{"dir"}
		},
		"index of version 4": func(s *sandbox) []string {
			s.git("update-index", "--index-version", "4")
			s.write("a.txt", "four")
			return nil
		},
		"split index": func(s *sandbox) []string {
			s.git("update-index", "--split-index")
			s.write("a.txt", "split")
			return nil
		},
		"large file": func(s *sandbox) []string {
			s.write("a.txt", strings.Repeat("0123456789abcdef", 100_000))
			return nil
		},
		"line ends": func(s *sandbox) []string {
			s.git("config", "core.autocrlf", "input")
			s.write("a.txt", "one\r\ntwo\r\n", "new", "x\r\n")
			return []string{"new"}
		},
		"attributes": func(s *sandbox) []string {
			s.write(".gitattributes", "*.txt text eol=crlf\n", "a.txt", "one\r\ntwo\r\n")
			return []string{".gitattributes"}
		},
		"odd names": func(s *sandbox) []string {
			s.write("with space", "1", "Юникод", "2", "-dash", "3")
			return []string{"with space", "Юникод", "-dash"}
		},
	}
	if unix {
		tests["executable bit"] = func(s *sandbox) []string {
			check(s.t, os.Chmod(filepath.Join(s.root, "a.txt"), 0o755))
			check(s.t, os.Chmod(filepath.Join(s.root, "run.sh"), 0o644))
			return nil
		}
		tests["executable bit not trusted"] = func(s *sandbox) []string {
			s.git("config", "core.fileMode", "false")
			check(s.t, os.Chmod(filepath.Join(s.root, "a.txt"), 0o755))
			check(s.t, os.Chmod(filepath.Join(s.root, "run.sh"), 0o644))
			s.write("run.sh", "changed")
			return nil
		}
		tests["links"] = func(s *sandbox) []string {
			s.remove("link", "a.txt")
			check(s.t, os.Symlink("dir/b.txt", filepath.Join(s.root, "link")))
			check(s.t, os.Symlink("/nowhere", filepath.Join(s.root, "a.txt")))
			return nil
		}
		tests["folder becomes a link"] = func(s *sandbox) []string {
			check(s.t, os.Rename(filepath.Join(s.root, "dir"), filepath.Join(s.root, "moved")))
			check(s.t, os.Symlink("moved", filepath.Join(s.root, "dir")))
			return nil
		}
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.write("a.txt", "a", "dir/b.txt", "b", "dir/sub/c", "c", "dir.x", "1", "dir-x", "2", "run.sh", "#!", ".gitignore", "*.ign\n")
			if unix {
				check(t, os.Symlink("a.txt", filepath.Join(s.root, "link")))
				check(t, os.Chmod(filepath.Join(s.root, "run.sh"), 0o755))
			}
			base := s.commit("base")
			s.git("config", "gc.auto", "0")
			add := change(s)
			r := s.open()
			before := s.state()
			hash, err := r.WriteCommit(t.Context(), CommitSpec{Parent: base, Message: "m", Add: add, Author: Signature{Name: "X", Email: "x@y"}})
			check(t, err)
			if got, want := s.git("rev-parse", hash+"^{tree}"), s.gitTree(add...); got != want {
				t.Errorf("tree differs from git's:\n%s\ngit:\n%s", s.git("ls-tree", "-r", got), s.git("ls-tree", "-r", want))
			}
			if s.state() != before {
				t.Error("the index, a ref or HEAD was touched")
			}
			s.git("fsck", "--strict", "--no-dangling")
			dirty, err := r.Dirty(t.Context())
			if want, _ := s.try("status", "--porcelain", "-uno"); err != nil || dirty != (want != "") {
				t.Errorf("Dirty %v, %v; git status %q", dirty, err, want)
			}
		})
	}
}

func TestWriteCommit(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1")
	r := s.open()
	when := time.Date(2024, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3*3600))
	root, err := r.WriteCommit(t.Context(), CommitSpec{Message: "no parent", Add: []string{"f"}, Author: Signature{Name: "N <x>", Email: "e@x", When: when}})
	check(t, err)
	if got := s.git("log", "-1", "--format=%an|%ae|%aI|%cn|%P|%B", root); got != "N x|e@x|2024-02-03T04:05:06+03:00|N x||no parent\n" && got != "N x|e@x|2024-02-03T04:05:06+03:00|N x||no parent" {
		t.Errorf("commit %q", got)
	}
	child, err := r.WriteCommit(t.Context(), CommitSpec{Parent: root, Message: "exact\n\nmessage\n\n", Author: Signature{Name: "a", Email: "b"}})
	check(t, err)
	if raw := s.git("cat-file", "commit", child); !strings.HasSuffix(raw, "\n\nexact\n\nmessage\n") || !strings.Contains(raw, "parent "+root) || !strings.Contains(raw, "a <b> 1700000000 +0000") {
		t.Errorf("commit %q", raw)
	}
	if _, err := r.WriteCommit(t.Context(), CommitSpec{Parent: strings.Repeat("1", 40)}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("missing parent: %v", err)
	}
	for _, p := range []string{"../x", ".git/config", "/etc/passwd"} {
		if _, err := r.WriteTree(t.Context(), []string{p}); errs.KindOf(err) != errs.Usage {
			t.Errorf("add %s: %v", p, err)
		}
	}
}

func TestAddFolder(t *testing.T) {
	s := newSandbox(t)
	s.write(".gitignore", "*.ign\nwhole/\n", "d/a", "1", "d/b.ign", "2", "d/e/c", "3", "whole/x.ign", "4", "whole/y", "5", "d/nested/z", "6")
	s.git("init", "-q", "d/nested")
	tree, err := s.open().WriteTree(t.Context(), []string{"d", "whole"})
	check(t, err)
	if got := s.git("ls-tree", "-r", "--name-only", tree); got != "d/a\nd/e/c\nwhole/x.ign\nwhole/y" {
		t.Errorf("tree %q", got)
	}
	tree, err = s.open().WriteTree(t.Context(), []string{"."})
	check(t, err)
	if got := s.git("ls-tree", "-r", "--name-only", tree); got != ".gitignore\nd/a\nd/e/c" {
		t.Errorf("tree of everything %q", got)
	}
}

func TestMergeConflictIsRefused(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "base")
	s.commit("base")
	s.git("checkout", "-q", "-b", "side")
	s.write("f", "side")
	s.commit("side")
	s.git("checkout", "-q", "main")
	s.write("f", "main")
	s.commit("main")
	s.try("merge", "side")
	r := s.open()
	if _, err := r.WriteTree(t.Context(), nil); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "f is in a merge conflict") {
		t.Errorf("%v", err)
	}
	if err := r.Resolved(t.Context()); errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v", err)
	}
	if dirty, err := r.Dirty(t.Context()); !dirty || err != nil {
		t.Errorf("dirty %v, %v", dirty, err)
	}
	s.write("f", "both")
	s.git("add", "f")
	if err := s.open().Resolved(t.Context()); err != nil {
		t.Errorf("when all is added: %v", err)
	}
}

func TestUntrackedFolderThatGoes(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "base")
	s.commit("base")
	s.write("d/a", "1", "d/gone/x", "2", "d/z", "3")
	r := s.open()
	var seen []string
	err := r.walkUntracked(t.Context(), "d", func(rel string, _ fs.FileInfo) {
		if seen = append(seen, rel); rel == "d/a" { // d was listed, and d/gone is not read yet
			if err := os.RemoveAll(filepath.Join(s.root, "d", "gone")); err != nil {
				t.Error(err)
			}
		}
	})
	if want := []string{"d/a", "d/z"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%q, %v; want %q", seen, err, want)
	}
	if err := r.walkUntracked(t.Context(), "nosuch", func(string, fs.FileInfo) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestSubmoduleAndSparse(t *testing.T) {
	s := newSandbox(t)
	s.write("a/x", "1", "b/y", "2", "top", "3")
	s.commit("base")
	s.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", s.root, "sub")
	s.commit("with submodule")
	s.git("sparse-checkout", "set", "a")
	if s.read("b/y") != "(none)" {
		t.Fatal("b/y is checked out")
	}
	s.write("a/x", "changed")
	r := s.open()
	tree, err := r.WriteTree(t.Context(), nil)
	check(t, err)
	if want := s.gitTree(); tree != want {
		t.Errorf("tree:\n%s\ngit:\n%s", s.git("ls-tree", "-r", tree), s.git("ls-tree", "-r", want))
	}
	s.git("sparse-checkout", "set", "--sparse-index", "a")
	s.write("top", "new")
	tree, err = s.open().WriteTree(t.Context(), nil)
	check(t, err)
	if want := s.gitTree(); tree != want {
		t.Errorf("sparse index: tree:\n%s\ngit:\n%s", s.git("ls-tree", "-r", tree), s.git("ls-tree", "-r", want))
	}
}

func TestWriteTreeInLinkedWorktree(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1", "g", "1")
	base := s.commit("base")
	linked := filepath.Join(filepath.Dir(s.root), "linked")
	s.git("worktree", "add", "-q", "--detach", linked)
	s.write("f", "main work tree", "../linked/f", "linked")
	r := s.openAt(linked)
	hash, err := r.WriteCommit(t.Context(), CommitSpec{Parent: base, Author: Signature{Name: "a", Email: "b"}})
	check(t, err)
	if got := s.git("show", hash+":f"); got != "linked" {
		t.Errorf("f is %q", got)
	}
	check(t, r.SetRef("refs/exps/x", hash, "", ""))
	if got := s.git("rev-parse", "refs/exps/x"); got != hash {
		t.Errorf("ref %s", got)
	}
}

// Random edits must give the tree that git gives, and restoring each state
// must bring its files back.
func TestRandomEditsAndRestores(t *testing.T) {
	s := newSandbox(t)
	rnd := rand.New(rand.NewSource(3))
	names := []string{"a", "b", "a.x", "d/a", "d/b", "d/e/f", "d-x", "g/h/i/j", "a/under"}
	s.write("keep", "k")
	s.commit("base")
	r := s.open()
	var commits []string
	for range 25 {
		for range 1 + rnd.Intn(4) {
			n := names[rnd.Intn(len(names))]
			switch rnd.Intn(3) {
			case 0:
				s.remove(n)
			case 1:
				if info, err := os.Stat(filepath.Join(s.root, filepath.Dir(n))); err == nil && !info.IsDir() {
					s.remove(filepath.Dir(n))
				}
				if info, err := os.Lstat(filepath.Join(s.root, n)); err == nil && info.IsDir() {
					s.remove(n)
				}
				s.write(n, fmt.Sprint(rnd.Intn(4)))
			case 2:
				s.git("add", "-A")
			}
		}
		var add []string
		if rnd.Intn(2) == 0 {
			add = []string{"."}
		}
		hash, err := r.WriteCommit(t.Context(), CommitSpec{Parent: s.git("rev-parse", "HEAD"), Message: "m", Add: add, Author: Signature{Name: "a", Email: "b"}})
		check(t, err)
		want := s.gitTree(add...)
		if got := s.git("rev-parse", hash+"^{tree}"); got != want {
			t.Fatalf("tree:\n%s\ngit:\n%s", s.git("ls-tree", "-r", got), s.git("ls-tree", "-r", want))
		}
		commits = append(commits, hash)
	}
	s.git("add", "-A")
	for range 25 {
		target := commits[rnd.Intn(len(commits))]
		before := s.state()
		check(t, r.RestoreTree(t.Context(), target))
		if s.state() != before {
			t.Fatal("RestoreTree touched the index, a ref or HEAD")
		}
		// Everything in the work tree was tracked, so now it is exactly the commit.
		s.git("add", "-A")
		if out := s.git("diff", "--cached", "--name-status", target); out != "" {
			t.Fatalf("differs from the commit: %s", out)
		}
	}
}
