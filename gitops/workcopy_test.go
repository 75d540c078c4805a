package gitops

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shell runs a shell script in a folder and gives what it prints.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@e", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@e",
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func sampleRepo(t *testing.T) (*Repo, string) {
	t.Helper()
	dir := t.TempDir()
	shell(t, dir, `git init -q -b main
		mkdir -p d/e; echo a >a; echo b >d/b; echo c >d/e/c; ln -s a link; echo x >run.sh; chmod +x run.sh
		git add -A; git commit -qm one`)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestEditTree(t *testing.T) {
	r, dir := sampleRepo(t)
	base := strings.TrimSpace(shell(t, dir, "git rev-parse HEAD^{tree}"))
	hash, err := r.EditTree(base, map[string][]byte{
		"a": []byte("A\n"), "run.sh": []byte("y\n"), "d/e/c": nil, "d/new/deep/f": []byte("f\n"), "z": []byte{},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := shell(t, dir, "git ls-tree -r "+hash+" | sed 's/ blob [0-9a-f]*//'; git cat-file -p "+hash+":a; git cat-file -p "+hash+":d/new/deep/f; git fsck --strict 2>&1 | grep -v dangling || true")
	want := "100644\ta\n100644\td/b\n100644\td/new/deep/f\n120000\tlink\n100755\trun.sh\n100644\tz\nA\nf\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if same, err := r.EditTree(base, map[string][]byte{"a": []byte("a\n")}); err != nil || same != base {
		t.Errorf("the same content makes %s, %v; want %s", same, err, base)
	}
	for _, bad := range []string{"../x", ".git/config", "d", "d/../a", "."} {
		if _, err := r.EditTree(base, map[string][]byte{bad: []byte("x")}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestPushReflog(t *testing.T) {
	r, dir := sampleRepo(t)
	one := strings.TrimSpace(shell(t, dir, "git rev-parse HEAD"))
	two := strings.TrimSpace(shell(t, dir, "git commit -q --allow-empty -m two; git rev-parse HEAD"))
	if err := r.PushReflog("refs/exps/celery/stash", []LogLine{{one, "commit: first"}, {two, "commit: second"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.PushReflog("refs/exps/celery/stash", []LogLine{{one, "commit: third"}}); err != nil {
		t.Fatal(err)
	}
	got := shell(t, dir, "git reflog show --format='%H %gs' refs/exps/celery/stash; git rev-parse refs/exps/celery/stash")
	want := one + " commit: third\n" + two + " commit: second\n" + one + " commit: first\n" + one + "\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestWorkCopy(t *testing.T) {
	r, dir := sampleRepo(t)
	head := strings.TrimSpace(shell(t, dir, "git rev-parse HEAD"))
	commit := strings.TrimSpace(shell(t, dir, "echo changed >a; echo new >d/new; git add -A; git commit -qm two; git gc -q; git rev-parse HEAD; git reset -q --hard HEAD~1"))
	copied := filepath.Join(t.TempDir(), "copy")
	err := r.WorkCopy(t.Context(), CopySpec{Dir: copied, Commit: commit, Head: head, Leave: []string{"d/e/c"}, Refs: map[string]string{"refs/exps/exec/EXEC_HEAD": head}})
	if err != nil {
		t.Fatal(err)
	}
	got := shell(t, copied, "git status --porcelain; git rev-parse HEAD refs/exps/exec/EXEC_HEAD; cat a d/new; readlink link; test -x run.sh; test ! -e d/e/c; git fsck --no-dangling")
	want := "M  a\nD  d/e/c\nA  d/new\n" + head + "\n" + head + "\nchanged\nnew\na\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	shell(t, copied, "git commit -qm 'in the copy'; echo more >>a; git stash -q; git gc -q --prune=now")
	if out := shell(t, dir, "git status --porcelain; git stash list; git cat-file -t "+commit); out != "commit\n" {
		t.Errorf("the copy changed its origin: %s", out)
	}

	other, err := Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(shell(t, copied, "git rev-parse HEAD"))
	if err := r.Import(t.Context(), other, made); err != nil {
		t.Fatal(err)
	}
	if out := shell(t, dir, "git fsck --connectivity-only "+made+" && git show --name-status --format=%s "+made); !strings.Contains(out, "in the copy\n\nM\ta\nD\td/e/c\nA\td/new\n") {
		t.Errorf("imported: %s", out)
	}
}

func TestWorkCopyOfShallowCloneWithSubmodule(t *testing.T) {
	_, inner := sampleRepo(t)
	outer := t.TempDir()
	shell(t, outer, `git init -q -b main; git -c protocol.file.allow=always submodule --quiet add `+inner+` libs/sub
		git commit -qm one; git commit -q --allow-empty -m two`)
	clone := filepath.Join(t.TempDir(), "clone")
	shell(t, outer, `git -c protocol.file.allow=always clone -q --depth 1 --recurse-submodules "file://$PWD" `+clone)
	r, err := Open(clone)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, want string) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy")
		if err := r.WorkCopy(t.Context(), CopySpec{Dir: copied, Commit: strings.TrimSpace(shell(t, clone, "git rev-parse HEAD"))}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := shell(t, copied, "cat libs/sub/d/b 2>/dev/null || true; git status --porcelain; git log --format=%s; git -C libs/sub rev-parse --show-toplevel"); got != strings.ReplaceAll(want, "COPY", copied) {
			t.Errorf("%s: got %q", name, got)
		}
	}
	check("initialised", "b\ntwo\nCOPY/libs/sub\n")
	shell(t, clone, "rm -rf libs/sub; mkdir libs/sub")
	check("kept by git only", "b\ntwo\nCOPY/libs/sub\n")
	shell(t, clone, "rm -rf .git/modules")
	check("not initialised", "two\nCOPY\n")
}

func TestWorkCopyWithConversion(t *testing.T) {
	r, dir := sampleRepo(t)
	commit := strings.TrimSpace(shell(t, dir, "echo '*.txt eol=crlf' >.gitattributes; printf 'l\\n' >l.txt; git add -A 2>/dev/null; git commit -qm crlf; git rev-parse HEAD"))
	copied := filepath.Join(t.TempDir(), "copy")
	if err := r.WorkCopy(t.Context(), CopySpec{Dir: copied, Commit: commit}); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, copied, "od -An -c l.txt; git status --porcelain"); strings.Join(strings.Fields(got), " ") != `l \r \n` {
		t.Errorf("got %q", got)
	}
}

// A clone that borrows objects is as good as any other.
func TestBorrowedObjects(t *testing.T) {
	_, dir := sampleRepo(t)
	clone := filepath.Join(t.TempDir(), "clone")
	shell(t, dir, "git clone -q --shared . "+clone)
	r, err := Open(clone)
	if err != nil {
		t.Fatal(err)
	}
	head := strings.TrimSpace(shell(t, dir, "git rev-parse HEAD"))
	if err := r.SetRef("refs/heads/other", head, "", ""); err != nil {
		t.Error(err)
	}
	if got, err := r.Resolve(head[:8]); err != nil || got != head {
		t.Errorf("%s, %v", got, err)
	}
	tree, err := r.Tree("HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := tree.Stat("d/b"); err != nil || info.Size() != 2 {
		t.Errorf("%v, %v", info, err)
	}
}
