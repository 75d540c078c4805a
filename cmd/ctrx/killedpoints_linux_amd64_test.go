package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// pointCommand is a data command of which each publish point is looked at.
type pointCommand struct {
	name   string
	before [][]string // ctrx commands; WRITE NAME TEXT, REMOVE NAME... and CONFIG change files
	args   []string
	points []string // that must be among what it changes
	// again is the command that finishes the work where the same one says that
	// it was begun, with this command in its hint.
	again []string
	// over lets the next command say that there is nothing left to do.
	over bool
	// large makes raw.bin so large that it is flushed by itself.
	large bool
}

// pointCommands are all data commands that write, each in a project with a file
// raw.bin, a folder many, a stage and a remote.
var pointCommands = []pointCommand{
	{name: "add", large: true, args: []string{"add", "raw.bin", "many"}, points: []string{
		"create project/.dvc/cache/files/md5/XX/TMP", "write project/.dvc/cache/files/md5/XX/TMP", "rename project/.dvc/cache/files/md5/OBJECT", "sync project/.dvc/cache/files/md5/OBJECT",
		"chmod project/.dvc/cache/files/md5/OBJECT", "rename project/.dvc/cache/files/md5/OBJECT.dir", "chmod project/.dvc/cache/files/md5/OBJECT.dir",
		"rename project/.gitignore", "rename project/raw.bin.dvc", "rename project/many.dvc"}},
	{name: "add what changed", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"WRITE", "many/1", "new"}, {"WRITE", "many/sub/2", "new too"}}, args: []string{"add", "many"},
		points: []string{"rename project/.dvc/cache/files/md5/OBJECT", "rename project/many.dvc"}},
	{name: "add with links", before: [][]string{{"config", "cache.type", "hardlink"}}, args: []string{"add", "raw.bin", "many"},
		points: []string{"rename project/raw.bin", "rename project/many/1", "rename project/many.dvc"}},
	{name: "commit", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"repro", "-q"}, {"WRITE", "many/1", "new"}, {"WRITE", "made", "by hand"}}, args: []string{"commit", "-f"},
		points: []string{"rename project/.dvc/cache/files/md5/OBJECT", "rename project/many.dvc", "rename project/dvc.lock"}},
	{name: "push", large: true, before: [][]string{{"add", "-q", "raw.bin", "many"}}, args: []string{"push"}, points: []string{
		"rename store/files/md5/OBJECT", "rename store/files/md5/OBJECT.dir", "chmod store/files/md5/OBJECT"}},
	{name: "fetch", large: true, before: [][]string{{"add", "-q", "raw.bin", "many"}, {"push", "-q"}, {"REMOVE", ".dvc/cache"}}, args: []string{"fetch"},
		points: []string{"rename project/.dvc/cache/files/md5/OBJECT", "rename project/.dvc/cache/files/md5/OBJECT.dir", "chmod project/.dvc/cache/files/md5/OBJECT"}},
	{name: "checkout", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"COPY", "many.dvc", "kept"}, {"WRITE", "many/1", "new"}, {"WRITE", "many/more", "new too"}, {"add", "-q", "many"}, {"COPY", "kept", "many.dvc"}, {"REMOVE", "raw.bin"}},
		args: []string{"checkout", "raw.bin", "many"}, points: []string{"rename project/raw.bin", "rename project/many/1", "unlink project/many/more"}},
	{name: "checkout --relink", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"config", "cache.type", "hardlink"}}, args: []string{"checkout", "--relink", "raw.bin", "many"},
		points: []string{"link project/TMP", "rename project/raw.bin", "rename project/many/1"}},
	{name: "gc", before: append([][]string{{"push", "-q"}}, oldData...), args: []string{"gc", "-q", "-w", "-f"}, points: []string{
		"rename project/.dvc/tmp/ctrx/trash/TIME/md5/OBJECT", "rename project/.dvc/tmp/ctrx/trash/TIME/md5/OBJECT.dir"}},
	{name: "gc --cloud", before: slices.Concat(oldData[:1], pushed, oldData[1:], pushed), args: []string{"gc", "-q", "-w", "-c", "-f"}, points: []string{
		"rename project/.dvc/tmp/ctrx/trash/TIME/md5/OBJECT", "unlink store/files/md5/OBJECT"}},
	{name: "gc --purge", before: oldData, args: []string{"gc", "-q", "-w", "-f", "--purge"}, points: []string{"unlink project/.dvc/cache/files/md5/OBJECT"}},
	{name: "gc --undo", before: append(slices.Clone(oldData), []string{"gc", "-q", "-w", "-f"}), args: []string{"gc", "-q", "--undo"}, points: []string{"rename project/.dvc/cache/files/md5/OBJECT"}},
	{name: "import-url", before: [][]string{{"WRITE", "../source/a", "one"}, {"WRITE", "../source/b", "two"}}, args: []string{"import-url", "-q", "../source", "imported"}, again: []string{"checkout", "imported"},
		points: []string{"rename project/.dvc/cache/files/md5/OBJECT", "rename project/imported.dvc"}},
	{name: "get-url", before: [][]string{{"WRITE", "../source/a", "one"}}, args: []string{"get-url", "-q", "-f", "../source/a", "got"},
		points: []string{"rename project/got"}},
	{name: "get", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"push", "-q"}, {"COMMIT"}}, args: []string{"get", "-q", "-f", ".", "raw.bin", "-o", "got"},
		points: []string{"rename project/got"}},
	{name: "remove", before: [][]string{{"config", "cache.type", "hardlink"}, {"add", "-q", "raw.bin", "many"}}, args: []string{"remove", "many.dvc"}, over: true,
		points: []string{"rename project/many/1", "unlink project/many.dvc", "rename project/.gitignore"}},
	{name: "remove --outs", before: [][]string{{"add", "-q", "raw.bin", "many"}}, args: []string{"remove", "--outs", "many.dvc"}, over: true,
		points: []string{"unlink project/many/1", "unlink project/many", "rename project/.gitignore", "unlink project/many.dvc"}},
	{name: "remove a stage", before: [][]string{{"add", "-q", "raw.bin"}, {"repro", "-q"}}, args: []string{"remove", "make"}, over: true,
		points: []string{"unlink project/dvc.lock", "unlink project/dvc.yaml"}},
	{name: "move a file", before: [][]string{{"add", "-q", "raw.bin", "many"}}, args: []string{"move", "raw.bin", "below/moved.bin"}, over: true,
		points: []string{"rename project/below/moved.bin", "rename project/below/moved.bin.dvc", "unlink project/raw.bin.dvc"}},
	{name: "move a folder", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"WRITE", "many/1", "changed"}}, args: []string{"move", "many", "moved"}, over: true,
		points: []string{"rename project/moved", "rename project/moved.dvc", "unlink project/many.dvc"}},
	{name: "unprotect", before: [][]string{{"config", "cache.type", "hardlink"}, {"add", "-q", "raw.bin", "many"}}, args: []string{"unprotect", "raw.bin", "many"},
		points: []string{"write project/TMP", "rename project/raw.bin", "rename project/many/1"}},
}

var pushed = [][]string{{"push", "-q"}}

// oldData makes objects that the work tree no longer needs.
var oldData = [][]string{{"add", "-q", "raw.bin", "many"}, {"WRITE", "many/1", "new"}, {"WRITE", "raw.bin", "other"}, {"add", "-q", "raw.bin", "many"}}

// newPointProject makes a project as small as it can be with every kind of
// object: one that is flushed by itself, small ones, a folder.
func newPointProject(t *testing.T, large bool) *crashProject {
	t.Helper()
	p := &crashProject{top: memoryDir(t)}
	p.dir = filepath.Join(p.top, "project")
	writeFiles(t, p.dir, map[string]string{"many/1": "one", "many/sub/2": "two", "many/3": "two",
		"dvc.yaml": "stages:\n  make:\n    cmd: echo made > made\n    outs: [made]\n"})
	check(t, os.WriteFile(filepath.Join(p.dir, "raw.bin"), nil, 0o666))
	size := int64(5000)
	if large {
		size = 9 << 20
	}
	check(t, os.Truncate(filepath.Join(p.dir, "raw.bin"), size))
	p.git(t, "init", "-q", "-b", "main")
	p.mustRun(t, "init", "-q")
	p.mustRun(t, "config", "core.analytics", "false")
	p.mustRun(t, "remote", "add", "-q", "-d", "store", "../store")
	check(t, os.MkdirAll(filepath.Join(p.top, "store"), 0o777))
	return p
}

// memoryDir is a folder for a test, in memory where that can be had: a flush costs
// nothing there, and thousands are waited for.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ctrx-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

// prepare carries out steps of pointCommand.before.
func (p *crashProject) prepare(t *testing.T, steps [][]string) {
	t.Helper()
	for _, args := range steps {
		switch args[0] {
		case "WRITE":
			writeFiles(t, p.dir, map[string]string{args[1]: args[2]})
		case "COPY":
			data, err := os.ReadFile(filepath.Join(p.dir, args[1]))
			check(t, err)
			writeFiles(t, p.dir, map[string]string{args[2]: string(data)})
		case "COMMIT":
			p.git(t, "add", "-A")
			p.git(t, "commit", "-q", "-m", "all")
		case "REMOVE":
			check(t, os.RemoveAll(filepath.Join(p.dir, args[1])))
		default:
			p.mustRun(t, args...)
		}
	}
}

// TestKilledAtEachPoint ends each data command with SIGKILL at each kind of
// change that it makes to a file: the first time and the last time it makes it.
// What is left must be sound, no content may be gone that was there before, and
// the same command must come to the result that it comes to undisturbed.
func TestKilledAtEachPoint(t *testing.T) {
	needTracing(t)
	for _, c := range pointCommands {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			template := newPointProject(t, c.large)
			template.prepare(t, c.before)
			want, changes := c.undisturbed(t, template)
			for _, at := range killPoints(changes) {
				p := template.copyTo(t, memoryDir(t))
				kept := p.contents(t)
				r := tracedRun{top: p.top, killAt: func(now change) bool { return now == at }}
				r.run(t, p.command(t, "ctrx", c.args...))
				what := "killed before " + at.String()
				if !r.killed {
					if at.nth == 1 { // how often something is done may differ, that it is done may not
						t.Errorf("%s: it ended with %d before that\n%s", what, r.code, r.output)
					}
					continue
				}
				p.sound(t, what, c, kept)
				p.goesOn(t, what, c, want)
				check(t, os.RemoveAll(p.top))
			}
			t.Logf("killed at: %s", strings.Join(names(killPoints(changes)), ", "))
		})
	}
}

// TestFullDiskAtEachPoint lets the disk be full from each kind of change on that
// takes space. A command says so, with a way out, unless what it cannot write is
// only its own memory; no content is gone; with space the same command comes to
// the result that it comes to undisturbed.
func TestFullDiskAtEachPoint(t *testing.T) {
	needTracing(t)
	for _, c := range pointCommands {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			template := newPointProject(t, c.large)
			template.prepare(t, c.before)
			want, changes := c.undisturbed(t, template)
			for _, at := range killPoints(changes) {
				if at.nth > 1 || !at.takesSpace() {
					continue
				}
				p := template.copyTo(t, memoryDir(t))
				kept := p.contents(t)
				full := false
				r := tracedRun{top: p.top, failAt: func(now change) syscall.Errno {
					if full = full || now == at; full && now.takesSpace() {
						return syscall.ENOSPC
					}
					return 0
				}}
				r.run(t, p.command(t, "ctrx", c.args...))
				what := "no space from " + at.String() + " on"
				switch {
				case len(r.failed) == 0:
					t.Errorf("%s: it ended with %d before that\n%s", what, r.code, r.output)
				case r.code != 0 && !slices.ContainsFunc(r.failed, func(c change) bool { return !ownMemory(c.path) }):
					t.Errorf("%s: only its own memory could not be written, and it ends with %d\n%s", what, r.code, r.output)
				case r.code == 0:
					if got := p.pointState(t); !maps.Equal(got, want) {
						t.Errorf("%s: it counts as done, and is not:\n%s\n%s", what, difference(got, want), r.output)
					}
				case r.code != 1 || !strings.Contains(r.output, "no space left") || !strings.Contains(r.output, "hint: ") || !strings.Contains(r.output, "free") && !strings.Contains(r.output, "gc --purge"):
					t.Errorf("%s: exit code %d\n%s", what, r.code, r.output)
				}
				p.sound(t, what, c, kept)
				p.goesOn(t, what, c, want)
				check(t, os.RemoveAll(p.top))
			}
		})
	}
}

// ownMemory tells files that only spare ctrx work.
func ownMemory(path string) bool {
	return strings.HasPrefix(path, "project/.dvc/tmp/ctrx") && !strings.Contains(path, "/trash")
}

// undisturbed gives the state that the command leaves when nothing happens, and
// the changes on the way.
func (c pointCommand) undisturbed(t *testing.T, template *crashProject) (map[string]string, []change) {
	t.Helper()
	p := template.copyTo(t, memoryDir(t))
	r := tracedRun{top: p.top}
	r.run(t, p.command(t, "ctrx", c.args...))
	if r.code != 0 {
		t.Fatalf("%v ends with %d\n%s", c.args, r.code, r.output)
	}
	seen := names(r.changes)
	for _, point := range c.points {
		if !slices.Contains(seen, point) {
			t.Errorf("%v does not %s, but:\n%s", c.args, point, strings.Join(slices.Compact(slices.Sorted(slices.Values(seen))), "\n"))
		}
	}
	return p.pointState(t), r.changes
}

func names(changes []change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.String()
	}
	return out
}

// killPoints are the first and the last change of each kind. Making a temporary
// file and what goes on with it unseen is left out, but for its writing, unless
// CTRX_TEST_EVERY_STEP is set.
func killPoints(changes []change) []change {
	every := os.Getenv("CTRX_TEST_EVERY_STEP") != ""
	last := map[string]change{}
	for _, c := range changes {
		last[c.String()] = c
	}
	var out []change
	for _, c := range changes {
		hidden := c.call == "create" || c.call == "clone" || c.call == "unlink" && strings.HasSuffix(c.path, "TMP")
		if (c.nth == 1 || c == last[c.String()]) && (every || !hidden) {
			out = append(out, c)
		}
	}
	return out
}

// pointState is state without what a dead process may leave.
func (p *crashProject) pointState(t *testing.T) map[string]string {
	t.Helper()
	s := p.state(t)
	maps.DeleteFunc(s, func(name, _ string) bool { return isTemporary(name) || strings.HasPrefix(name, ".home/") })
	return s
}

// contents are the hashes of all content below top, of the user's files, of the
// cache, of the trash and of the remote.
func (p *crashProject) contents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, path := range filesBelow(t, p.top) {
		if strings.HasPrefix(name, "project/.git/") || strings.HasPrefix(name, "project/.dvc/tmp/") && !strings.Contains(name, "/trash/") || isTemporary(name) {
			continue
		}
		data, err := os.ReadFile(path)
		check(t, err)
		found[sumOf(string(data))] = name
	}
	return found
}

// sound looks at what is left of a command that was ended.
func (p *crashProject) sound(t *testing.T, what string, c pointCommand, kept map[string]string) {
	t.Helper()
	if got := runCtrx(t, p.dir, []string{"fsck", "--remote", "store"}); got.Code != 0 && !p.lacked(c) {
		t.Errorf("%s: fsck ends with %d\n%s", what, got.Code, got.Output)
	}
	p.checkObjects(t, what, filepath.Join(p.dir, ".dvc/cache/files/md5"))
	p.checkObjects(t, what, filepath.Join(p.top, "store/files/md5"))
	if strings.Contains(c.name, "purge") || strings.Contains(c.name, "cloud") {
		return
	}
	now := p.contents(t)
	for sum, name := range kept {
		if _, there := now[sum]; !there && !mayChange(name) {
			t.Errorf("%s: the content of %s is gone", what, name)
		}
	}
}

// lacked tells of commands that begin where data is not in the cache or not on
// the remote, which fsck says.
func (p *crashProject) lacked(c pointCommand) bool {
	return c.args[0] == "fetch" || c.args[0] == "push"
}

// mayChange tells files that hold no data.
func mayChange(name string) bool {
	return strings.HasSuffix(name, ".gitignore") || strings.HasSuffix(name, ".dvc") || strings.HasSuffix(name, "dvc.lock") || strings.HasPrefix(name, "home/")
}

// goesOn gives the command once more and compares what comes out.
func (p *crashProject) goesOn(t *testing.T, what string, c pointCommand, want map[string]string) {
	t.Helper()
	args := c.args
	before := p.pointState(t)
	got := runCtrx(t, p.dir, args)
	if got.Code != 0 && c.again != nil && strings.Contains(got.Output, "ctrx "+strings.Join(c.again, " ")) {
		args = c.again
		got = runCtrx(t, p.dir, args)
	}
	after := p.pointState(t)
	if got.Code != 0 && !(c.over && maps.Equal(before, want)) {
		t.Errorf("%s: %v ends with %d\n%s", what, args, got.Code, got.Output)
	}
	if !maps.Equal(after, want) {
		t.Errorf("%s, then again: the result is another:\n%s", what, difference(after, want))
	}
	for name, path := range filesBelow(t, filepath.Join(p.dir, ".dvc/cache/files/md5")) {
		if info, err := os.Lstat(path); objectName.MatchString(name) && (err != nil || info.Mode().Perm() != 0o444) {
			t.Errorf("%s, then again: %s has the mode %v", what, name, info.Mode())
		}
	}
}
