//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// randomKills is how many data commands are killed, unless CTRX_TEST_KILLS says
// another number.
const randomKills = 30

// TestKilledAtRandom kills add, push, fetch, checkout and gc at random moments,
// one after the other in one repository. After each kill what counts as whole
// must be whole, and the same command must finish the rest; the data must be
// what it was meant to be, for ctrx each time and for the real DVC now and then.
// CTRX_TEST_SEED chooses other moments, CTRX_TEST_KILLS more of them.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed, kills := uint64(number(t, "CTRX_TEST_SEED", 7)), number(t, "CTRX_TEST_KILLS", randomKills)
	k := newKiller(t, seed)
	commands := []func(*testing.T){k.add, k.push, k.fetch, k.checkout, k.gc}
	killed := 0
	// A command that was faster than its death does not count.
	for i := 0; killed < kills && i < 4*kills; i++ {
		if i%len(commands) == 0 {
			k.spoilIndex(t)
		}
		before := k.killed
		commands[i%len(commands)](t)
		killed = k.killed
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, i)
		}
		if killed > before && killed%max(20, kills/4) == 0 {
			k.judge(t)
		}
	}
	k.judge(t)
	t.Logf("seed %d: %d commands were killed", seed, killed)
	if killed < kills {
		t.Errorf("only %d of %d commands were killed before they ended", killed, kills)
	}
}

// number reads an environment variable.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	check(t, err)
	return n
}

// killer is a repository with a folder data, and what the folder is to hold.
type killer struct {
	*crashProject
	rand   *rand.Rand
	data   map[string]string
	took   map[string]time.Duration // how long a command takes that nobody kills
	killed int
	round  int
}

func newKiller(t *testing.T, seed uint64) *killer {
	t.Helper()
	p := &crashProject{top: t.TempDir()}
	p.dir = filepath.Join(p.top, "project")
	check(t, os.MkdirAll(filepath.Join(p.dir, "data"), 0o777))
	p.git(t, "init", "-q", "-b", "main")
	p.mustRun(t, "init", "-q")
	p.mustRun(t, "remote", "add", "-q", "-d", "store", "../store")
	return &killer{crashProject: p, rand: rand.New(rand.NewPCG(seed, 0)), data: map[string]string{}, took: map[string]time.Duration{}}
}

// change writes some files anew, some of them larger than what is stored in one
// piece.
func (k *killer) change(t *testing.T) {
	t.Helper()
	k.round++
	for i := range 40 {
		name := fmt.Sprintf("%d/%d", i%7, k.rand.IntN(20))
		text := fmt.Sprintf("round %d file %d", k.round, i)
		if i == 0 {
			text += string(make([]byte, 1<<20+k.rand.IntN(1<<18)))
		}
		k.data[name] = text
		path := filepath.Join(k.dir, "data", filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(path), 0o777))
		check(t, os.WriteFile(path, []byte(text), 0o666))
	}
}

// kill runs a command, ends it at a random moment, looks at what is left, and
// lets the same command finish.
func (k *killer) kill(t *testing.T, args ...string) {
	t.Helper()
	usual, known := k.took[args[0]]
	if !known {
		usual = 50 * time.Millisecond
	}
	after := time.Duration(k.rand.Int64N(int64(usual)))
	what := fmt.Sprintf("%v killed after %s of about %s", args, after.Round(100*time.Microsecond), usual.Round(time.Millisecond))
	if k.interrupt(t, syscall.SIGKILL, after, args...) != 0 {
		k.killed++
	}
	k.whole(t, what, false)
	begin := time.Now()
	k.mustRun(t, args...)
	if took := time.Since(begin); !known || took < usual {
		k.took[args[0]] = took
	}
	k.whole(t, what+", then finished", true)
}

func (k *killer) add(t *testing.T) {
	t.Helper()
	k.change(t)
	k.kill(t, "add", "-q", "data")
	k.holds(t, "add")
	k.mustRun(t, "status", "-q")
}

func (k *killer) push(t *testing.T) { t.Helper(); k.kill(t, "push", "-q") }

func (k *killer) fetch(t *testing.T) {
	t.Helper()
	check(t, os.RemoveAll(filepath.Join(k.dir, ".dvc", "cache")))
	k.kill(t, "fetch", "-q")
}

func (k *killer) checkout(t *testing.T) {
	t.Helper()
	for name := range k.data {
		if k.rand.IntN(3) == 0 {
			check(t, os.Remove(filepath.Join(k.dir, "data", filepath.FromSlash(name))))
		}
	}
	k.kill(t, "checkout", "-q")
	k.holds(t, "checkout")
}

func (k *killer) gc(t *testing.T) {
	t.Helper()
	k.change(t) // the objects that this replaces are nobody's any more
	k.mustRun(t, "add", "-q", "data")
	k.mustRun(t, "push", "-q")
	k.kill(t, "gc", "-q", "-w", "-c", "-f")
	k.mustRun(t, "status", "-q")
}

// spoilIndex damages what ctrx remembers of files: that must cost time only.
func (k *killer) spoilIndex(t *testing.T) {
	t.Helper()
	path := filepath.Join(k.dir, ".dvc", "tmp", "ctrx", "state")
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	switch k.rand.IntN(3) {
	case 0: // a torn write
		check(t, os.Truncate(path, k.rand.Int64N(info.Size()+1)))
	case 1:
		garbage := make([]byte, 300)
		for i := range garbage {
			garbage[i] = byte(k.rand.Uint32())
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		check(t, err)
		_, err = f.Write(garbage)
		check(t, err)
		check(t, f.Close())
	}
}

// holds compares the folder with what it is to hold.
func (k *killer) holds(t *testing.T, after string) {
	t.Helper()
	found := filesBelow(t, filepath.Join(k.dir, "data"))
	for name, path := range found {
		data, err := os.ReadFile(path)
		check(t, err)
		if want, ok := k.data[name]; !ok || want != string(data) {
			t.Errorf("after %s: data/%s has %d bytes, %d were written (known: %v)", after, name, len(data), len(want), ok)
		}
	}
	if len(found) != len(k.data) {
		t.Errorf("after %s: %d files, not %d", after, len(found), len(k.data))
	}
}

// whole looks at all objects: those that count as whole have the content of
// their name, and a folder's list on the remote has all its files. When a
// command has finished, all objects are whole, and the cache has all lists
// complete.
func (k *killer) whole(t *testing.T, what string, finished bool) {
	t.Helper()
	for _, root := range []string{filepath.Join(k.dir, ".dvc/cache/files/md5"), filepath.Join(k.top, "store/files/md5")} {
		k.checkObjects(t, what, root)
		objects := filesBelow(t, root)
		for name, path := range objects {
			if !objectName.MatchString(name) {
				continue
			}
			info, err := os.Lstat(path)
			check(t, err)
			if finished && info.Mode().Perm() != 0o444 {
				t.Errorf("%s: %s has the mode %s", what, path, info.Mode())
			}
			if filepath.Ext(name) == ".dir" && info.Mode().Perm() == 0o444 {
				members(t, what, objects, path)
			}
		}
	}
}

func members(t *testing.T, what string, objects map[string]string, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	var list []struct{ MD5, RelPath string }
	check(t, json.Unmarshal(data, &list))
	for _, e := range list {
		if _, there := objects[e.MD5[:2]+"/"+e.MD5[2:]]; !there {
			t.Errorf("%s: %s lists %s, whose object %s is not there", what, path, e.RelPath, e.MD5)
		}
	}
}

// judge asks the real DVC.
func (k *killer) judge(t *testing.T) {
	t.Helper()
	if !testreq.Have(testreq.DVC) && !testreq.Required(testreq.DVC) {
		return
	}
	k.mustRun(t, "checkout", "-q", "--force")
	k.mustRun(t, "push", "-q")
	for args, want := range map[*[]string]string{
		{"status"}:       "Data and pipelines are up to date.\n",
		{"status", "-c"}: "Cache and remote 'store' are in sync.\n",
	} {
		cmd := k.command(t, "dvc", *args...)
		cmd.Env = append(cmd.Env, "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(k.top, "site"))
		out, err := cmd.Output()
		if err != nil || string(out) != want {
			t.Errorf("dvc %v: %v, %q", *args, err, out)
		}
	}
}
