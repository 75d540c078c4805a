package sweep

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/testreq"
	"ctrx/pipeline/dvcfile"
	"ctrx/pipeline/pyenv"
)

// optuna makes Optuna's environment.
func optuna(t *testing.T) command {
	t.Helper()
	var packages []string
	for line := range strings.Lines(string(optunaRequirements)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			packages = append(packages, line)
		}
	}
	testreq.NeedPackages(t, packages...)
	dir := t.TempDir()
	c, err := optunaCommand(t.Context(), filepath.Join(dir, "optuna"), pyenv.Options{Dir: filepath.Join(dir, "envs"), For: "a test", Env: os.Environ(), Sink: event.Discard})
	check(t, err)
	return c
}

// TestOptuna asks the real Optuna.
func TestOptuna(t *testing.T) {
	c := optuna(t)
	s := space(t, "lr=loguniform(1e-4,1e-1)", "depth=range(3,10)", "q=quniform(0,1,0.1)", "n=lograndint(1,100)", "m='a b',c,3", "fixed=x")
	// The best point is lr=0.01, depth=7, and no matter what else.
	loss := func(set []dvcfile.Override) float64 {
		lr, depth := number(t, set[0]), number(t, set[1])
		return math.Pow(math.Log10(lr)+2, 2) + math.Pow((depth-7)/4, 2)
	}
	begin := func(t *testing.T, c command, sampler string, parallel int, history []past) *asker {
		t.Helper()
		a, err := greet(t.Context(), c, generous(), hello{
			Sweep: "s", Direction: "minimize", Seed: 5, Trials: 40, Parallel: parallel, History: history, Options: map[string]string{"sampler": sampler},
		}, s)
		check(t, err)
		t.Cleanup(func() { check(t, a.close()) })
		return a
	}
	ask := func(t *testing.T, a *asker, n int) []dvcfile.Override {
		t.Helper()
		set, ok, err := a.ask(t.Context(), n)
		if err != nil || !ok {
			t.Fatalf("ask %d: %v, %v", n, ok, err)
		}
		return set
	}

	t.Run("tpe", func(t *testing.T) {
		a := begin(t, c, "TPESampler", 1, nil)
		if !strings.HasPrefix(a.program.name, "Optuna 5.0.0, TPESampler") {
			t.Errorf("it calls itself %q", a.program.name)
		}
		sum := map[bool]float64{} // of the second half, or the first
		for n := 1; n <= 40; n++ {
			set := ask(t, a, n)
			v := loss(set)
			sum[n > 20] += v
			if n%9 == 0 {
				check(t, a.tell(t.Context(), n, nil, "failed"))
				continue
			}
			check(t, a.tell(t.Context(), n, &v, ""))
		}
		if sum[true] > 0.7*sum[false] {
			t.Errorf("it does not learn: sum of the first half %v, of the second %v", sum[false], sum[true])
		}
	})

	t.Run("resume", func(t *testing.T) {
		first := begin(t, c, "TPESampler", 2, nil)
		one, two := ask(t, first, 1), ask(t, first, 2) // again before it is told
		if texts([][]dvcfile.Override{one})[0] == texts([][]dvcfile.Override{two})[0] {
			t.Errorf("both trials have %v", arguments(one))
		}
		v := loss(one)
		again := begin(t, c, "TPESampler", 2, []past{
			{Trial: 1, Values: values(s, one), Value: &v}, {Trial: 2, Values: values(s, two)}, {Trial: 3, Values: values(s, two), Failed: "boom"},
		})
		if set := ask(t, again, 4); arguments(set)[0] == arguments(one)[0] {
			t.Errorf("the random numbers begin anew: %v", arguments(set))
		}
		check(t, again.tell(t.Context(), 2, &v, "")) // under way at the resume
	})

	t.Run("cmaes", func(t *testing.T) {
		a := begin(t, c, "CmaEsSampler", 1, nil)
		for n := 1; n <= 8; n++ {
			v := loss(ask(t, a, n))
			check(t, a.tell(t.Context(), n, &v, ""))
		}
	})

	t.Run("no such sampler", func(t *testing.T) {
		_, err := greet(context.WithoutCancel(t.Context()), c, generous(), hello{Direction: "minimize", Options: map[string]string{"sampler": "MagicSampler"}}, s)
		if errs.KindOf(err) != errs.Usage || !strings.Contains(err.Error(), "Optuna has no sampler MagicSampler; there are ") || !strings.Contains(err.Error(), "TPESampler") {
			t.Errorf("%v", err)
		}
	})

	t.Run("a program that fails", func(t *testing.T) {
		broken := c
		broken.argv = []string{c.argv[0], "-I", "-c", "raise ValueError('no such luck')"}
		_, err := greet(t.Context(), broken, generous(), hello{Direction: "minimize"}, s)
		if err == nil || !strings.Contains(err.Error(), "ValueError: no such luck") {
			t.Errorf("%v", err)
		}
	})

	// A whole sweep, with trials at one time.
	t.Run("sweep", func(t *testing.T) {
		p := newProject(t)
		// The environment is there already.
		check(t, os.MkdirAll(p.SharedDir(), 0o777))
		check(t, os.Symlink(filepath.Join(filepath.Dir(c.dir), "envs"), filepath.Join(p.SharedDir(), "envs")))
		r := &fakeRunner{auc: func(_ context.Context, s TrialSpec) (dvcfile.Value, error) {
			return dvcfile.Float(-math.Abs(first(s) - 3)), nil
		}}
		o := options(r, "x=uniform(0,10)", "m=a,b")
		o.Method, o.Trials, o.Jobs, o.Env = "tpe", 25, 3, os.Environ()
		report, err := Run(t.Context(), p, o)
		check(t, err)
		if report.Count(Done) != 25 || *report.Best().Value < -2 {
			t.Errorf("%s, best %+v", states(report), report.Best())
		}
	})
}
