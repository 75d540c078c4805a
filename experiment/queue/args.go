package queue

import (
	"fmt"

	"ctrx/experiment/queue/pickle"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// argsFile is where a stash commit keeps the arguments of its run, relative to
// the project root.
const argsFile = ".dvc/tmp/repro.dat"

// runArgs are the arguments of the run of an entry, in DVC's repro.dat.
type runArgs struct {
	Env    []pickle.Item // environment of the stages: DVC_EXP_NAME and so on
	Plan   pipeline.PlanOptions
	Keep   bool // on_error: keep-going
	Ignore bool // on_error: ignore
}

// flags names the boolean arguments as DVC's reproduce has them, in its order.
func (a *runArgs) flags() []struct {
	name string
	at   *bool
} {
	o := &a.Plan
	var dry, interactive bool
	return []struct {
		name string
		at   *bool
	}{
		{"single_item", &o.SingleItem}, {"force", &o.Force}, {"dry", &dry}, {"interactive", &interactive}, {"pipeline", &o.Pipeline},
		{"all_pipelines", &o.AllPipelines}, {"downstream", &o.Downstream}, {"recursive", &o.Recursive},
		{"force_downstream", &o.ForceDownstream}, {"pull", &o.Pull}, {"allow_missing", &o.AllowMissing},
	}
}

func (a runArgs) encode() ([]byte, error) {
	targets := make([]any, len(a.Plan.Targets))
	for i, t := range a.Plan.Targets {
		targets[i] = t
	}
	kwargs := &pickle.Dict{}
	kwargs.Set("run_env", &pickle.Dict{Items: a.Env})
	kwargs.Set("targets", targets)
	for _, f := range a.flags() {
		kwargs.Set(f.name, *f.at)
	}
	onError := "fail"
	switch {
	case a.Ignore:
		onError = "ignore"
	case a.Keep:
		onError = "keep-going"
	}
	kwargs.Set("on_error", onError)
	all := &pickle.Dict{}
	all.Set("args", pickle.Tuple{})
	all.Set("kwargs", kwargs)
	return pickle.Dump(all)
}

// decodeArgs reads repro.dat. Arguments that ctrx does not know are left out.
func decodeArgs(data []byte) (runArgs, error) {
	var a runArgs
	v, err := pickle.Load(data)
	if err != nil {
		return a, errs.New(errs.ProjectFile, "%s of the entry: %w", argsFile, err)
	}
	all, _ := v.(*pickle.Dict)
	if all == nil {
		return a, errs.New(errs.ProjectFile, "%s of the entry holds no dictionary", argsFile)
	}
	value, _ := all.Get("kwargs")
	kwargs, _ := value.(*pickle.Dict)
	if kwargs == nil {
		return a, errs.New(errs.ProjectFile, "%s of the entry has no kwargs", argsFile)
	}
	if env, ok := kwargs.Get("run_env"); ok {
		if d, ok := env.(*pickle.Dict); ok {
			a.Env = d.Items
		}
	}
	for _, f := range a.flags() {
		if v, ok := kwargs.Get(f.name); ok {
			*f.at, _ = v.(bool)
		}
	}
	targets, _ := kwargs.Get("targets")
	if args, _ := all.Get("args"); targets == nil {
		if t, ok := args.(pickle.Tuple); ok && len(t) > 0 {
			targets = t[0]
		}
	}
	switch t := targets.(type) {
	case string:
		a.Plan.Targets = []string{t}
	case []any:
		for _, v := range t {
			if s, ok := v.(string); ok {
				a.Plan.Targets = append(a.Plan.Targets, s)
			}
		}
	case pickle.Tuple:
		for _, v := range t {
			if s, ok := v.(string); ok {
				a.Plan.Targets = append(a.Plan.Targets, s)
			}
		}
	}
	onError, _ := kwargs.Get("on_error")
	a.Keep, a.Ignore = onError == any("keep-going"), onError == any("ignore")
	return a, nil
}

// environ gives the environment as the operating system wants it.
func (a runArgs) environ() []string {
	var env []string
	for _, it := range a.Env {
		if k, ok := it.Key.(string); ok && k != "" {
			env = append(env, fmt.Sprintf("%s=%v", k, it.Value))
		}
	}
	return env
}
