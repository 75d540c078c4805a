package sweep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/experiment"
	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// newProject makes a repository with one commit, a params file and a metrics
// file.
func newProject(t *testing.T) *pipeline.Project {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"params.yaml": "x: 0\nm: a\n", "dvc.yaml": "stages:\n  s:\n    cmd: 'true'\n    params: [x, m]\n    metrics:\n    - metrics.json:\n        cache: false\n",
		"metrics.json": `{"auc": 0.5}`,
	}
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	check(t, pipeline.Init(t.Context(), pipeline.InitOptions{Dir: dir, Sink: event.Discard}))
	git("add", "-A")
	git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "base")
	return openProject(t, dir)
}

func openProject(t *testing.T, dir string) *pipeline.Project {
	t.Helper()
	p, err := pipeline.Open(t.Context(), pipeline.OpenOptions{Dir: dir, Sink: event.Discard})
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakeRunner gives the metric auc by a function of the trial's parameters, and
// remembers what it ran.
type fakeRunner struct {
	auc func(ctx context.Context, t TrialSpec) (dvcfile.Value, error)

	mu        sync.Mutex
	ran       []string
	forgotten []string
	now, max  int // trials at one time
}

func (f *fakeRunner) Run(ctx context.Context, t TrialSpec) (Result, error) {
	f.mu.Lock()
	f.ran = append(f.ran, t.Experiment+" "+strings.Join(t.Params, " "))
	f.now++
	f.max = max(f.max, f.now)
	f.mu.Unlock()
	v, err := f.auc(ctx, t)
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	if err != nil {
		return Result{}, err
	}
	m := &dvcfile.Map{}
	m.Set("auc", v)
	return Result{Commit: strings.Repeat("a", 40), Metrics: []pipeline.FileValues{{Path: "metrics.json", Values: m}}}, nil
}

func (f *fakeRunner) Forget(_ context.Context, t TrialSpec) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten = append(f.forgotten, t.Experiment)
	return nil
}

// first gives the value of the first parameter of a trial.
func first(t TrialSpec) float64 {
	_, text, _ := strings.Cut(t.Params[0], "=")
	f := math.NaN()
	_, _ = fmt.Sscan(text, &f)
	return f
}

func options(r Runner, params ...string) Options {
	return Options{
		Name: "s", Method: "grid", Metric: "metrics.json:auc", Direction: "max", SetParams: params, Seed: 1, Jobs: 1,
		Tracking: experiment.TrackOptions{Off: true}, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 2)), Sink: event.Discard, Runner: r,
	}
}

func states(r *Report) string {
	var all []string
	for _, t := range r.Trials {
		all = append(all, string(t.State))
	}
	return strings.Join(all, " ")
}

func TestRunGrid(t *testing.T) {
	p := newProject(t)
	r := &fakeRunner{auc: func(_ context.Context, t TrialSpec) (dvcfile.Value, error) {
		switch first(t) {
		case 2:
			return dvcfile.Float(math.NaN()), nil
		case 3:
			return "high", nil
		case 4:
			return nil, errors.New("boom\nsecond line")
		}
		return dvcfile.Float(first(t)), nil
	}}
	report, err := Run(t.Context(), p, options(r, "x=1,2,3,4,5", "m=a,b"))
	check(t, err)
	if got, want := states(report), "done done failed failed failed failed failed failed done done"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	want := []string{"s-1 x=1 m=a", "s-2 x=1 m=b", "s-3 x=2 m=a"}
	if !slices.Equal(r.ran[:3], want) {
		t.Errorf("ran %v, want %v", r.ran[:3], want)
	}
	for i, reason := range map[int]string{2: "metrics.json: auc is nan", 4: "metrics.json: auc is high, which is no number", 6: "boom"} {
		if got := report.Trials[i].Reason; got != reason {
			t.Errorf("trial %d: %q, want %q", i+1, got, reason)
		}
	}
	if best := report.Best(); best == nil || best.Experiment != "s-9" || report.Planned != 10 || report.Stopped != "" {
		t.Errorf("%+v", report)
	}
}

func TestRunMinimizes(t *testing.T) {
	r := &fakeRunner{auc: func(_ context.Context, t TrialSpec) (dvcfile.Value, error) { return dvcfile.Float(first(t)), nil }}
	o := options(r, "x=3,1,2")
	o.Direction, o.Metric = "min", "auc"
	report, err := Run(t.Context(), newProject(t), o)
	check(t, err)
	if best := report.Best(); best.Experiment != "s-2" {
		t.Errorf("best is %s", best.Experiment)
	}
}

func TestRunStops(t *testing.T) {
	falling := func(_ context.Context, t TrialSpec) (dvcfile.Value, error) {
		if first(t) == 6 {
			return nil, errors.New("boom")
		}
		return dvcfile.Float(-first(t)), nil
	}
	for _, c := range []struct {
		name    string
		set     func(*Options)
		trials  int
		stopped string
		err     string
	}{
		{"stop after", func(o *Options) { o.StopAfter = 3 }, 4, "3 trials brought no improvement", ""},
		{"fail fast", func(o *Options) { o.FailFast = true }, 6, "a trial failed", "s-6 failed: boom"},
		{"number", func(o *Options) { o.Trials = 5 }, 5, "", ""},
		{"timeout", func(o *Options) { o.Timeout = time.Nanosecond }, 1, "the time of 1ns is over", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &fakeRunner{auc: falling}
			if c.name == "timeout" { // the first trial outlives it
				r.auc = func(ctx context.Context, t TrialSpec) (dvcfile.Value, error) {
					time.Sleep(20 * time.Millisecond)
					return falling(ctx, t)
				}
			}
			o := options(r, "x=range(1,9)")
			c.set(&o)
			report, err := Run(t.Context(), newProject(t), o)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if len(report.Trials) != c.trials || report.Stopped != c.stopped {
				t.Errorf("%d trials, stopped %q; want %d, %q", len(report.Trials), report.Stopped, c.trials, c.stopped)
			}
		})
	}
}

func TestRunWithoutAnyValue(t *testing.T) {
	r := &fakeRunner{auc: func(context.Context, TrialSpec) (dvcfile.Value, error) { return nil, errors.New("boom") }}
	report, err := Run(t.Context(), newProject(t), options(r, "x=1,2"))
	if errs.KindOf(err) != errs.Failed || !strings.Contains(err.Error(), "boom") || len(report.Trials) != 2 {
		t.Errorf("%v, %v", report, err)
	}
}

// With -j N exactly N trials run at one time: each waits for the others.
func TestRunInParallel(t *testing.T) {
	var barrier sync.WaitGroup
	barrier.Add(3)
	var once [3]sync.Once
	r := &fakeRunner{}
	r.auc = func(_ context.Context, t TrialSpec) (dvcfile.Value, error) {
		if n := int(first(t)); n < 3 {
			once[n].Do(barrier.Done)
			barrier.Wait()
		}
		return dvcfile.Float(first(t)), nil
	}
	o := options(r, "x=range(9)")
	o.Jobs = 3
	report, err := Run(t.Context(), newProject(t), o)
	check(t, err)
	if r.max != 3 || report.Count(Done) != 9 {
		t.Errorf("%d at one time, %s", r.max, states(report))
	}
}

// A sweep that is stopped in the middle goes on where it was: what was done is
// not done again, what was cut off runs with the values that it had, and what
// became an experiment meanwhile is taken up.
func TestResume(t *testing.T) {
	p := newProject(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	var both sync.WaitGroup
	both.Add(2)
	r := &fakeRunner{auc: func(ctx context.Context, s TrialSpec) (dvcfile.Value, error) {
		if s.Experiment == "s-3" || s.Experiment == "s-4" {
			both.Done()
			both.Wait()
			cancel(errs.New(errs.Interrupted, "interrupted"))
			return nil, ctx.Err()
		}
		return dvcfile.Float(first(s)), nil
	}}
	o := options(r, "x=uniform(0,1)", "m=a,b")
	o.Method, o.Trials, o.Jobs = "random", 6, 2
	report, err := Run(ctx, p, o)
	if errs.KindOf(err) != errs.Interrupted || states(report) != "done done running running" || report.Stopped != "interrupted" {
		t.Fatalf("%s, %q, %v", states(report), report.Stopped, err)
	}
	before := slices.Clone(r.ran)

	// s-4 ended in another process.
	repo, err := p.Repo()
	check(t, err)
	tree, err := repo.WriteTree(t.Context(), nil)
	check(t, err)
	commit, err := repo.CommitTree(tree, gitops.CommitSpec{Parent: report.Baseline, Message: "x", Author: gitops.Signature{Name: "t", Email: "t@example.com", When: time.Unix(1e9, 0)}})
	check(t, err)
	check(t, repo.SetRef(experiment.RefName(report.Baseline, "s-4"), commit, "", ""))
	// A crash cut the last line off.
	file, err := os.OpenFile(journalPath(p, "s"), os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = file.WriteString(`{"trial":{"number":5,"exp`)
	check(t, errors.Join(err, file.Close()))
	// The user goes on working: trials start from the snapshot.
	check(t, os.WriteFile(filepath.Join(p.Root, "params.yaml"), []byte("z: 1\n"), 0o666))

	again := &fakeRunner{auc: func(_ context.Context, s TrialSpec) (dvcfile.Value, error) {
		return dvcfile.Float(first(s)), nil
	}}
	o = options(again)
	o.Resume = "s"
	report, err = Run(t.Context(), p, o)
	check(t, err)
	if states(report) != "done done done done done done" {
		t.Fatalf("%s: %+v", states(report), report.Trials)
	}
	if *report.Trials[3].Value != 0.5 || report.Trials[3].Commit != commit {
		t.Errorf("s-4 was not taken up: %+v", report.Trials[3])
	}
	if len(again.ran) != 3 || !slices.Contains(before, again.ran[0]) || !strings.HasPrefix(again.ran[0], "s-3 ") || !strings.HasPrefix(again.ran[1], "s-5 ") {
		t.Errorf("ran %v after %v", again.ran, before)
	}
	if !slices.Equal(again.forgotten, []string{"s-4", "s-3"}) {
		t.Errorf("cleared away %v", again.forgotten)
	}
	whole := texts(draw(t, "random", space(t, "x=uniform(0,1)", "m=a,b"), 6, 1))
	for i, trial := range report.Trials {
		if strings.Join(trial.Params, " ") != whole[i] {
			t.Errorf("trial %d has %v, want %s", i+1, trial.Params, whole[i])
		}
	}

	// Longer than it was planned, and no trial twice.
	o.Trials = 8
	report, err = Run(t.Context(), p, o)
	check(t, err)
	if len(again.ran) != 5 || len(report.Trials) != 8 {
		t.Errorf("ran %v", again.ran)
	}
}

func TestOptimiserIsTold(t *testing.T) {
	self, err := os.Executable()
	check(t, err)
	r := &fakeRunner{auc: func(_ context.Context, s TrialSpec) (dvcfile.Value, error) { return dvcfile.Float(first(s)), nil }}
	o := options(r, "x=uniform(0,10)", "m=a,b")
	o.Method, o.Env = "exec:exec "+self, append(os.Environ(), fakeEnv+"=good")
	report, err := Run(t.Context(), newProject(t), o)
	check(t, err)
	want := []string{"s-1 x=1.5 m=b", "s-2 x=2.5 m=b", "s-3 x=3.5 m=b"}
	if !slices.Equal(r.ran, want) || report.Best().Experiment != "s-3" {
		t.Errorf("ran %v", r.ran)
	}
	// What it does wrong later ends the sweep, which can go on.
	o.Name, o.Env[len(o.Env)-1] = "t", fakeEnv+"=leaves"
	report, err = Run(t.Context(), newProject(t), o)
	if err == nil || !strings.Contains(err.Error(), "last line") || report.Count(Done) != 1 {
		t.Errorf("%v, %+v", err, report)
	}
}

func TestUsageErrors(t *testing.T) {
	p := newProject(t)
	for _, c := range []struct {
		name string
		set  func(*Options)
		kind errs.Kind
		want string
	}{
		{"method", func(o *Options) { o.Method = "magic" }, errs.Usage, `unknown --method "magic"`},
		{"no method", func(o *Options) { o.Method = "" }, errs.Usage, "--method is missing"},
		{"empty command", func(o *Options) { o.Method = "exec: " }, errs.Usage, "unknown --method"},
		{"direction", func(o *Options) { o.Direction = "up" }, errs.Usage, `--direction is max or min, not "up"`},
		{"metric", func(o *Options) { o.Metric = ":auc" }, errs.Usage, "--metric is FILE:KEY or KEY"},
		{"metric file", func(o *Options) { o.Metric = "other.json:auc" }, errs.Usage, "other.json is no metrics file of this project"},
		{"number", func(o *Options) { o.Method = "random" }, errs.Usage, "--method random needs the number of trials"},
		{"space", func(o *Options) { o.SetParams = []string{"x=uniform(2,1)"} }, errs.Usage, "must be below"},
		{"nothing", func(o *Options) { o.SetParams = []string{"x=1"} }, errs.Usage, "nothing to search"},
		{"endless grid", func(o *Options) { o.SetParams = []string{"x=uniform(0,1)"} }, errs.Usage, "so there is no grid"},
		{"no such key", func(o *Options) { o.SetParams = []string{"y=1,2"} }, errs.Usage, "y"},
		{"no such file", func(o *Options) { o.SetParams = []string{"q.yaml:y=1,2"} }, errs.NotFound, "q.yaml"},
		{"name", func(o *Options) { o.Name = "a/b" }, errs.Usage, "a/b"},
		{"no such sweep", func(o *Options) { o.Resume = "nowhere" }, errs.NotFound, "there is no sweep 'nowhere'"},
		{"hostile name", func(o *Options) { o.Resume = "../../x" }, errs.NotFound, "there is no sweep"},
	} {
		o := options(&fakeRunner{}, "x=1,2")
		c.set(&o)
		report, err := Run(t.Context(), p, o)
		if err == nil || !strings.Contains(err.Error(), c.want) || report != nil {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		if kind := errs.KindOf(err); kind != c.kind {
			t.Errorf("%s: kind %v, want %v", c.name, kind, c.kind)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(sweepsDir(p), "*.jsonl")); len(files) > 0 {
		t.Errorf("mistakes left %v", files)
	}
}

func TestNamesAndLocks(t *testing.T) {
	p := newProject(t)
	blocked := make(chan struct{})
	began := make(chan struct{})
	r := &fakeRunner{auc: func(context.Context, TrialSpec) (dvcfile.Value, error) {
		close(began)
		<-blocked
		return dvcfile.Float(1), nil
	}}
	ended := make(chan error, 1)
	o := options(r, "x=1,2")
	o.Trials = 1
	go func() {
		_, err := Run(t.Context(), p, o)
		ended <- err
	}()
	<-began
	second := openProject(t, p.Root)
	o = options(r)
	o.Resume = "s"
	if _, err := Run(t.Context(), second, o); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "under way in process") {
		t.Errorf("a second one goes on with the same sweep: %v", err)
	}
	close(blocked)
	check(t, <-ended)
	if _, err := Run(t.Context(), p, options(r, "x=1,2")); errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--resume s") {
		t.Errorf("a second one begins with the same name: %v", err)
	}
}

func TestDamagedJournal(t *testing.T) {
	p := newProject(t)
	check(t, os.MkdirAll(sweepsDir(p), 0o777))
	const header = `{"sweep":{"version":1,"name":"s","method":"grid","params":["x=1,2"],"metric":"auc","direction":"max","baseline":"x"}}` + "\n"
	for _, c := range []struct{ text, want string }{
		{"", "is empty"},
		{"{}\n", "does not begin with a sweep"},
		{`{"sweep":{"version":9}}` + "\n", "of a version that this ctrx knows"},
		{header + "nonsense\n", "s.jsonl:2:1: the record of the sweep is damaged"},
		{header + `{"trial":{"number":2}}` + "\n", "trial 2 comes after trial 0"},
	} {
		check(t, os.WriteFile(journalPath(p, "s"), []byte(c.text), 0o666))
		_, err := openJournal(p, "s")
		if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestMetric(t *testing.T) {
	m, err := dvcfile.ParseJSON("m.json", []byte(`{"auc": 0.5, "n": 3, "val": {"auc": 0.25}, "text": "x", "yes": true, "none": null, "list": [1]}`))
	check(t, err)
	files := []pipeline.FileValues{
		{Path: "metrics.json", Values: m.(*dvcfile.Map)},
		{Path: "other.json", Values: m.(*dvcfile.Map)},
		{Path: "broken.json", Err: errors.New("is broken")},
	}
	for _, c := range []struct{ spec, want string }{
		{"metrics.json:auc", "0.5"},
		{"metrics.json:n", "3"},
		{"metrics.json:val.auc", "0.25"},
		{"metrics.json:text", "metrics.json: text is x, which is no number"},
		{"metrics.json:yes", "metrics.json: yes is True, which is no number"},
		{"metrics.json:none", "metrics.json: none is None, which is no number"},
		{"metrics.json:list", "metrics.json: list is [1], which is no number"},
		{"metrics.json:nothing", "metrics.json has no nothing; there is auc, n, val.auc, text, yes, none, list"},
		{"auc", "auc is in metrics.json and other.json: name one of them, metrics.json:auc"},
		{"nothing", "no metrics file has nothing; there is auc, n, val.auc, text, yes, none, list, auc, ..."},
		{"broken.json:auc", "broken.json: is broken"},
		{"absent.json:auc", "absent.json is no metrics file of the run"},
	} {
		m, err := parseMetric(c.spec, func(s string) (string, error) { return s, nil })
		check(t, err)
		v, err := m.value(files)
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.spec, got, c.want)
		}
	}
}
