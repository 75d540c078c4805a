package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestLink(t *testing.T) {
	r, dir := sampleRepo(t)
	parent := t.TempDir()
	place := filepath.Join(parent, "new", "tree")
	w, err := r.Link(t.Context(), LinkSpec{Dir: place, Commit: "HEAD", ID: "a-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(place); err == nil {
		t.Error("the work tree is in its place before Publish")
	}
	if got := shell(t, w.Dir, "git status --porcelain; git diff HEAD; cat a"); got != "a\n" {
		t.Errorf("in the unfinished work tree: %q", got)
	}
	if err := w.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, place, "git status --porcelain; cat a d/e/c; readlink link; test -x run.sh; git log --format=%s; git worktree prune; git worktree list | wc -l | tr -d ' '"); got != "a\nc\na\none\n2\n" {
		t.Errorf("in the work tree: %q", got)
	}
	shell(t, dir, "git worktree list | grep -q 'new/tree .*detached'; git fsck --strict")

	shell(t, dir, "git branch other")
	second := filepath.Join(parent, "second")
	if w, err = r.Link(t.Context(), LinkSpec{Dir: second, Commit: "HEAD", Branch: "refs/heads/other", ID: "a-2"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Publish(); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, second, "echo changed >a; git commit -qam two; git log --format=%s other"); got != "two\none\n" {
		t.Errorf("on the branch: %q", got)
	}
	shell(t, dir, "git worktree remove --force "+second)

	for what, place := range map[string]string{"full": dir, "a file": filepath.Join(dir, "a")} {
		if w, err := r.Link(t.Context(), LinkSpec{Dir: place, Commit: "HEAD", ID: "a-3"}); errs.KindOf(err) != errs.Conflict {
			t.Errorf("a place that is %s: %v, %v", what, w, err)
		}
	}
}

// Who comes second to a place finds it taken, and leaves nothing.
func TestLinkTwice(t *testing.T) {
	r, _ := sampleRepo(t)
	parent := t.TempDir()
	place := filepath.Join(parent, "tree")
	first, err := r.Link(t.Context(), LinkSpec{Dir: place, Commit: "HEAD", ID: "first"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Link(t.Context(), LinkSpec{Dir: place, Commit: "HEAD", ID: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := second.Publish(); errs.KindOf(err) != errs.Conflict {
		t.Errorf("the second: %v", err)
	}
	if err := second.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, parent, "ls -A; ls "+r.CommonDir()+"/worktrees"); got != "tree\nctrx-first\n" {
		t.Errorf("left: %q", got)
	}
	if got := shell(t, place, "git status --porcelain"); got != "" {
		t.Errorf("the first: %q", got)
	}
}

// What a process that died left is cleared away by the next one; what another
// works in stays.
func TestLinkClearsUp(t *testing.T) {
	r, dir := sampleRepo(t)
	parent := t.TempDir()
	begin := func(name string) *NewWorkTree {
		t.Helper()
		w, err := r.Link(t.Context(), LinkSpec{Dir: filepath.Join(parent, name), Commit: "HEAD", ID: name})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	die := func(w *NewWorkTree) {
		t.Helper()
		if err := w.lock.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	early := begin("early") // died while it made the files
	inPublish := begin("inpublish")
	alive := begin("alive")
	after := begin("after") // died when it was in its place
	for _, w := range []*NewWorkTree{inPublish, after} {
		if err := os.WriteFile(filepath.Join(w.admin, "gitdir"), []byte(filepath.Join(w.place, ".git")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(after.Dir, after.place); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*NewWorkTree{early, inPublish, after} {
		die(w)
	}
	last := begin("last")
	if err := last.Publish(); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, parent, "ls -A | sort | tr '\\n' ' '; ls "+dir+"/.git/worktrees | sort | tr '\\n' ' '"); got != ".alive.ctrx-alive after last ctrx-after ctrx-alive ctrx-last " {
		t.Errorf("left: %q", got)
	}
	if err := alive.Publish(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"after", "alive", "last"} {
		if got := shell(t, filepath.Join(parent, name), "git status --porcelain"); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := shell(t, dir, "git worktree list"); strings.Count(got, "detached") != 3 {
		t.Errorf("git knows of\n%s", got)
	}
}
