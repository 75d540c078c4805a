//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// historyFiles is a project whose last stage keeps a copy of all that it saw.
var historyFiles = map[string]string{
	"params.yaml": "lr: 1\nmode: ok\n",
	"code.sh":     "cat data.csv folder/* > prepared/all.txt\n",
	"train.sh":    "grep lr params.yaml | cat - prepared/all.txt > model.bin\necho '{\"acc\": 1}' > metrics.json\n",
	// What a run saw, before the stage ends or fails.
	"see.sh": "mkdir -p \"$SEEN/$MLFLOW_RUN_ID\"\ntar cf - --exclude=./.git --exclude=./.dvc --exclude=./mlflow.db* --exclude=./mlartifacts . | tar xf - -C \"$SEEN/$MLFLOW_RUN_ID\"\n" +
		"! grep -q 'mode: fail' params.yaml\n",
	"data.csv":   "a,b\n1,2\n",
	"folder/one": "1\n", "folder/two": "2\n",
	"dvc.yaml": `stages:
  prepare:
    cmd: mkdir prepared && sh code.sh
    deps: [code.sh, data.csv, folder]
    outs: [prepared]
  train:
    cmd: sh train.sh
    deps: [train.sh, prepared]
    params: [lr]
    outs: [model.bin]
    metrics:
    - metrics.json:
        cache: false
  see:
    cmd: sh see.sh
    deps: [model.bin, metrics.json]
    params: [lr, mode]
`,
}

// historyStep is one run of the history, with what the user does before.
type historyStep struct {
	name string
	edit string // shell
	args [][]string
	fail bool
	saw  bool // a stage kept what it saw; else the work tree afterwards is it
	lost bool // the experiment's ref is removed and Git's rubbish collected: only the patch is left
}

var history = []historyStep{
	{name: "as committed", args: [][]string{{"exp", "run", "-n", "first"}}, saw: true},
	{name: "a parameter", args: [][]string{{"exp", "run", "-n", "param", "-S", "lr=2"}}, saw: true},
	{name: "changed code, not committed", edit: "echo '# changed' >> code.sh; chmod +x train.sh; git rm -q --cached notes.txt; rm notes.txt; ln -sf code.sh link; git add link",
		args: [][]string{{"exp", "run", "-n", "code", "-S", "lr=3"}}, saw: true, lost: true},
	{name: "changed data, not committed", edit: "echo 3,4 >> data.csv; rm folder/one; echo 3 > folder/three", args: [][]string{{"exp", "run", "-n", "data"}}, saw: true},
	{name: "a failed run", edit: "sed -i.bak s/ok/fail/ params.yaml; rm params.yaml.bak; echo '# before the failure' >> train.sh",
		args: [][]string{{"exp", "run", "-n", "failed", "-S", "lr=4"}}, fail: true, saw: true},
	{name: "in a copy", edit: "git checkout -q params.yaml", args: [][]string{{"exp", "run", "--temp", "-n", "copied", "-S", "lr=5"}}, saw: true},
	{name: "committed code, other data", edit: "git add -A; git commit -qm second; printf 'a,b\\n5,6\\n' > data.csv", args: [][]string{{"exp", "run", "-n", "second", "-S", "lr=6"}}, saw: true},
	{name: "queued", args: [][]string{{"exp", "run", "--queue", "-n", "queued", "-S", "lr=7"}, {"exp", "run", "--run-all"}}, saw: true},
	{name: "repro, with a binary file changed", edit: "printf 'a\\0b\\377\\n' > picture.bin; git add picture.bin; rm old.bin; echo '# repro' >> train.sh",
		args: [][]string{{"repro", "--track", "-f"}}, saw: true, lost: true},
	{name: "a failed run in a copy", args: [][]string{{"exp", "run", "--temp", "-n", "badcopy", "-S", "mode=fail", "-S", "lr=8"}}, fail: true, saw: true},
	{name: "saved", edit: "sed -i.bak 's/lr: .*/lr: 9/' params.yaml; rm params.yaml.bak; echo untracked > extra.txt", args: [][]string{{"exp", "save", "-n", "saved", "-I", "extra.txt"}}},
}

// TestHistoryOfRuns checks out every run of a history in which parameters, code
// and data change, some runs are dirty, some fail, and some run in copies: the
// bytes must be those that the run saw. Again from a clone that never had them.
func TestHistoryOfRuns(t *testing.T) {
	t.Parallel()
	p := newHistory(t)
	var ids []string
	want := map[string]map[string]string{}
	for _, step := range history {
		p.shell(t, step.edit)
		for i, args := range step.args {
			out, err := p.command(t, "ctrx", args...).CombinedOutput()
			if failed := err != nil; failed != (step.fail && i == len(step.args)-1) {
				t.Fatalf("%s: ctrx %s: %v\n%s", step.name, strings.Join(args, " "), err, out)
			}
		}
		id := p.newestRun(t)
		if slices.Contains(ids, id) {
			t.Fatalf("%s: no new run", step.name)
		}
		ids = append(ids, id)
		root := p.dir
		if step.saw {
			root = filepath.Join(p.top, "seen", id)
		}
		want[id] = treeOf(t, root)
		if !step.saw {
			continue
		}
		if lock, ok := treeOf(t, p.dir)["dvc.lock"]; ok && step.args[0][0] == "repro" {
			want[id]["dvc.lock"] = lock // its last line came after the last stage
		} else {
			delete(want[id], "dvc.lock")
		}
	}
	p.mustRun(t, "exp", "remove", "-q", "code") // of the step that is lost
	p.git(t, "reflog", "expire", "--expire=now", "--all")
	p.git(t, "gc", "-q", "--prune=now")
	p.checkAll(t, ids, want)

	p.mustRun(t, "push", "-q", "--all-commits")
	for _, id := range ids { // the data of what is on no branch
		p.pushRun(t, id)
	}
	p.mustRun(t, "exp", "push", "-q", "-A", "origin")
	p.git(t, "push", "-q", "origin", "HEAD:main")
	clone := &historyProject{crashProject: crashProject{top: t.TempDir()}, seen: p.seen, uri: "sqlite:///" + filepath.Join(p.dir, "mlflow.db")}
	clone.dir = filepath.Join(clone.top, "project")
	p.git(t, "clone", "-q", filepath.Join(p.top, "origin.git"), clone.dir)
	check(t, os.WriteFile(filepath.Join(clone.dir, ".dvc", "config.local"), []byte("['remote \"store\"']\n    url = "+filepath.Join(p.top, "store")+"\n"), 0o600))
	clone.checkAll(t, ids, want)
}

// historyProject is a crashProject with a Git remote, whose stages keep what
// they see.
type historyProject struct {
	crashProject
	seen, uri string
}

func newHistory(t *testing.T) *historyProject {
	t.Helper()
	p := &historyProject{crashProject: crashProject{top: t.TempDir()}}
	p.dir, p.seen = filepath.Join(p.top, "project"), filepath.Join(p.top, "seen")
	for name, text := range historyFiles {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(p.dir, name)), 0o777))
		check(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666))
	}
	check(t, os.WriteFile(filepath.Join(p.dir, "notes.txt"), []byte("notes\n"), 0o666))
	check(t, os.WriteFile(filepath.Join(p.dir, "old.bin"), []byte("\x00\x01old"), 0o666))
	p.git(t, "init", "-q", "-b", "main")
	p.git(t, "init", "-q", "--bare", "-b", "main", filepath.Join(p.top, "origin.git"))
	p.git(t, "remote", "add", "origin", filepath.Join(p.top, "origin.git"))
	p.mustRun(t, "init", "-q")
	p.mustRun(t, "remote", "add", "-q", "-d", "store", "../store")
	p.mustRun(t, "add", "-q", "data.csv", "folder")
	p.git(t, "add", "-A")
	p.git(t, "commit", "-q", "-m", "base")
	return p
}

func (p *historyProject) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := p.crashProject.command(t, name, args...)
	cmd.Env = append(cmd.Env, "SEEN="+p.seen, "MLFLOW_EXPERIMENT_NAME=history", "MLFLOW_TRACKING_URI="+p.uri)
	return cmd
}

func (p *historyProject) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(t, "ctrx", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ctrx %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *historyProject) shell(t *testing.T, script string) {
	t.Helper()
	if out, err := p.command(t, "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (p *historyProject) newestRun(t *testing.T) string {
	t.Helper()
	var runs []struct {
		ID string `json:"run_id"`
	}
	cmd := p.command(t, "ctrx", "runs", "list", "-n", "1", "--json")
	out, err := cmd.Output()
	check(t, err)
	check(t, json.Unmarshal(out, &runs))
	if len(runs) != 1 {
		t.Fatalf("runs: %s", out)
	}
	return runs[0].ID
}

// pushRun pushes the data of a run out of its own work tree.
func (p *historyProject) pushRun(t *testing.T, id string) {
	t.Helper()
	cmd := p.command(t, "ctrx", "push", "-q")
	cmd.Dir = filepath.Join(p.top, "back", id)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("push of %s: %v\n%s", id, err, out)
	}
}

// checkAll checks every run out and compares it with what it saw.
func (p *historyProject) checkAll(t *testing.T, ids []string, want map[string]map[string]string) {
	t.Helper()
	for i, id := range ids {
		step := history[i]
		dir := filepath.Join(p.top, "back", id)
		out := p.mustRun(t, "runs", "checkout", id, "--worktree", dir)
		got := treeOf(t, dir)
		if step.lost && strings.Contains(out, "experiment commit") {
			t.Errorf("%s: the patch was not needed: %s", step.name, out)
		}
		if _, known := want[id]["dvc.lock"]; !known {
			if _, ok := got["dvc.lock"]; !ok {
				t.Errorf("%s: no dvc.lock", step.name)
			}
			delete(got, "dvc.lock")
		}
		if step.fail {
			// Of stages that had no turn, the outputs of the run before are back too.
			maps.DeleteFunc(got, func(name, _ string) bool { _, seen := want[id][name]; return !seen })
		}
		if !maps.Equal(got, want[id]) {
			t.Errorf("%s (%s): not what the run saw:\n%s\n%s", step.name, id, difference(got, want[id]), out)
		}
		status := p.command(t, "git", "status", "--porcelain")
		status.Dir = dir
		if text, err := status.CombinedOutput(); err != nil || len(text) > 0 {
			t.Errorf("%s: git status in the new work tree: %v\n%s", step.name, err, text)
		}
	}
}

// treeOf reads the files of a folder with their modes and the targets of
// links, but what Git, DVC and MLflow keep for themselves.
func treeOf(t *testing.T, root string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	check(t, filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		switch base := e.Name(); {
		case base == ".git" || rel == ".dvc" || rel == "mlartifacts" || strings.HasPrefix(rel, "mlflow.db"):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			tree[rel] = "-> " + target
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		tree[rel] = fmt.Sprintf("%v %q", info.Mode().Perm()&0o100 != 0, data)
		return err
	}))
	return tree
}
