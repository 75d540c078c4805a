package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// together are commands that meet: the first is held up in the middle of its work
// while the others run.
var together = []struct {
	name    string
	before  [][]string
	first   []string
	at      string // publish point that the first is held up before
	others  [][]string
	refused bool // the others end with 6, and name the first
}{
	{name: "add, then gc, commit and another add", first: []string{"add", "-q", "raw.bin", "many"}, at: "rename project/many.dvc", refused: true,
		others: [][]string{{"gc", "-w", "-f"}, {"commit", "-f", "raw.bin.dvc"}, {"add", "extra"}}},
	{name: "push, then gc", before: added, first: []string{"push", "-q"}, at: "rename store/files/md5/OBJECT", refused: true, others: [][]string{{"gc", "-w", "-c", "-f"}, {"gc", "-w", "-f"}}},
	{name: "push, then add and push", before: added, first: []string{"push", "-q"}, at: "rename store/files/md5/OBJECT", others: [][]string{{"add", "-q", "extra"}, {"push", "-q"}, {"status", "-q", "many.dvc"}, {"checkout", "-q", "many"}, {"gc", "-w", "--dry"}}},
	{name: "fetch, then fetch of the same", before: lost, first: []string{"fetch", "-q"}, at: "rename project/.dvc/cache/files/md5/OBJECT", others: [][]string{{"fetch", "-q"}, {"pull", "-q", "many"}}},
	{name: "fetch, then gc", before: lost, first: []string{"fetch", "-q"}, at: "rename project/.dvc/cache/files/md5/OBJECT.dir", refused: true, others: [][]string{{"gc", "-w", "-f"}}},
	{name: "checkout, then checkout and gc", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"REMOVE", "raw.bin"}, {"REMOVE", "many"}}, first: []string{"checkout", "-q", "raw.bin", "many"}, at: "rename project/many/1", refused: true,
		others: [][]string{{"checkout", "many"}, {"gc", "-w", "-f"}}},
	{name: "gc, then add, push, fetch and gc", before: oldData, first: []string{"gc", "-q", "-w", "-f"}, at: "rename project/.dvc/tmp/ctrx/trash/TIME/md5/OBJECT", refused: true,
		others: [][]string{{"add", "extra"}, {"push"}, {"fetch"}, {"gc", "--undo"}}},
	{name: "experiment in a work copy, then gc", before: [][]string{{"add", "-q", "raw.bin"}, {"GIT"}}, first: []string{"exp", "run", "-q", "--temp", "-n", "apart"}, at: "rename project/.dvc/cache/files/md5/OBJECT", refused: true,
		others: [][]string{{"gc", "-w", "--all-experiments", "-f"}}},
}

var added, lost = [][]string{{"add", "-q", "raw.bin", "many"}}, [][]string{{"add", "-q", "raw.bin", "many"}, {"push", "-q"}, {"REMOVE", ".dvc/cache"}}

// TestTogether holds a command up at a publish point and gives others meanwhile:
// they either do their work, or wait a little and say who is in the way. The first
// one ends as if it had been alone, and all data is sound.
func TestTogether(t *testing.T) {
	needTracing(t)
	for _, c := range together {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPointProject(t, false)
			writeFiles(t, p.dir, map[string]string{"extra": "extra"})
			for _, args := range c.before {
				if args[0] == "GIT" {
					p.git(t, "add", "-A")
					p.git(t, "commit", "-q", "-m", "base")
					continue
				}
				p.prepare(t, [][]string{args})
			}
			var said []string
			r := tracedRun{top: p.top, pauseAt: func(now change) bool { return now.String() == c.at }}
			r.meanwhile = func(pid int) {
				for _, args := range c.others {
					got := runCtrx(t, p.dir, args)
					switch {
					case !c.refused && got.Code != 0:
						said = append(said, fmt.Sprintf("%v ends with %d meanwhile\n%s", args, got.Code, got.Output))
					case c.refused && (got.Code != 6 || !strings.Contains(got.Output, "process "+strconv.Itoa(pid)) || !strings.Contains(got.Output, "hint: ")):
						said = append(said, fmt.Sprintf("%v ends with %d, and should be refused with the number of process %d\n%s", args, got.Code, pid, got.Output))
					}
				}
			}
			r.run(t, p.command(t, "ctrx", c.first...))
			for _, s := range said {
				t.Error(s)
			}
			if !r.paused {
				t.Fatalf("%v does not %s", c.first, c.at)
			}
			if r.code != 0 {
				t.Errorf("%v ends with %d\n%s", c.first, r.code, r.output)
			}
			for _, args := range c.others {
				if c.refused {
					p.mustRun(t, args...)
				}
			}
			p.mustRun(t, "push", "-q")
			p.mustRun(t, "fsck", "--remote", "store")
			p.mustRun(t, "checkout", "-q", "--allow-missing")
			if strings.HasPrefix(c.name, "experiment") {
				p.mustRun(t, "exp", "apply", "-q", "apart")
				if data, err := os.ReadFile(filepath.Join(p.dir, "made")); err != nil || string(data) != "made\n" {
					t.Errorf("made is %q, %v", data, err)
				}
			}
		})
	}
}

// TestWrittenDuringCheckout writes to files that a checkout has compared and is
// about to replace or to remove: what was written stays.
func TestWrittenDuringCheckout(t *testing.T) {
	needTracing(t)
	for _, name := range []string{"many/3", "many/more"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPointProject(t, false)
			p.prepare(t, [][]string{{"add", "-q", "many"}, {"COPY", "many.dvc", "kept"}, {"WRITE", "many/1", "new one"}, {"WRITE", "many/3", "new three"}, {"WRITE", "many/more", "more"},
				{"add", "-q", "many"}, {"COPY", "kept", "many.dvc"}})
			r := tracedRun{top: p.top, pauseAt: func(now change) bool { return now.String() == "rename project/many/1" }}
			r.meanwhile = func(int) { writeFiles(t, p.dir, map[string]string{name: "precious"}) }
			r.run(t, p.command(t, "ctrx", "checkout", "many"))
			if !r.paused || r.code != 6 || !strings.Contains(r.output, name+" was written to during the checkout") {
				t.Errorf("checkout ends with %d\n%s", r.code, r.output)
			}
			if data, err := os.ReadFile(filepath.Join(p.dir, name)); err != nil || string(data) != "precious" {
				t.Errorf("%s is %q, %v", name, data, err)
			}
			p.mustRun(t, "checkout", "-q", "--force", "many")
			p.mustRun(t, "status", "-q", "many.dvc")
		})
	}
}
