//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashFiles is a project whose stages have something to hash, to copy and to
// wait for. The large file is a hole: it costs time to read but no space.
var crashFiles = map[string]string{
	"params.yaml": "p: 1\n",
	"dvc.yaml": `stages:
  split:
    cmd: mkdir parts && for i in $(seq 300); do echo $i > parts/$i; done
    deps: [raw.bin]
    outs: [parts]
  slow:
    cmd: sleep 0.2; cat parts/* params.yaml > all.txt
    deps: [parts]
    params: [p]
    outs: [all.txt]
  score:
    cmd: 'echo "{\"acc\": 1}" > metrics.json'
    deps: [all.txt]
    metrics:
    - metrics.json:
        cache: false
  apart:
    foreach: [1, 2, 3]
    do:
      cmd: sleep 0.1; echo ${item} > apart${item}
      outs: ["apart${item}"]
`,
}

const crashFileSize = 32 << 20

// crashCommands are what is ended by force, with what comes before.
var crashCommands = []struct {
	name   string
	before [][]string
	args   []string
	again  []string // the command that finishes the work; nil: args
}{
	{name: "add", args: []string{"add", "raw.bin", "many"}},
	{name: "repro", before: [][]string{{"add", "-q", "raw.bin", "many"}}, args: []string{"repro"}},
	{name: "repro in parallel", before: [][]string{{"add", "-q", "raw.bin", "many"}}, args: []string{"repro", "-j", "3"}},
	{name: "exp run", before: [][]string{{"add", "-q", "raw.bin", "many"}},
		args: []string{"exp", "run", "-n", "x", "-S", "p=2"}, again: []string{"exp", "run", "-f", "-n", "x", "-S", "p=2"}},
	{name: "push", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"repro", "-q"}}, args: []string{"push", "--run-cache"}},
	{name: "pull", before: [][]string{{"add", "-q", "raw.bin", "many"}, {"push", "-q"}, {"REMOVE", "raw.bin", "many", ".dvc/cache"}}, args: []string{"pull", "--allow-missing"}},
}

// TestEndedByForce ends commands with SIGKILL, SIGINT and SIGTERM at several
// moments. What is left must be a valid repository, and the same command must
// finish the work to the same result as if nothing had happened.
func TestEndedByForce(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM}
	if testing.Short() {
		signals = signals[:2]
	}
	for _, c := range crashCommands {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			template := newCrashProject(t)
			for _, args := range c.before {
				if args[0] != "REMOVE" {
					template.mustRun(t, args...)
					continue
				}
				for _, name := range args[1:] {
					check(t, os.RemoveAll(filepath.Join(template.dir, name)))
				}
			}
			reference := template.copy(t)
			begin := time.Now()
			reference.mustRun(t, c.args...)
			duration := time.Since(begin)
			want := reference.state(t)
			again := c.args
			if c.again != nil {
				again = c.again
			}
			for i, sig := range signals {
				after := duration * time.Duration(2*i+1) / time.Duration(2*len(signals))
				p := template.copy(t)
				code := p.interrupt(t, sig, after, c.args...)
				what := fmt.Sprintf("%s after %s of %s, exit code %d", sig, after.Round(time.Millisecond), duration.Round(time.Millisecond), code)
				p.checkValid(t, what)
				p.mustRun(t, again...)
				p.mustRun(t, "status")
				p.mustRun(t, "fsck", "--remote", "store")
				got := p.state(t)
				if sig == syscall.SIGKILL { // who is killed cleans nothing up; add and push pass over such files
					maps.DeleteFunc(got, func(name, _ string) bool { return isTemporary(name) })
				}
				if !maps.Equal(got, want) {
					t.Errorf("%s: the next run came to another result:\n%s", what, difference(got, want))
				}
			}
		})
	}
}

// crashProject is a repository at top/project with a remote at top/store.
type crashProject struct{ top, dir string }

func newCrashProject(t *testing.T) *crashProject {
	t.Helper()
	p := &crashProject{top: t.TempDir()}
	p.dir = filepath.Join(p.top, "project")
	check(t, os.MkdirAll(filepath.Join(p.dir, "many"), 0o777))
	for name, text := range crashFiles {
		check(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666))
	}
	for i := range 100 {
		check(t, os.WriteFile(filepath.Join(p.dir, "many", fmt.Sprint(i)), fmt.Append(nil, "file ", i), 0o666))
	}
	check(t, os.WriteFile(filepath.Join(p.dir, "raw.bin"), nil, 0o666))
	check(t, os.Truncate(filepath.Join(p.dir, "raw.bin"), crashFileSize))
	p.git(t, "init", "-q", "-b", "main")
	p.mustRun(t, "init", "-q")
	p.mustRun(t, "remote", "add", "-q", "-d", "store", "../store")
	p.git(t, "add", ".dvc", ".dvcignore", "dvc.yaml", "params.yaml")
	p.git(t, "commit", "-q", "-m", "base")
	return p
}

// copy gives a copy that a test may damage.
func (p *crashProject) copy(t *testing.T) *crashProject {
	t.Helper()
	return p.copyTo(t, t.TempDir())
}

// copyTo is copy into a folder.
func (p *crashProject) copyTo(t *testing.T, top string) *crashProject {
	t.Helper()
	if out, err := p.command(t, "cp", "-a", p.top+"/.", top).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return &crashProject{top: top, dir: filepath.Join(top, "project")}
}

func (p *crashProject) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	home := filepath.Join(p.top, "home")
	cmd.Dir, cmd.Env = p.dir, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir(), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"), "GORACE=" + os.Getenv("GORACE"), "SHELL=/bin/sh",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
		"DVC_SYSTEM_CONFIG_DIR=" + home, "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_HTTP_REQUEST_TIMEOUT=60",
	}
	return cmd
}

func (p *crashProject) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(t, "ctrx", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ctrx %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// run gives the exit code and what was printed.
func (p *crashProject) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := p.command(t, "ctrx", args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("ctrx %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (p *crashProject) git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(t, "git", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// interrupt starts ctrx and sends it a signal. It gives the exit code, -1 for a
// process that was killed.
func (p *crashProject) interrupt(t *testing.T, sig syscall.Signal, after time.Duration, args ...string) int {
	t.Helper()
	cmd := p.command(t, "ctrx", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Minute // a killed ctrx leaves its stage's command behind
	check(t, cmd.Start())
	time.Sleep(after)
	_ = cmd.Process.Signal(sig)
	begin := time.Now()
	err := cmd.Wait()
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("%s: ended only after %s", sig, took)
	}
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	allowed := map[syscall.Signal][]int{syscall.SIGKILL: {0, -1}, syscall.SIGINT: {0, 130}, syscall.SIGTERM: {0, 143}}[sig]
	// Before main has asked for signals their default applies.
	if !slices.Contains(append(allowed, -1), code) || code > 0 && !strings.Contains(out.String(), "interrupted") {
		t.Errorf("%s after %s: exit code %d\n%s", sig, after, code, &out)
	}
	return code
}

// checkValid looks at what a dead command left.
func (p *crashProject) checkValid(t *testing.T, what string) {
	t.Helper()
	p.git(t, "fsck", "--no-progress", "--no-dangling")
	if out, err := p.command(t, "ctrx", "status").CombinedOutput(); err != nil {
		t.Errorf("%s: ctrx status: %v\n%s", what, err, out)
	}
	p.checkObjects(t, what, filepath.Join(p.dir, ".dvc/cache/files/md5"))
	p.checkObjects(t, what, filepath.Join(p.top, "store/files/md5"))
	for _, ref := range strings.Fields(p.git(t, "for-each-ref", "--format=%(refname)", "refs/exps")) {
		p.git(t, "cat-file", "-e", ref+":dvc.lock")
	}
}

var objectName = regexp.MustCompile(`^[0-9a-f]{2}/([0-9a-f]{30})(\.dir)?$`)

// checkObjects compares every object that counts as whole with its name. In
// the cache those are the read-only ones: others are hashed before use.
func (p *crashProject) checkObjects(t *testing.T, what, root string) {
	t.Helper()
	for name, path := range filesBelow(t, root) {
		if !objectName.MatchString(name) {
			continue
		}
		info, err := os.Stat(path)
		check(t, err)
		data, err := os.ReadFile(path)
		check(t, err)
		sum := md5.Sum(data)
		hash := strings.TrimSuffix(strings.Replace(name, "/", "", 1), ".dir")
		if info.Mode().Perm()&0o222 == 0 && hex.EncodeToString(sum[:]) != hash {
			t.Errorf("%s: the object %s of %d bytes has other content", what, path, info.Size())
		}
	}
}

// filesBelow maps the files of a folder, by their slash separated name, to
// their paths.
func filesBelow(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found[filepath.ToSlash(rel)] = path
		return err
	})
	check(t, err)
	return found
}

// isTemporary tells the name of a file that was being written. After SIGKILL
// such files stay in the cache and on a folder remote, where nothing reads them.
func isTemporary(name string) bool {
	return strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, ".ctrx-get-") || strings.Contains(name, "/.ctrx-get-")
}

// state describes what a user has: files, objects here and on the remote, run
// cache and experiments. Files of ctrx's own administration are left out.
func (p *crashProject) state(t *testing.T) map[string]string {
	t.Helper()
	s := map[string]string{}
	for name, path := range filesBelow(t, p.dir) {
		switch first, rest, _ := strings.Cut(name, "/"); {
		case first == ".git", strings.HasPrefix(first, "mlflow.db"), first == "mlartifacts", first == ".dvc" && strings.HasPrefix(rest, "tmp/"):
			continue
		case strings.HasPrefix(name, ".dvc/cache/") && isTemporary(name):
			continue
		}
		data, err := os.ReadFile(path)
		check(t, err)
		if name == ".gitignore" || name == "dvc.lock" { // stages that ran at the same time stand in the order of two runs, not of one
			lines := strings.Split(string(data), "\n")
			slices.Sort(lines)
			data = []byte(strings.Join(lines, "\n"))
		}
		sum := md5.Sum(data)
		s[name] = hex.EncodeToString(sum[:])
	}
	for name := range filesBelow(t, filepath.Join(p.top, "store")) {
		if !isTemporary(name) {
			s["store/"+name] = ""
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(p.git(t, "for-each-ref", "--format=%(refname) %(tree)", "refs/exps")), "\n") {
		ref, tree, _ := strings.Cut(line, " ")
		s[filepath.Base(ref)] = tree
	}
	return s
}

func difference(got, want map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if w, ok := want[name]; !ok {
			fmt.Fprintf(&b, "%s should not be there\n", name)
		} else if w != got[name] {
			fmt.Fprintf(&b, "%s is %s, not %s\n", name, got[name], w)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			fmt.Fprintf(&b, "%s is missing\n", name)
		}
	}
	return b.String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Ctrl-C once asks a stage to stop; a second time it is killed, also when it
// ignores SIGTERM, and ctrx still puts its books in order.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	p := newCrashProject(t)
	check(t, os.WriteFile(filepath.Join(p.dir, "dvc.yaml"), []byte(`
stages:
  done:
    cmd: echo done > done
    outs: [done]
  stubborn:
    cmd: trap 'touch told' TERM INT; echo $$ > pid.new; mv pid.new pid; while true; do sleep 0.1; done
    deps: [done]
`), 0o666))
	cmd := p.command(t, "ctrx", "repro", "-j", "2")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	pidFile := filepath.Join(p.dir, "pid")
	var pid int
	for range 15_000 { // minutes, for a slow machine
		if data, err := os.ReadFile(pidFile); err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
			check(t, err)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if pid == 0 {
		t.Fatalf("the stage did not start:\n%s", &out)
	}
	check(t, cmd.Process.Signal(syscall.SIGINT))
	await(t, "the stage is asked to stop", func() bool { _, err := os.Stat(filepath.Join(p.dir, "told")); return err == nil })
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the stage ended on the first signal: %v", err)
	}
	begin := time.Now()
	check(t, cmd.Process.Signal(syscall.SIGINT))
	await(t, "the stage is killed", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	killed := time.Since(begin)
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.ExitCode() != 130 || killed > 8*time.Second { // the stage had 10 from the first signal on
		t.Errorf("after %s: %v\n%s", killed, exit, &out)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the stage's command is still there: %v", err)
	}
	lock, err := os.ReadFile(filepath.Join(p.dir, "dvc.lock"))
	check(t, err)
	if !strings.Contains(string(lock), "done:") || strings.Contains(string(lock), "stubborn:") {
		t.Errorf("dvc.lock:\n%s", lock)
	}
}
