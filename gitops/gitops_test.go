package gitops

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

// sandbox is a work tree that the git program made, with an environment in
// which nothing of the user's counts.
type sandbox struct {
	t    *testing.T
	root string
	env  map[string]string
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t: t, root: filepath.Join(home, "repo"), env: map[string]string{
		"HOME": home, "USERPROFILE": home, "XDG_CONFIG_HOME": filepath.Join(home, "xdg"), "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "A U Thor", "GIT_AUTHOR_EMAIL": "author@example.com", "GIT_COMMITTER_NAME": "C O Mitter", "GIT_COMMITTER_EMAIL": "committer@example.com",
	}}
	for name, value := range s.env {
		t.Setenv(name, value) // for the git program that the package runs
	}
	if err := os.Mkdir(s.root, 0o777); err != nil {
		t.Fatal(err)
	}
	s.git("init", "-q", "-b", "main")
	return s
}

func (s *sandbox) getenv(name string) string { return s.env[name] }

// git runs git in the work tree and gives its trimmed output.
func (s *sandbox) git(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func (s *sandbox) try(args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), "git", args...)
	cmd.Dir = s.root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String(), err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// write makes files of alternating names and contents.
func (s *sandbox) write(nameContent ...string) {
	s.t.Helper()
	for i := 0; i < len(nameContent); i += 2 {
		name := filepath.Join(s.root, nameContent[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(nameContent[i+1]), 0o666); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *sandbox) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.root, name))
	if os.IsNotExist(err) {
		return "(none)"
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func (s *sandbox) remove(names ...string) {
	s.t.Helper()
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(s.root, n)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *sandbox) commit(message string) string {
	s.git("add", "-A")
	s.git("commit", "-q", "--allow-empty", "-m", message)
	return s.git("rev-parse", "HEAD")
}

func (s *sandbox) open() *Repo {
	s.t.Helper()
	return s.openAt(s.root)
}

func (s *sandbox) openAt(dir string) *Repo {
	s.t.Helper()
	r, err := OpenWith(dir, Options{Env: s.getenv, Now: func() time.Time { return time.Unix(1700000000, 0).UTC() }})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// state is everything that a question must leave as it is.
func (s *sandbox) state() string {
	index, _ := os.ReadFile(filepath.Join(s.root, ".git", "index"))
	info, err := os.Stat(filepath.Join(s.root, ".git", "index"))
	when := time.Time{}
	if err == nil {
		when = info.ModTime()
	}
	refs, _ := s.try("for-each-ref")
	return fmt.Sprintf("%x %v %s %s", index, when, refs, s.read(".git/HEAD"))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	s := newSandbox(t)
	s.write("a/b/c.txt", "x")
	first := s.commit("one")
	s.git("worktree", "add", "-q", "../linked", "-b", "side")
	linked := filepath.Join(filepath.Dir(s.root), "linked")
	for _, dir := range []string{s.root, filepath.Join(s.root, "a/b")} {
		r := s.openAt(dir)
		if r.Root() != s.root || r.Dir() != filepath.Join(s.root, ".git") || r.CommonDir() != r.Dir() {
			t.Errorf("Open(%s): root %s, dir %s, common %s", dir, r.Root(), r.Dir(), r.CommonDir())
		}
	}
	r := s.openAt(filepath.Join(linked, "a"))
	if r.Root() != linked || r.CommonDir() != filepath.Join(s.root, ".git") || r.Dir() == r.CommonDir() {
		t.Errorf("linked: root %s, dir %s, common %s", r.Root(), r.Dir(), r.CommonDir())
	}
	if h, err := r.Head(); err != nil || h != (Head{Commit: first, Branch: "side"}) {
		t.Errorf("head of the linked work tree: %+v, %v", h, err)
	}
	if data, err := mustTree(t, r, "main").ReadFile("a/b/c.txt"); err != nil || string(data) != "x" {
		t.Errorf("file through the linked work tree: %q, %v", data, err)
	}
}

func mustTree(t *testing.T, r *Repo, rev string) *Tree {
	t.Helper()
	tree, err := r.Tree(rev)
	check(t, err)
	return tree
}

func TestOpenNothing(t *testing.T) {
	_, err := OpenWith(t.TempDir(), Options{Env: func(string) string { return "" }, Now: time.Now})
	if errs.KindOf(err) != errs.NotFound || errs.HintOf(err) != "git init" {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

func TestOpenUnsupported(t *testing.T) {
	s := newSandbox(t)
	if out, err := s.try("init", "-q", "--object-format=sha256", "../other"); err != nil {
		t.Skip(out)
	}
	_, err := OpenWith(filepath.Join(s.root, "../other"), Options{Env: s.getenv, Now: time.Now})
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("%v", err)
	}
}

func TestHead(t *testing.T) {
	s := newSandbox(t)
	r := s.open()
	if h, err := r.Head(); err != nil || h != (Head{Branch: "main"}) {
		t.Errorf("before the first commit: %+v, %v", h, err)
	}
	if _, err := r.Resolve("HEAD"); errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "no commit yet") {
		t.Errorf("HEAD before the first commit: %v", err)
	}
	if dirty, err := r.Dirty(t.Context()); dirty || err != nil {
		t.Errorf("empty repository is dirty: %v, %v", dirty, err)
	}
	s.write("f", "1")
	one := s.commit("one")
	if h, err := r.Head(); err != nil || h != (Head{Commit: one, Branch: "main"}) {
		t.Errorf("on a branch: %+v, %v", h, err)
	}
	s.git("checkout", "-q", "--detach")
	s.git("pack-refs", "--all")
	if h, err := r.Head(); err != nil || h != (Head{Commit: one}) {
		t.Errorf("detached: %+v, %v", h, err)
	}
	s.git("checkout", "-q", "main")
	if h, err := r.Head(); err != nil || h != (Head{Commit: one, Branch: "main"}) {
		t.Errorf("packed branch: %+v, %v", h, err)
	}
}

func TestResolve(t *testing.T) {
	s := newSandbox(t)
	for _, m := range []string{"one", "two", "three"} {
		s.write("f", m)
		s.commit(m)
	}
	s.git("tag", "light", "HEAD~1")
	s.git("tag", "-a", "heavy", "-m", "x", "HEAD~2")
	s.git("tag", "-a", "heavier", "-m", "x", "heavy")
	s.git("checkout", "-q", "-b", "side/branch", "HEAD~1")
	s.write("g", "1")
	s.commit("side")
	s.git("merge", "-q", "--no-edit", "main")
	head := s.git("rev-parse", "HEAD")
	blob := s.git("rev-parse", "HEAD:f")
	good := []string{
		"HEAD", "@", "HEAD~1", "HEAD~", "HEAD^", "HEAD^2", "HEAD^2~1", "HEAD^^", "HEAD~0", "HEAD^0", "HEAD~2^0", "@~1", "main", "heads/main", "refs/heads/main", "light", "heavy", "heavier", "heavier^{}", "heavy^{commit}",
		"tags/heavy", "side/branch", "main~2", "HEAD^{commit}^", head, head[:7], head[:5], strings.ToUpper(head[:10]), "v1-4-g" + head[:8], "HEAD@{0}", "HEAD@{1}", "main@{0}", "@{0}", "side/branch@{1}",
	}
	bad := []string{"", "nope", "HEAD~9", "HEAD^3", "main^9", "HEAD~x", "HEAD^{tree}", "HEAD^{", "a..b", "HEAD..main", "--all", "HEAD:f", blob, blob[:8], "abc", "HEAD@{99}", "HEAD@{x}", strings.Repeat("0", 40), "refs/heads", "../../config", "HEAD~99999999999999999999"}
	for _, packed := range []bool{false, true} {
		if packed {
			s.git("gc", "-q")
		}
		r := s.open()
		for _, rev := range good {
			want, err := s.try("rev-parse", "--verify", "-q", rev+"^{commit}")
			if err != nil {
				t.Fatalf("git does not know %q", rev)
			}
			if got, err := r.Resolve(rev); err != nil || got != want {
				t.Errorf("packed %v: Resolve(%q) = %s, %v; want %s", packed, rev, got, err, want)
			}
		}
		for _, rev := range bad {
			if got, err := r.Resolve(rev); errs.KindOf(err) != errs.NotFound {
				t.Errorf("packed %v: Resolve(%q) = %s, %v", packed, rev, got, err)
			}
		}
	}
}

func TestCommitInfo(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1")
	one := s.commit("first line\n\nbody\n")
	two := s.commit("two")
	info, err := s.open().Commit("HEAD")
	check(t, err)
	if info.Hash != two || len(info.Parents) != 1 || info.Parents[0] != one || info.Message != "two\n" || info.Author.Email != "author@example.com" ||
		info.Tree != s.git("rev-parse", "HEAD^{tree}") || fmt.Sprint(info.Time.Unix()) != s.git("log", "-1", "--format=%ct") {
		t.Errorf("%+v", info)
	}
}

func TestShallowClone(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1")
	s.commit("one")
	s.write("f", "2")
	two := s.commit("two")
	clone := filepath.Join(filepath.Dir(s.root), "clone")
	s.git("clone", "-q", "--depth", "1", "file://"+filepath.ToSlash(s.root), clone)
	r := s.openAt(clone)
	if got, err := r.Resolve("HEAD"); err != nil || got != two {
		t.Errorf("HEAD %s, %v", got, err)
	}
	if _, err := r.Resolve("HEAD~1"); errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "--unshallow") {
		t.Errorf("HEAD~1: %v, hint %q", err, errs.HintOf(err))
	}
	if url, ok := r.RemoteURL("origin"); !ok || !strings.HasPrefix(url, "file://") {
		t.Errorf("origin %q, %v", url, ok)
	}
	if _, ok := r.RemoteURL("nope"); ok {
		t.Error("URL of no remote")
	}
}

func TestIdentity(t *testing.T) {
	s := newSandbox(t)
	r := s.open()
	if id := r.Identity(t.Context()); id != (Signature{Name: "A U Thor", Email: "author@example.com"}) {
		t.Errorf("from the environment: %+v", id)
	}
	for _, name := range []string{"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
		delete(s.env, name)
	}
	if id := r.Identity(t.Context()); id != (Signature{Name: "ctrx", Email: "ctrx@localhost", Default: true}) {
		t.Errorf("nobody: %+v", id)
	}
	s.write("../included", "[user]\n\tname = In Cluded\n\temail = in@example.com\n")
	s.git("config", "include.path", "../../included")
	if id := s.open().Identity(t.Context()); id != (Signature{Name: "In Cluded", Email: "in@example.com"}) {
		t.Errorf("from an included file: %+v", id)
	}
	s.git("config", "user.name", "Me")
	s.git("config", "user.email", "me@example.com")
	t.Setenv("PATH", "")
	if id := s.open().Identity(t.Context()); id != (Signature{Name: "Me", Email: "me@example.com"}) {
		t.Errorf("without the git program: %+v", id)
	}
}

func TestExcludeAndIgnored(t *testing.T) {
	s := newSandbox(t)
	s.write(".gitignore", "*.o\n", "../excludes", "*.user\n")
	s.git("config", "--global", "core.excludesFile", filepath.Join(s.root, "../excludes"))
	r := s.open()
	if r.Ignored("x.secret", false) || !r.Ignored("a/b.o", false) || !r.Ignored("x.user", false) {
		t.Error("before Exclude")
	}
	for range 2 {
		check(t, r.Exclude("*.secret"))
	}
	if !r.Ignored("x.secret", false) || strings.Count(s.read(".git/info/exclude"), "*.secret\n") != 1 {
		t.Errorf("after Exclude: %q", s.read(".git/info/exclude"))
	}
	for _, p := range []string{"x.secret", "a.o", "y.user"} {
		s.git("check-ignore", "-q", p)
	}
}

func TestAddToIndexAndTracked(t *testing.T) {
	s := newSandbox(t)
	s.write("a/one", "1", "a/two", "2", "gone", "3", "-dash", "4", "glob*", "5", "globx", "6")
	s.git("add", "gone")
	s.remove("gone")
	r := s.open()
	check(t, r.AddToIndex(t.Context(), "a/one", "gone", "missing", "-dash", "glob*"))
	if got := s.git("ls-files"); got != "-dash\na/one\nglob*" {
		t.Errorf("index: %q", got)
	}
	for p, want := range map[string]bool{"a": true, "a/one": true, "a/two": false, "a/": true, "globx": false, ".": true, "a/o": false, "gone": false} {
		if got := r.Tracked(p); got != want {
			t.Errorf("Tracked(%q) = %v", p, got)
		}
	}
	for _, p := range []string{"../x", ".git/config", "a/.GIT/x"} {
		if err := r.AddToIndex(t.Context(), p); errs.KindOf(err) != errs.Usage {
			t.Errorf("AddToIndex(%q): %v", p, err)
		}
	}
}
