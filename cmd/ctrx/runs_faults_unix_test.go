//go:build unix

package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// newRunProject is a crashProject with one run, whose id it gives.
func newRunProject(t *testing.T) (*crashProject, string) {
	t.Helper()
	p := newCrashProject(t)
	check(t, os.Truncate(filepath.Join(p.dir, "raw.bin"), 4<<20))
	p.mustRun(t, "add", "-q", "raw.bin", "many")
	p.mustRun(t, "exp", "run", "-q", "-n", "one", "-S", "p=2")
	h := &historyProject{crashProject: *p}
	return p, h.newestRunOf(t, p.dir)
}

// newestRunOf is newestRun of the embedded store of a project.
func (p *historyProject) newestRunOf(t *testing.T, dir string) string {
	t.Helper()
	p.uri = "sqlite:///" + filepath.Join(dir, "mlflow.db")
	cmd := p.crashProject.command(t, "ctrx", "runs", "show", "one", "--json")
	cmd.Dir = dir
	out, err := cmd.Output()
	check(t, err)
	_, rest, _ := strings.Cut(string(out), `"run_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// TestCheckoutOfRunEndedByForce: a checkout that is killed leaves no work tree
// that looks whole and is not, and the next one clears away what it left.
func TestCheckoutOfRunEndedByForce(t *testing.T) {
	t.Parallel()
	p, id := newRunProject(t)
	begin := time.Now()
	reference := filepath.Join(p.top, "reference")
	p.mustRun(t, "runs", "checkout", id, "--worktree", reference)
	duration := time.Since(begin)
	want := treeOf(t, reference)
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGKILL}
	for i, sig := range signals {
		place := filepath.Join(p.top, fmt.Sprint("back", i))
		after := duration * time.Duration(2*i+1) / time.Duration(2*len(signals))
		code := p.interrupt(t, sig, after, "runs", "checkout", id, "--worktree", place)
		what := fmt.Sprintf("%s after %s of %s, exit code %d", sig, after.Round(time.Millisecond), duration.Round(time.Millisecond), code)
		if _, err := os.Lstat(place); err != nil {
			p.mustRun(t, "runs", "checkout", id, "--worktree", place)
		} else if sig != syscall.SIGKILL && code != 0 {
			t.Errorf("%s: the work tree is there", what)
		}
		if got := treeOf(t, place); !maps.Equal(got, want) {
			t.Errorf("%s:\n%s", what, difference(got, want))
		}
		cmd := p.command(t, "git", "status", "--porcelain")
		cmd.Dir = place
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: git status: %v\n%s", what, err, out)
		}
	}
	p.mustRun(t, "runs", "checkout", id, "--worktree", filepath.Join(p.top, "last")) // clears away
	p.checkNoneHidden(t, p.top)
	p.checkValid(t, "after all")
}

// checkNoneHidden looks for work trees that are not in their place.
func (p *crashProject) checkNoneHidden(t *testing.T, parent string) {
	t.Helper()
	for _, pattern := range []string{filepath.Join(parent, ".*.ctrx-*"), filepath.Join(p.dir, ".git", "worktrees", "*", "ctrx-building")} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// TestCheckoutOfRunByTwo: of two that want the same place one gets it, two with
// places of their own do not disturb each other.
func TestCheckoutOfRunByTwo(t *testing.T) {
	t.Parallel()
	p, id := newRunProject(t)
	places := []string{"same", "same", "own1", "own2"}
	codes := make([]int, len(places))
	outputs := make([]string, len(places))
	var wait sync.WaitGroup
	for i, place := range places {
		cmd := p.command(t, "ctrx", "runs", "checkout", id, "--worktree", filepath.Join(p.top, place))
		wait.Go(func() {
			out, err := cmd.CombinedOutput()
			outputs[i] = string(out)
			if err != nil {
				codes[i] = cmd.ProcessState.ExitCode()
			}
		})
	}
	wait.Wait()
	won := 0
	for i, code := range codes {
		switch {
		case code == 0 && places[i] == "same":
			won++
		case code != 0 && (code != 6 || places[i] != "same"):
			t.Errorf("%s: exit code %d\n%s", places[i], code, outputs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d got the same place", won)
	}
	want := treeOf(t, filepath.Join(p.top, "own1"))
	for _, place := range places {
		if got := treeOf(t, filepath.Join(p.top, place)); !maps.Equal(got, want) {
			t.Errorf("%s:\n%s", place, difference(got, want))
		}
	}
	p.checkNoneHidden(t, p.top)
}

// TestCheckoutOfRunOnFullDisk: where the disk of the place becomes full, nothing
// is left there, and the error says why.
func TestCheckoutOfRunOnFullDisk(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "unshare", "-Urm", "sh", "-c", "d=$(mktemp -d) && mount -t tmpfs none $d && umount $d; rmdir $d").CombinedOutput(); err != nil {
		t.Skipf("this system gives no small disk to try it on (unshare, tmpfs): %v %s", err, out)
	}
	p, id := newRunProject(t)
	disk := filepath.Join(p.top, "disk")
	check(t, os.Mkdir(disk, 0o777))
	script := `mount -t tmpfs -o size=600k none "$1" && cd "$2" || exit 99
ctrx runs checkout "$3" --worktree "$1/tree"; echo "code $?"
ctrx runs checkout "$3" --worktree "$1/data" --data-only; echo "code $?"
ls -A "$1"; echo end`
	cmd := p.command(t, "unshare", "-Urm", "sh", "-c", script, "sh", disk, p.dir, id)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "code 1\n") != 2 || !strings.HasSuffix(string(out), "code 1\nend\n") || strings.Count(string(out), "no space left") < 2 {
		t.Errorf("%v\n%s", err, out)
	}
	p.checkNoneHidden(t, p.top)
	p.checkValid(t, "after a full disk")
}
