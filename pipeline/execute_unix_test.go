//go:build unix

package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// testProject is a project without Git in a folder of its own.
type testProject struct {
	dir string
	out bytes.Buffer // what the commands wrote
}

func newTestProject(t *testing.T, files map[string]string) *testProject {
	t.Helper()
	p := &testProject{dir: t.TempDir()}
	if err := Init(t.Context(), InitOptions{Dir: p.dir, NoSCM: true}); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(p.dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// repro plans and executes as the command does.
func (tp *testProject) repro(t *testing.T, ctx context.Context, o ExecuteOptions) (*Result, error) {
	t.Helper()
	p, err := Open(ctx, OpenOptions{Dir: tp.dir, Env: os.Environ(), Sink: event.Discard, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	lock, err := p.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGraph(ix.Stages)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := p.Plan(ctx, ix, g, o.PlanOptions)
	if err != nil {
		t.Fatal(err)
	}
	o.Stdio = Stdio{Out: &tp.out, Err: io.Discard}
	return p.Execute(ctx, lock, g, steps, o)
}

// files gives every file outside of .dvc with its content.
func (tp *testProject) files(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(tp.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".dvc" {
				return fs.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(tp.dir, name)
		fmt.Fprintf(&all, "== %s\n%s\n", rel, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// randomPipeline makes a dvc.yaml of n stages, each of which joins some of the
// outputs before it; stages stand in the file in random order.
func randomPipeline(r *rand.Rand, n int) string {
	stages := make([]string, n)
	for i := range n {
		var b strings.Builder
		deps := []string{"src"}
		for range r.IntN(4) {
			if i > 0 {
				deps = append(deps, outputOf(r.IntN(i)))
			}
		}
		cmd := "cat"
		for _, d := range deps {
			cmd += " " + d + "$(test -d " + d + " && echo /f)"
		}
		out := outputOf(i)
		into := out
		if i%3 == 2 { // a folder
			cmd, into = "mkdir -p "+out+" && "+cmd, out+"/f"
		}
		fmt.Fprintf(&b, "  s%d:\n    cmd: %s > %s && echo %d >> %s\n    deps:\n", i, cmd, into, i, into)
		seen := map[string]bool{}
		for _, d := range deps {
			if !seen[d] {
				fmt.Fprintf(&b, "    - %s\n", d)
			}
			seen[d] = true
		}
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "    params:\n    - p%d\n", r.IntN(3))
		}
		fmt.Fprintf(&b, "    outs:\n    - %s\n", out)
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, "    meta: {ctrx: {mutex: m%d, resources: {gpu: %d}}}\n", r.IntN(2), r.IntN(3))
		}
		stages[i] = b.String()
	}
	r.Shuffle(n, func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	return "stages:\n" + strings.Join(stages, "")
}

func outputOf(i int) string { return fmt.Sprintf("o%d", i) }

// A random graph comes to the same lock and outputs whether its stages run one
// after the other or several at a time, with the run cache or without, at once
// or after a change and back.
func TestExecuteRandomGraphs(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			n := 3 + r.IntN(12)
			files := map[string]string{"dvc.yaml": randomPipeline(r, n), "src": "x\n", "params.yaml": "p0: 0\np1: 1\np2: 2\n"}
			run := func(p *testProject, o ExecuteOptions) *Result {
				t.Helper()
				o.GPUs = []string{"0", "1"}
				res, err := p.repro(t, t.Context(), o)
				if err != nil {
					t.Fatalf("%v\n%s", err, files["dvc.yaml"])
				}
				return res
			}
			serial, parallel := newTestProject(t, files), newTestProject(t, files)
			run(serial, ExecuteOptions{})
			if res := run(parallel, ExecuteOptions{Jobs: 4}); res.Executed != n {
				t.Errorf("%d of %d stages ran", res.Executed, n)
			}
			want := serial.files(t)
			same := func(p *testProject, when string) {
				t.Helper()
				if got := p.files(t); got != want {
					t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
				}
			}
			same(parallel, "parallel")
			for _, p := range []*testProject{serial, parallel} {
				if res := run(p, ExecuteOptions{Jobs: 3}); len(res.Ran) != 0 || res.Skipped != n {
					t.Errorf("again: %d ran, %d skipped", len(res.Ran), res.Skipped)
				}
			}
			params := filepath.Join(parallel.dir, "params.yaml")
			for _, text := range []string{"p0: 5\np1: 6\np2: 7\n", files["params.yaml"]} {
				if err := os.WriteFile(params, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
				run(parallel, ExecuteOptions{Jobs: 2})
			}
			same(parallel, "after a change and back")
			if err := os.RemoveAll(filepath.Join(parallel.dir, "dvc.lock")); err != nil {
				t.Fatal(err)
			}
			if res := run(parallel, ExecuteOptions{Jobs: 4}); res.Executed != 0 {
				t.Errorf("without dvc.lock %d stages ran, the run cache has them all", res.Executed)
			}
			same(parallel, "restored")
			run(parallel, ExecuteOptions{Jobs: 4, PlanOptions: PlanOptions{Force: true, NoRunCache: true}})
			same(parallel, "forced")
		})
	}
}

func TestExecuteLimits(t *testing.T) {
	for _, tc := range []struct {
		name, meta string
		gpus       []string
		together   bool // stages may run at the same time
	}{
		{"no limit", "{}", nil, true},
		{"mutex", "{mutex: db}", nil, false},
		{"one unknown GPU", "{resources: {gpu: 1}}", nil, false},
		{"one GPU", "{resources: {gpu: 1}}", []string{"3"}, false},
		{"all GPUs", "{resources: {gpu: 2}}", []string{"0", "1"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// mkdir fails when another stage is inside. Where that may be, the first
			// one inside waits for the other, however long that takes to start.
			inside := "sleep 0.05"
			if tc.together {
				inside = "i=0; while [ ! -e met ] && [ $i -lt 6000 ]; do sleep 0.05; i=$((i + 1)); done"
			}
			p := newTestProject(t, map[string]string{"dvc.yaml": `
stages:
  s:
    foreach: [1, 2, 3, 4]
    do:
      cmd: mkdir busy || { touch met; exit 1; }; ` + inside + `; rmdir busy; echo "${item} gpu=$CUDA_VISIBLE_DEVICES" > o${item}
      outs: ["o${item}"]
      meta: {ctrx: ` + tc.meta + `}
`})
			_, err := p.repro(t, t.Context(), ExecuteOptions{Jobs: 4, GPUs: tc.gpus, KeepGoing: true})
			if (err != nil) != tc.together {
				t.Errorf("stages ran together: %v, want %v", err != nil, tc.together)
			}
			data, _ := os.ReadFile(filepath.Join(p.dir, "o1"))
			if want := "gpu=" + strings.Join(tc.gpus, ",") + "\n"; !tc.together && !strings.HasSuffix(string(data), want) {
				t.Errorf("the stage saw %q, want %q", data, want)
			}
		})
	}
}

func TestExecuteRetriesAndTimeout(t *testing.T) {
	p := newTestProject(t, map[string]string{"dvc.yaml": `
stages:
  flaky:
    cmd: echo x >> tries; test $(wc -l < tries) -ge 3 && echo ok > flaky
    outs: [flaky]
    meta: {ctrx: {retries: 2}}
  slow:
    cmd: sleep 3600
    meta: {ctrx: {timeout: 50ms}}
`})
	began := time.Now()
	res, err := p.repro(t, t.Context(), ExecuteOptions{KeepGoing: true})
	if err == nil || errs.KindOf(err) != errs.Failed || len(res.Failed) != 1 || res.Failed[0].Name != "slow" {
		t.Errorf("failed %v: %v", res.Failed, err)
	}
	if time.Since(began) > patience {
		t.Error("the timeout did not end the command")
	}
	if data, _ := os.ReadFile(filepath.Join(p.dir, "tries")); string(data) != "x\nx\nx\n" {
		t.Errorf("attempts: %q, want 3", data)
	}
	runs, err := (&History{path: filepath.Join(p.dir, ".dvc/tmp/ctrx/history.jsonl")}).read()
	if err != nil {
		t.Fatal(err)
	}
	if r := runs["slow"]; len(r) != 1 || !strings.Contains(r[0].Failed, "did not end within 50ms") {
		t.Errorf("history of slow: %+v", r)
	}
}

func TestLimitsErrors(t *testing.T) {
	for _, tc := range []struct{ meta, at, want string }{
		{"{retrys: 1}", "4:19", "no key 'retrys'"},
		{"{retries: -1}", "4:19", "retries must be a whole number"},
		{"{retries: many}", "4:19", "retries must be a whole number"},
		{"{mutex: m, timeout: soon}", "4:29", "timeout must be a time"},
		{"{timeout: 0}", "4:19", "timeout must be a time"},
		{"{mutex: 3}", "4:19", "mutex must be a name"},
		{"{resources: 3}", "4:19", "resources must be a mapping"},
		{"{resources: {gpus: 1}}", "4:31", "no key 'gpus'"},
		{"{resources: {gpu: 3}}", "2:3", "needs 3 GPUs, and there are 2"},
		{"[]", "4:12", "meta.ctrx must be a mapping"},
	} {
		p := newTestProject(t, map[string]string{"dvc.yaml": "stages:\n  s:\n    cmd: touch ran\n    meta: {ctrx: " + tc.meta + "}\n"})
		_, err := p.repro(t, t.Context(), ExecuteOptions{GPUs: []string{"0", "1"}})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "dvc.yaml:"+tc.at+": ") || errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%s: %v, want %q", tc.meta, err, tc.want)
		}
		if _, err := os.Stat(filepath.Join(p.dir, "ran")); err == nil {
			t.Errorf("%s: the command ran", tc.meta)
		}
	}
}

// After a failure what runs is finished and recorded, and nothing new starts.
// The stage that fails waits for the other to run, and that one until the
// failure is known.
func TestExecuteParallelFailure(t *testing.T) {
	p := newTestProject(t, map[string]string{"dvc.yaml": `
stages:
  bad:
    cmd: i=0; until [ -e begun ] || [ $i -ge 6000 ]; do sleep 0.05; i=$((i + 1)); done; exit 3
  good:
    cmd: touch begun; i=0; until grep -q '"bad"' .dvc/tmp/ctrx/history.jsonl || [ $i -ge 6000 ]; do sleep 0.05; i=$((i + 1)); done; echo good > good
    outs: [good]
  later:
    cmd: cp good later
    deps: [good]
    outs: [later]
`})
	_, err := p.repro(t, t.Context(), ExecuteOptions{Jobs: 2})
	if err == nil || !strings.Contains(err.Error(), "failed to reproduce 'bad'") {
		t.Errorf("error %v", err)
	}
	lock, _ := os.ReadFile(filepath.Join(p.dir, "dvc.lock"))
	if !strings.Contains(string(lock), "good:") || strings.Contains(string(lock), "bad:") || strings.Contains(string(lock), "later:") {
		t.Errorf("dvc.lock:\n%s", lock)
	}
}

// Ctrl-C ends all running stages; what had finished is kept.
func TestExecuteParallelInterrupted(t *testing.T) {
	p := newTestProject(t, map[string]string{"dvc.yaml": `
stages:
  quick:
    cmd: echo quick > quick
    outs: [quick]
  long:
    foreach: [1, 2]
    do:
      cmd: echo > started${item}; sleep 3600
      deps: [quick]
`})
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := make(chan time.Time, 1)
	go func() {
		for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
			_, err1 := os.Stat(filepath.Join(p.dir, "started1"))
			_, err2 := os.Stat(filepath.Join(p.dir, "started2"))
			if err1 == nil && err2 == nil {
				break
			}
		}
		stopped <- time.Now()
		cancel(errs.New(errs.Interrupted, "interrupted"))
	}()
	_, err := p.repro(t, ctx, ExecuteOptions{Jobs: 2})
	if took := time.Since(<-stopped); errs.KindOf(err) != errs.Interrupted || took > patience {
		t.Errorf("after %v: %v", took, err)
	}
	lock, _ := os.ReadFile(filepath.Join(p.dir, "dvc.lock"))
	if !strings.Contains(string(lock), "quick:") || strings.Contains(string(lock), "long") {
		t.Errorf("dvc.lock:\n%s", lock)
	}
}

func TestPrefixWriter(t *testing.T) {
	var out bytes.Buffer
	w := &prefixWriter{to: &out, prefix: "[s] "}
	for _, s := range []string{"one\ntw", "o\n", "10%\r20%\r", "30%\r100%\ndone", ""} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	w.flush()
	if want := "[s] one\n[s] two\n[s] 100%\n[s] done\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
