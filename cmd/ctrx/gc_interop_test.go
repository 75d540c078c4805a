package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// gcProject makes a project with data on two branches, under a tag, in the work
// tree, in an experiment, and on a remote; and another project that shares the
// cache of neither.
func gcProject(t *testing.T, dir string) {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		if got := runCtrx(t, dir, args); got.Code != 0 {
			t.Fatalf("ctrx %v ends with %d\n%s", args, got.Code, got.Output)
		}
	}
	commit := func(text, day string) {
		t.Helper()
		writeFiles(t, dir, map[string]string{"f": text, "d/a": "member " + text, "d/b": "same"})
		run("add", "-q", "f", "d")
		git(t, dir, "add", "-A")
		t.Setenv("GIT_COMMITTER_DATE", day+"T12:00:00Z")
		t.Setenv("GIT_AUTHOR_DATE", day+"T12:00:00Z")
		git(t, dir, "commit", "-q", "-m", text)
	}
	writeFiles(t, dir, map[string]string{"dvc.yaml": "stages:\n  make:\n    cmd: echo ${n} > made\n    outs: [made]\n", "params.yaml": "n: 0\n", ".gitignore": "/mlflow.db*\n/mlartifacts\n/.home\n"})
	git(t, dir, "init", "-q", "-b", "main")
	run("init", "-q")
	run("config", "core.analytics", "false")
	run("remote", "add", "-q", "-d", "store", "../store-of-"+filepath.Base(dir))
	commit("one", "2026-01-01")
	git(t, dir, "tag", "v1")
	run("push", "-q")
	commit("two", "2026-02-01")
	commit("three", "2026-03-01")
	git(t, dir, "checkout", "-q", "-b", "side", "HEAD~1")
	run("checkout", "-q", "--allow-missing")
	commit("aside", "2026-04-01")
	git(t, dir, "checkout", "-q", "main")
	run("checkout", "-q", "--allow-missing")
	run("exp", "run", "-q", "-S", "n=1")
	run("push", "-q")
	git(t, dir, "checkout", "-q", ".")
	writeFiles(t, dir, map[string]string{"f": "four"})
	run("add", "-q", "f")
}

// cacheFiles lists what a folder of objects holds.
func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for name := range readTree(t, dir) {
		if strings.HasPrefix(name, "files/md5/") && !strings.HasSuffix(name, ".tmp") {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// TestGCInterop removes with each set of flags exactly what the real dvc removes,
// from the cache and from the remote.
func TestGCInterop(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	work := t.TempDir()
	original := filepath.Join(work, "original")
	if err := os.Mkdir(original, 0o777); err != nil {
		t.Fatal(err)
	}
	gcProject(t, original)
	d := startDVC(t, filepath.Join(work, "site"))
	defer d.stop()
	for i, flags := range []string{
		"-w", "-a", "-T", "-A", "-aT", "--rev v1", "--rev HEAD -n 2", "-a -n 2", "--date 2026-03-15", "--all-experiments", "-w --not-in-remote",
		"-A --not-in-remote -r store", "-w -c", "-w -r store", "-a -c -r store -j 3", "-w -p ../other", "-a --skip-failed", "-w --dry",
	} {
		var left [2][]string
		var codes [2]int
		for j, who := range []string{"ctrx", "dvc"} {
			base := filepath.Join(work, fmt.Sprintf("%s-%d", who, i))
			dir := filepath.Join(base, "project")
			for from, to := range map[string]string{original: dir, filepath.Join(work, "store-of-original"): filepath.Join(base, "store-of-original")} {
				if err := os.CopyFS(to, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
			}
			writeFiles(t, base, map[string]string{"other/.dvc/config": "[core]\n    no_scm = true\n", "other/x.dvc": "outs:\n- md5: " + sumOf("one") + "\n  size: 3\n  hash: md5\n  path: x\n"})
			args := append([]string{"gc", "-f"}, strings.Fields(flags)...)
			var got answer
			if who == "ctrx" {
				got = runCtrx(t, dir, append(args, "--grace", time.Hour.String()))
			} else {
				got = d.run(t, dir, args)
			}
			codes[j] = got.Code
			left[j] = append(cacheFiles(t, filepath.Join(dir, ".dvc", "cache")), "--")
			left[j] = append(left[j], cacheFiles(t, filepath.Join(base, "store-of-original"))...)
			if got.Code != 0 {
				t.Logf("%s gc %s ends with %d\n%s", who, flags, got.Code, got.Output)
			}
		}
		if (codes[0] == 0) != (codes[1] == 0) || !slices.Equal(left[0], left[1]) {
			t.Errorf("gc %s: ctrx (%d) leaves\n%s\ndvc (%d) leaves\n%s", flags, codes[0], strings.Join(left[0], "\n"), codes[1], strings.Join(left[1], "\n"))
		}
	}
}
