package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/testreq"
)

// TestSharedBlocks works on file systems that can share blocks between files. The
// same data in the work tree, the cache and a remote on the same disk takes its
// space once, as with DVC; links and modes are DVC's; and a file that is changed
// afterwards changes nowhere else.
func TestSharedBlocks(t *testing.T) {
	const large = 24 << 20
	for _, fs := range []testreq.Requirement{testreq.Btrfs, testreq.XFS} {
		t.Run(string(fs), func(t *testing.T) {
			disk := testreq.Mount(t, fs, 600<<20)
			looks := map[string][]string{}
			for _, tool := range []string{"ctrx", "dvc"} {
				if tool == "dvc" && !testreq.Have(testreq.DVC) {
					testreq.NeedModules(t, "dvc")
				}
				p := &crashProject{top: filepath.Join(disk, tool)}
				p.dir = filepath.Join(p.top, "project")
				block := make([]byte, large)
				random := rand.NewChaCha8([32]byte{7})
				random.Read(block)
				writeFiles(t, p.dir, map[string]string{"big": string(block), "many/1": string(block[1 : 1<<20]), "many/run": "#!/bin/sh\n", "many/none": ""})
				check(t, os.Chmod(filepath.Join(p.dir, "many/run"), 0o755))
				p.git(t, "init", "-q", "-b", "main")
				do := func(mayTake int64, args ...string) {
					t.Helper()
					p.syncDisk(t)
					before := used(t, disk)
					cmd := p.command(t, tool, args...)
					cmd.Env = append(cmd.Env, "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(p.top, "site"))
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%s %v: %v\n%s", tool, args, err, out)
					}
					p.syncDisk(t)
					if took := used(t, disk) - before; took > mayTake {
						t.Errorf("%s %v took %d bytes of the disk", tool, args, took)
					}
					looks[tool] = append(looks[tool], strings.Join(args, " ")+": "+p.looks(t))
				}
				const little = 6 << 20 // of it: small files, and what the file system keeps of its own
				do(little, "init", "-q")
				do(little, "remote", "add", "-q", "-d", "store", "../store")
				do(little, "add", "-q", "big", "many")
				check(t, os.Remove(filepath.Join(p.dir, "big")))
				do(little, "checkout", "-q")
				for _, link := range []string{"hardlink", "reflink", "symlink", "reflink,hardlink", "copy,reflink", "reflink,copy"} {
					do(little, "config", "cache.type", link)
					most := int64(little)
					if link == "copy,reflink" {
						most += 2 * large
					}
					do(most, "checkout", "-q", "--relink")
				}
				do(little, "unprotect", "big")
				do(little, "push", "-q")
				check(t, os.RemoveAll(filepath.Join(p.dir, ".dvc/cache")))
				do(little, "fetch", "-q")
				for _, name := range []string{"big", "many/1"} {
					f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_WRONLY, 0)
					check(t, err)
					_, err = f.WriteAt([]byte("changed"), 4096)
					check(t, err)
					check(t, f.Close())
				}
				p.mustRun(t, "fsck", "--remote", "store", "--deep")
			}
			for i, want := range looks["dvc"] {
				if got := looks["ctrx"][i]; got != want {
					t.Errorf("ctrx %s\ndvc %s", got, want)
				}
			}
		})
	}
}

func (p *crashProject) syncDisk(t *testing.T) {
	t.Helper()
	if out, err := p.command(t, "sync", "-f", p.dir).CombinedOutput(); err != nil {
		t.Fatalf("sync: %v\n%s", err, out)
	}
}

// looks tells what the data of the work tree is: mode, number of links, target.
func (p *crashProject) looks(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"big", "many/1", "many/run", "many/none", "big.dvc", ".dvc/cache/files/md5"} {
		path := filepath.Join(p.dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			fmt.Fprintf(&b, " %s none", name)
			continue
		}
		link, _ := os.Readlink(path)
		if i := strings.Index(link, "/files/md5/"); i >= 0 {
			link = link[i:]
		}
		links := 0
		if info.Mode().IsRegular() {
			links = int(linksOf(info))
		}
		fmt.Fprintf(&b, " %s %s %d %s", name, info.Mode(), links, link)
	}
	return b.String()
}
