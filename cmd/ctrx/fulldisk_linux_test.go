package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ctrx/internal/testreq"
)

// fullDiskCommands are transfers to a disk that is too small: the project's place
// of the disk, and what is to be found there in the end.
var fullDiskCommands = []struct {
	name   string
	disk   string   // store, cache or work: what lies on the small disk
	before []string // commands, with the disk large enough
	args   string
	again  string // "" is args
}{
	{"add to a full cache", "cache", nil, "add data", ""},
	{"push to a full remote", "store", []string{"add -q data"}, "push", ""},
	{"fetch to a full cache", "cache", []string{"add -q data", "push -q", "EMPTY"}, "fetch", ""},
	{"pull to a full cache", "cache", []string{"add -q data", "push -q", "EMPTY", "LOSE"}, "pull", ""},
	{"checkout to a full work tree", "work", []string{"add -q data", "LOSE"}, "checkout", ""},
	{"unprotect on a full work tree", "work", []string{"config cache.type symlink", "add -q data"}, "unprotect data", ""},
}

// TestFullDisk runs commands with a disk that has room for one of three files.
// They say so: the path, how much is free, the next command; nothing half-written
// counts as whole, what was there stays; with room the same command finishes.
func TestFullDisk(t *testing.T) {
	const mib = 1 << 20
	for _, c := range fullDiskCommands {
		t.Run(c.name, func(t *testing.T) {
			disk := testreq.Mount(t, testreq.Tmpfs, 64*mib)
			p := &crashProject{top: t.TempDir()}
			p.dir = filepath.Join(p.top, "project")
			if c.disk == "work" {
				p.dir = filepath.Join(disk, "project")
			}
			places := map[string]string{"store": filepath.Join(p.top, "store"), "cache": filepath.Join(p.top, "cache")}
			if c.disk != "work" {
				places[c.disk] = disk
			}
			files := map[string]string{}
			for _, name := range []string{"a", "b", "c"} {
				files["data/"+name] = strings.Repeat("0123456789"+name, 3*mib/11)
			}
			writeFiles(t, p.dir, files)
			p.git(t, "init", "-q", "-b", "main")
			p.mustRun(t, "init", "-q")
			p.mustRun(t, "cache", "dir", "-q", places["cache"])
			p.mustRun(t, "remote", "add", "-q", "-d", "store", places["store"])
			for _, args := range c.before {
				switch args {
				case "EMPTY":
					check(t, os.RemoveAll(filepath.Join(places["cache"], "files")))
				case "LOSE":
					check(t, os.RemoveAll(filepath.Join(p.dir, "data")))
				default:
					p.mustRun(t, strings.Fields(args)...)
				}
			}
			testreq.Resize(t, disk, used(t, disk)+4*mib)
			args := strings.Fields(c.args)
			code, out := p.run(t, args...)
			if code != 1 || !strings.Contains(out, disk) || !strings.Contains(out, "hint: ") || !strings.Contains(out, "space") || !strings.Contains(out, "free") {
				t.Errorf("%s ends with %d\n%s", c.args, code, out)
			}
			t.Log(out)
			for name, place := range places {
				p.checkObjects(t, name, filepath.Join(place, "files/md5"))
				for file := range filesBelow(t, place) {
					if isTemporary(file) {
						t.Errorf("left on the %s: %s", name, file)
					}
				}
			}
			for name, path := range filesBelow(t, filepath.Join(p.dir, "data")) {
				if data, err := os.ReadFile(path); err != nil || string(data) != files["data/"+name] {
					t.Errorf("data/%s has %d bytes, %v", name, len(data), err)
				}
			}
			testreq.Resize(t, disk, 64*mib)
			p.mustRun(t, args...)
			p.mustRun(t, "push", "-q")
			p.mustRun(t, "checkout", "-q")
			p.mustRun(t, "fsck", "--remote", "store")
			if out := p.mustRun(t, "status"); !strings.Contains(out, "up to date") {
				t.Errorf("status: %s", out)
			}
			if got := filesBelow(t, filepath.Join(p.dir, "data")); len(got) != len(files) {
				t.Errorf("%d files, not %d", len(got), len(files))
			}
		})
	}
}

// used gives the bytes in use on the file system of a folder.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	check(t, syscall.Statfs(dir, &st))
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// linksOf gives the number of names of a file.
func linksOf(info os.FileInfo) uint64 {
	return uint64(info.Sys().(*syscall.Stat_t).Nlink)
}
