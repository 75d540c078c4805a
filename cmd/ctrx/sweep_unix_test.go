//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sweepProject is a project whose stage writes each start into ../ran and, for
// as long as ../hold exists, does not end.
func newSweepProject(t *testing.T) *crashProject {
	t.Helper()
	p := &crashProject{top: t.TempDir()}
	p.dir = filepath.Join(p.top, "project")
	check(t, os.Mkdir(p.dir, 0o777))
	for name, text := range map[string]string{
		"params.yaml": "x: 0\n",
		"train.sh": "x=$(sed 's/x: //' params.yaml)\necho $x >> \"$TOP/ran\"\nwhile [ -e \"$TOP/hold\" ]; do sleep 0.02; done\n" +
			"echo \"{\\\"auc\\\": $x}\" > metrics.json\n",
		"dvc.yaml": "stages:\n  s:\n    cmd: sh train.sh\n    deps: [train.sh]\n    params: [x]\n    metrics:\n    - metrics.json:\n        cache: false\n",
	} {
		check(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666))
	}
	p.git(t, "init", "-q", "-b", "main")
	p.mustRun(t, "init", "-q")
	p.git(t, "add", "-A")
	p.git(t, "commit", "-q", "-m", "base")
	return p
}

// sweepRun is a ctrx that sweeps in the background. It writes into a file: for
// the end of a pipe one would wait as long as the stages live that a killed ctrx
// leaves behind.
type sweepRun struct {
	cmd   *exec.Cmd
	ended chan error
	out   string
}

func (r *sweepRun) said() string {
	data, _ := os.ReadFile(r.out)
	return string(data)
}

func (p *crashProject) start(t *testing.T, args ...string) *sweepRun {
	t.Helper()
	out, err := os.CreateTemp(p.top, "said")
	check(t, err)
	defer out.Close()
	r := &sweepRun{cmd: p.command(t, "ctrx", args...), ended: make(chan error, 1), out: out.Name()}
	r.cmd.Env = append(r.cmd.Env, "TOP="+p.top)
	r.cmd.Stdout, r.cmd.Stderr = out, out
	check(t, r.cmd.Start())
	go func() { r.ended <- r.cmd.Wait() }()
	return r
}

// wait gives the exit code, -1 for a process that was killed.
func (r *sweepRun) wait(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := <-r.ended; err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (p *crashProject) text(name string) string {
	data, _ := os.ReadFile(filepath.Join(p.top, name))
	return string(data)
}

func (p *crashProject) ran() int { return strings.Count(p.text("ran"), "\n") }

// done counts the trials that the sweep's file calls done.
func (p *crashProject) done() int {
	return strings.Count(p.text("project/.dvc/tmp/ctrx/sweeps/s.jsonl"), `"state":"done"`)
}

// finish resumes the sweep and checks that each trial is there once, with the
// value of its own parameter.
func (p *crashProject) finish(t *testing.T, trials int) {
	t.Helper()
	r := p.start(t, "exp", "sweep", "--resume", "s", "-j", "2", "--json")
	if code := r.wait(t); code != 0 {
		t.Fatalf("resume: exit code %d\n%s", code, r.said())
	}
	var report struct {
		Trials []struct {
			Experiment, State, Reason string
			Value                     float64
			Params                    []string
			RunID                     string `json:"run_id"`
		}
	}
	text := r.said()
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &report); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(report.Trials) != trials {
		t.Fatalf("%d trials, want %d\n%s", len(report.Trials), trials, text)
	}
	for i, trial := range report.Trials {
		if trial.Experiment != fmt.Sprintf("s-%d", i+1) || trial.State != "done" || fmt.Sprintf("x=%v", trial.Value) != trial.Params[0] {
			t.Errorf("%+v", trial)
		}
		if trial.RunID == "" {
			t.Errorf("%s has no MLflow run", trial.Experiment)
		}
		shown := p.git(t, "show", "refs/exps/"+p.baseline(t)+"/"+trial.Experiment+":params.yaml")
		if strings.TrimSpace(shown) != strings.Replace(trial.Params[0], "=", ": ", 1) {
			t.Errorf("%s holds %q, and ran with %v", trial.Experiment, shown, trial.Params)
		}
	}
	if out := p.mustRun(t, "queue", "status"); strings.Contains(out, "s-") {
		t.Errorf("the queue still has runs of the sweep:\n%s", out)
	}
}

func (p *crashProject) baseline(t *testing.T) string {
	head := strings.TrimSpace(p.git(t, "rev-parse", "HEAD"))
	return head[:2] + "/" + head[2:]
}

// A sweep is killed at several moments; the next call does what is left and
// repeats nothing that was written down.
func TestSweepKilled(t *testing.T) {
	const trials = 6
	for _, after := range []int{0, 1, 2, 4} { // trials done
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			p := newSweepProject(t)
			r := p.start(t, "exp", "sweep", "--name", "s", "--method", "grid", "--metric", "metrics.json:auc", "-S", "x=1,2,3,4,5,6", "-j", "2")
			await(t, "trials", func() bool { return p.done() >= after && p.ran() > after })
			check(t, r.cmd.Process.Kill())
			r.wait(t)
			done := p.done()
			// Of the two that were under way at most, each runs once more at most.
			p.finish(t, trials)
			if ran := p.ran(); ran > trials+2 || done == trials && ran != trials {
				t.Errorf("%d of %d trials were done at the kill, and %d ran:\n%s", done, trials, ran, p.text("ran"))
			}
		})
	}
}

// The first Ctrl-C begins no more trials and lets those under way end, the
// second ends them.
func TestSweepInterrupted(t *testing.T) {
	p := newSweepProject(t)
	hold := filepath.Join(p.top, "hold")
	check(t, os.WriteFile(hold, nil, 0o666))
	r := p.start(t, "exp", "sweep", "--name", "s", "--method", "random", "--n", "4", "--metric", "auc", "-S", "x=randint(1,1000)", "-j", "2")
	interrupt := func(r *sweepRun) {
		t.Helper()
		check(t, r.cmd.Process.Signal(syscall.SIGINT))
		await(t, "the word about Ctrl-C", func() bool { return strings.Contains(r.said(), "no more trials are begun") })
	}
	await(t, "two trials", func() bool { return p.ran() == 2 })
	interrupt(r)
	check(t, os.Remove(hold))
	if code := r.wait(t); code != 130 || p.done() != 2 {
		t.Fatalf("exit code %d, %d trials done\n%s", code, p.done(), r.said())
	}
	if !strings.Contains(r.said(), "ctrx exp sweep --resume s") {
		t.Errorf("it does not say how to go on:\n%s", r.said())
	}

	check(t, os.WriteFile(hold, nil, 0o666))
	r = p.start(t, "exp", "sweep", "--resume", "s", "-j", "2")
	await(t, "two more trials", func() bool { return p.ran() == 4 })
	interrupt(r)
	check(t, r.cmd.Process.Signal(syscall.SIGINT))
	if code := r.wait(t); code != 130 || p.done() != 2 {
		t.Fatalf("exit code %d, %d trials done\n%s", code, p.done(), r.said())
	}
	check(t, os.Remove(hold))
	p.finish(t, 4)
	if p.ran() != 6 {
		t.Errorf("ran: %s", p.text("ran"))
	}
}
