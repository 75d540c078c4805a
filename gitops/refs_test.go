package gitops

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ctrx/internal/errs"
)

func TestSetAndDeleteRef(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) {
			s := newSandbox(t)
			one, two := s.commit("one"), s.commit("two")
			r := s.open()
			const name = "refs/exps/ab/cdef/my-exp"
			pack := func() {
				if packed {
					s.git("pack-refs", "--all", "--prune")
				}
			}
			check(t, r.SetRef(name, one, "", "made"))
			pack()
			if err := r.SetRef(name, two, "", ""); errs.KindOf(err) != errs.Conflict {
				t.Errorf("create again: %v", err)
			}
			if err := r.SetRef(name, two, two, ""); errs.KindOf(err) != errs.Conflict {
				t.Errorf("wrong old value: %v", err)
			}
			check(t, r.SetRef(name, two, one, "moved\nwith a line end"))
			pack()
			if got := s.git("rev-parse", name); got != two {
				t.Errorf("git sees %s", got)
			}
			if got := s.git("reflog", "show", "--format=%gs|%gn|%H", name); got != "moved with a line end|C O Mitter|"+two+"\nmade|C O Mitter|"+one {
				t.Errorf("reflog %q", got)
			}
			if err := r.DeleteRef(name, one); errs.KindOf(err) != errs.Conflict {
				t.Errorf("delete with a wrong old value: %v", err)
			}
			check(t, r.DeleteRef(name, two))
			if out, err := s.try("rev-parse", "-q", "--verify", name); err == nil {
				t.Errorf("still there: %s", out)
			}
			if _, err := os.Stat(filepath.Join(s.root, ".git/logs", name)); err == nil {
				t.Error("the reflog is still there")
			}
			if _, err := os.Stat(filepath.Join(s.root, ".git/refs/exps/ab")); err == nil {
				t.Error("an empty folder is left")
			}
			if err := r.DeleteRef(name, two); errs.KindOf(err) != errs.NotFound {
				t.Errorf("delete again: %v", err)
			}
			check(t, r.DeleteRef(name, AnyValue))
			check(t, r.SetRef(name, one, AnyValue, ""))
			if got := s.git("rev-parse", "main"); got != two {
				t.Errorf("main is at %s", got)
			}
			s.git("fsck", "--strict")
		})
	}
}

func TestRefErrors(t *testing.T) {
	s := newSandbox(t)
	one := s.commit("one")
	r := s.open()
	check(t, r.SetRef("refs/exps/a", one, "", ""))
	for _, packed := range []bool{false, true} {
		if packed {
			s.git("pack-refs", "--all", "--prune")
		}
		if err := r.SetRef("refs/exps/a/b", one, "", ""); errs.KindOf(err) != errs.Conflict {
			t.Errorf("packed %v: below a ref: %v", packed, err)
		}
		if err := r.SetRef("refs/heads", one, "", ""); errs.KindOf(err) != errs.Usage {
			t.Errorf("packed %v: refs/heads: %v", packed, err)
		}
	}
	check(t, r.DeleteRef("refs/exps/a", one))
	check(t, r.SetRef("refs/exps/a/b", one, "", ""))
	if err := r.SetRef("refs/exps/a", one, "", ""); errs.KindOf(err) != errs.Conflict {
		t.Errorf("above a ref: %v", err)
	}
	check(t, r.DeleteRef("refs/exps/a/b", one))
	check(t, os.MkdirAll(filepath.Join(s.root, ".git/refs/exps/a/left/over"), 0o777))
	check(t, r.SetRef("refs/exps/a", one, "", ""))
	if err := r.SetRef("refs/exps/x", strings.Repeat("1", 40), "", ""); errs.KindOf(err) != errs.NotFound {
		t.Errorf("missing object: %v", err)
	}
	if err := r.SetRef("refs/exps/x", "main", "", ""); errs.KindOf(err) != errs.Usage {
		t.Errorf("no hash: %v", err)
	}
	for _, name := range []string{"HEAD", "main", "refs/../x/y", "refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a b"} {
		if err := r.SetRef(name, one, AnyValue, ""); errs.KindOf(err) != errs.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, os.WriteFile(filepath.Join(s.root, ".git/refs/exps/locked.lock"), nil, 0o666))
	if err := r.SetRef("refs/exps/locked", one, "", ""); errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "rm ") {
		t.Errorf("locked: %v, hint %q", err, errs.HintOf(err))
	}
}

func TestSymbolicRef(t *testing.T) {
	s := newSandbox(t)
	one := s.commit("one")
	r := s.open()
	check(t, r.SetSymbolicRef("refs/exps/exec/EXEC_BRANCH", "refs/exps/x"))
	if _, ok, err := r.Ref("refs/exps/exec/EXEC_BRANCH"); ok || err != nil {
		t.Errorf("without a target: %v, %v", ok, err)
	}
	check(t, r.SetRef("refs/exps/x", one, "", ""))
	if hash, ok, err := r.Ref("refs/exps/exec/EXEC_BRANCH"); hash != one || !ok || err != nil {
		t.Errorf("%s, %v, %v", hash, ok, err)
	}
	if got := s.git("symbolic-ref", "refs/exps/exec/EXEC_BRANCH"); got != "refs/exps/x" {
		t.Errorf("git sees %s", got)
	}
	refs, err := r.Refs("refs/exps/exec/")
	if err != nil || len(refs) != 1 || refs[0] != (Ref{"refs/exps/exec/EXEC_BRANCH", one, "refs/exps/x"}) {
		t.Errorf("refs %+v, %v", refs, err)
	}
	check(t, r.DeleteRef("refs/exps/exec/EXEC_BRANCH", AnyValue))
	if _, ok, _ := r.Ref("refs/exps/x"); !ok {
		t.Error("the target was deleted")
	}
	check(t, r.SetSymbolicRef("refs/exps/loop", "refs/exps/loop"))
	if _, _, err := r.Ref("refs/exps/loop"); err == nil {
		t.Error("a loop has a value")
	}
}

func TestRefsAsGitListsThem(t *testing.T) {
	s := newSandbox(t)
	one := s.commit("one")
	s.git("tag", "light")
	s.git("tag", "-a", "heavy", "-m", "x")
	s.git("branch", "b/c")
	r := s.open()
	check(t, r.SetRef("refs/exps/p/q", one, "", ""))
	for _, packed := range []bool{false, true} {
		if packed {
			s.git("pack-refs", "--all")
			s.git("branch", "after")
			s.git("branch", "-q", "-D", "b/c")
		}
		for _, prefix := range []string{"", "refs/", "refs/heads/", "refs/tags/", "refs/exps/", "refs/exps/p/", "refs/heads/m", "refs/none/"} {
			refs, err := r.Refs(prefix)
			check(t, err)
			var got []string
			for _, ref := range refs {
				got = append(got, ref.Name+" "+ref.Commit)
			}
			var want []string
			for line := range strings.Lines(s.git("for-each-ref", "--format=%(refname) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)")) {
				if line = strings.TrimSpace(line); line != "" && strings.HasPrefix(line, prefix) {
					want = append(want, line)
				}
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("packed %v, %q:\n%s\ngit:\n%s", packed, prefix, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func TestCheckRefNameAsGit(t *testing.T) {
	s := newSandbox(t)
	for _, name := range []string{"a", "a/b", "a.b", "a-b", "über", "a@b", "@a", "a{b", "", "@", ".a", "a.", "a/.b", "a..b", "a.lock", "a.lock/b", "a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", `a\b`, "a@{b", "a//b", "/a", "a/", "a\tb", "a\x7fb", "a]b", "-a", "a/@"} {
		full := "refs/heads/" + name
		_, gitErr := s.try("check-ref-format", full)
		if err := CheckRefName(full); (err == nil) != (gitErr == nil) {
			t.Errorf("%q: %v, git %v", full, err, gitErr)
		}
	}
}

func TestRefIsCounterOfManyWriters(t *testing.T) {
	s := newSandbox(t)
	s.git("config", "gc.auto", "0")
	var chain []string
	for i := range 9 {
		chain = append(chain, s.commit(fmt.Sprint(i)))
	}
	check(t, s.open().SetRef("refs/exps/counter", chain[0], "", "start"))
	var wg sync.WaitGroup
	var steps atomic.Int32
	for range 4 {
		r := s.open()
		wg.Go(func() {
			for {
				now, _, err := r.Ref("refs/exps/counter")
				if err != nil {
					t.Error(err)
					return
				}
				i := 0
				for chain[i] != now {
					i++
				}
				if i == len(chain)-1 {
					return
				}
				err = r.SetRef("refs/exps/counter", chain[i+1], now, "step")
				if err == nil {
					steps.Add(1)
				} else if errs.KindOf(err) != errs.Conflict {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	entries, err := s.open().Reflog("refs/exps/counter")
	if err != nil || int(steps.Load()) != len(chain)-1 || len(entries) != len(chain) {
		t.Errorf("%d steps, %d log entries, %v", steps.Load(), len(entries), err)
	}
}

func TestReflogIsAQueue(t *testing.T) {
	s := newSandbox(t)
	var hashes []string
	for i := range 3 {
		hashes = append(hashes, s.commit(fmt.Sprint(i)))
	}
	r := s.open()
	const name = "refs/exps/celery/stash"
	for i, h := range hashes {
		check(t, r.SetRef(name, h, AnyValue, fmt.Sprintf("commit: task %d", i)))
	}
	entries, err := r.Reflog(name)
	if err != nil || len(entries) != 3 || entries[2].New != hashes[2] || entries[0].Message != "commit: task 0" || entries[1].Old != hashes[0] || entries[0].By.When.Unix() != 1700000000 {
		t.Fatalf("%+v, %v", entries, err)
	}
	check(t, r.WriteReflog(name, func(e []ReflogEntry) []ReflogEntry { return append(e[:1:1], e[2]) }))
	if got := s.git("log", "-g", "--format=%gs %H", name); got != "commit: task 2 "+hashes[2]+"\ncommit: task 0 "+hashes[0] {
		t.Errorf("git sees %q", got)
	}
	s.git("fsck", "--strict", "--no-dangling")
	check(t, r.WriteReflog(name, func(e []ReflogEntry) []ReflogEntry { return e[:1] }))
	if got := s.git("rev-parse", name); got != hashes[0] {
		t.Errorf("the ref is at %s", got)
	}
	check(t, r.WriteReflog(name, func([]ReflogEntry) []ReflogEntry { return nil }))
	if _, ok, err := r.Ref(name); ok || err != nil {
		t.Errorf("after the last entry: %v, %v", ok, err)
	}
	if entries, err := r.Reflog(name); len(entries) > 0 || err != nil {
		t.Errorf("log %v, %v", entries, err)
	}
	if _, err := r.Reflog("../x"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("bad name: %v", err)
	}
}

// A lock that a killed ctrx left behind is not in the way; one that git may have
// is.
func TestStaleLock(t *testing.T) {
	r, dir := sampleRepo(t)
	head, err := r.Resolve("HEAD")
	check(t, err)
	name := "refs/exps/celery/stash"
	lock := filepath.Join(dir, ".git", name+".lock")
	check(t, os.MkdirAll(filepath.Dir(lock), 0o777))
	check(t, os.WriteFile(lock, []byte("ctrx 123\n"), 0o666))
	check(t, r.SetRef(name, head, AnyValue, "one"))
	if _, err := os.Lstat(lock); err == nil {
		t.Error("the lock is still there")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(lock), "*ctrx-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	held, err := lockRef(filepath.Join(dir, ".git", name))
	check(t, err)
	if removeStale(lock) {
		t.Error("a lock that is held was removed")
	}
	held.release()
	check(t, os.WriteFile(lock, []byte(head+"\n"), 0o666))
	if removeStale(lock) {
		t.Error("a lock of git's was removed")
	}
}

// The folder of a log may go while one is made in it: somebody removed the last
// log that was there.
func TestFolderThatGoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logs", "refs", "exps", "celery", "failed")
	tries := 0
	err := inFolder(file, func() error {
		if tries++; tries == 1 {
			if err := os.Remove(filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
		}
		return os.WriteFile(file, nil, 0o666)
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
}
