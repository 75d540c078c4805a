package gitops

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// scratch makes a repository with n commits, oldest first.
func scratch(t *testing.T, n int) (*Repo, []string) {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(strings.Repeat("x", i)), 0o666); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "add", "f")
		run(t, dir, "commit", "-q", "--allow-empty", "-m", dir)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, strings.Fields(run(t, dir, "rev-list", "--reverse", "--all"))
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@e", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@e")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestPackNames reads objects of a pack that is not named by its checksum, as
// those of dulwich, and of one that came when the repository was open.
func TestPackNames(t *testing.T) {
	r, commits := scratch(t, 3)
	run(t, r.Root(), "repack", "-q", "-a", "-d")
	packs, err := filepath.Glob(filepath.Join(r.Dir(), "objects", "pack", "pack-*"))
	if err != nil || len(packs) < 2 {
		t.Fatal(packs, err)
	}
	for _, p := range packs {
		if err := os.Rename(p, filepath.Join(filepath.Dir(p), "pack-"+strings.Repeat("ab", 20)+filepath.Ext(p))); err != nil {
			t.Fatal(err)
		}
	}
	run(t, r.Root(), "fsck")
	fresh, err := Open(r.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commits {
		if !fresh.Has(c) {
			t.Errorf("commit %s is not seen", c)
		}
	}
	tree, err := fresh.Tree("HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := tree.ReadFile("f"); err != nil || string(data) != "xx" {
		t.Errorf("f of HEAD is %q, %v", data, err)
	}
}

func TestIsAncestor(t *testing.T) {
	r, c := scratch(t, 3)
	for _, test := range []struct {
		old, new string
		want     bool
	}{{c[0], c[2], true}, {c[2], c[0], false}, {c[1], c[1], true}, {strings.Repeat("a", 40), c[0], false}} {
		if got, err := r.IsAncestor(t.Context(), test.old, test.new); err != nil || got != test.want {
			t.Errorf("IsAncestor(%s, %s) = %v, %v", test.old[:7], test.new[:7], got, err)
		}
	}
}

// TestPushRefs pushes, lists, fetches and deletes refs at another repository.
func TestPushRefs(t *testing.T) {
	r, c := scratch(t, 2)
	there, _ := scratch(t, 0)
	const name = "refs/exps/ab/cdef/x"
	push := func(new, old string) error {
		return r.PushRefs(t.Context(), there.Root(), []RefChange{{Name: name, New: new, Old: old}})
	}
	listed := func() []Ref {
		refs, err := r.RemoteRefs(t.Context(), there.Root(), "refs/exps/*")
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	if err := push(c[1], ""); err != nil {
		t.Fatal(err)
	}
	if got := listed(); !slices.Equal(got, []Ref{{Name: name, Commit: c[1]}}) {
		t.Errorf("after the push: %v", got)
	}
	if err := push(c[0], ""); errs.KindOf(err) != errs.Conflict {
		t.Errorf("what is there was not expected, and the push said %v", err)
	}
	if err := push(c[0], c[1]); err != nil {
		t.Errorf("going back from the expected value: %v", err)
	}
	other, _ := scratch(t, 1)
	if err := other.FetchObjects(t.Context(), there.Root(), []string{name}); err != nil || !other.Has(c[0]) {
		t.Errorf("FetchObjects: %v, and the commit is there: %v", err, other.Has(c[0]))
	}
	if _, ok, _ := other.Ref(name); ok {
		t.Error("FetchObjects made a ref")
	}
	if _, err := os.Stat(filepath.Join(other.Dir(), "FETCH_HEAD")); err == nil {
		t.Error("FetchObjects wrote FETCH_HEAD")
	}
	if err := push("", c[0]); err != nil {
		t.Fatal(err)
	}
	if got := listed(); len(got) != 0 {
		t.Errorf("after the deletion: %v", got)
	}
	for _, remote := range []string{"nosuch", t.TempDir()} {
		if _, err := r.RemoteRefs(t.Context(), remote, "refs/*"); errs.KindOf(err) != errs.NotFound {
			t.Errorf("remote %s: %v", remote, err)
		}
	}
}

// TestAllCommits gives the commits of branches, tags and remotes in the order
// of their dates, each once.
func TestAllCommits(t *testing.T) {
	r, _ := scratch(t, 1)
	commit := func(date string, args ...string) {
		t.Setenv("GIT_COMMITTER_DATE", date)
		run(t, r.Root(), append([]string{"commit", "-q", "--allow-empty", "-m", date}, args...)...)
	}
	commit("2030-01-01T00:00:00Z")
	run(t, r.Root(), "checkout", "-q", "-b", "side")
	commit("2030-01-03T00:00:00Z")
	run(t, r.Root(), "update-ref", "refs/remotes/origin/far", run(t, r.Root(), "rev-parse", "HEAD")[:40])
	run(t, r.Root(), "reset", "-q", "--hard", "HEAD~1")
	commit("2030-01-04T00:00:00Z")
	run(t, r.Root(), "checkout", "-q", "main")
	commit("2030-01-02T00:00:00Z")
	run(t, r.Root(), "tag", "a-file", "HEAD:f")
	got, err := r.AllCommits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields(run(t, r.Root(), "rev-list", "HEAD", "--branches", "--remotes")); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
