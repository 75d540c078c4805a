package report

import (
	"errors"
	"fmt"
	"path"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Workspace is the revision of the work tree.
const Workspace = "workspace"

// ExpState is a commit or the work tree as `exp show` lists it, with the
// experiments that started from it. Its shape is that of DVC's JSON
// (dvc-compat 14), which editors read.
type ExpState struct {
	Rev         string   // "workspace" or 40 hex digits
	Name        string   // branch, tag or experiment; "" for none
	Data        *ExpData // nil where it could not be read
	Err         error    // why not, or what became of the run
	Experiments []ExpRange
}

// ExpContent is what a revision holds. Paths are relative to the project root.
type ExpContent struct {
	Params, Metrics []File
	Deps            []ExpDep
	Outs            []ExpOut // without metrics and plots
}

// ExpDep is what was recorded of a dependency or output.
type ExpDep struct {
	Path   string
	Hash   string // "" where nothing is recorded
	Size   *int64 // bytes
	NFiles *int64 // of a folder
}

// ExpOut is an output.
type ExpOut struct {
	ExpDep
	Cached bool // DVC keeps the content
	Source bool // the output of a .dvc file
}

// ExpRange is an experiment: its commits from the last one back to its
// baseline, of which nearly all have one.
type ExpRange struct {
	Name     string
	Revs     []ExpState
	Executor *ExpExecutor // nil for an experiment that no queue knows of
}

// ExpExecutor says what a queue or a running command does about an experiment.
type ExpExecutor struct {
	State string // "queued", "running", "failed" or "success"
	Name  string // "dvc-task", "workspace", "tempdir" or ""
	Local *ExpLocal
}

// ExpLocal is where a run takes or took place on this machine; "" and nil are
// unknown.
type ExpLocal struct {
	Root       string // folder of the copy it runs in
	Log        string // file
	PID        *int64
	ReturnCode *int64
	TaskID     string
}

// errRunFailed is what DVC says of a failed entry of the queue.
type runFailed struct{}

func (runFailed) Error() string { return "Experiment run failed" }

// RunFailed is the error of an experiment whose run failed.
func RunFailed() error { return runFailed{} }

// ExpShowValue is the JSON of `exp show`. Times are written as the clock of
// the place shows them, without a zone.
func ExpShowValue(states []ExpState, place *time.Location) []dvcfile.Value {
	out := make([]dvcfile.Value, len(states))
	for i, s := range states {
		out[i] = s.value(place)
	}
	return out
}

// AddRunIDs adds the key "run_id" to the rows of what ExpShowValue gave: the
// MLflow run of the commit, null where there is none.
func AddRunIDs(rows []dvcfile.Value, runs map[string]string) {
	for _, row := range rows {
		m, ok := row.(*dvcfile.Map)
		if !ok {
			continue
		}
		rev, _ := m.Get("rev")
		hash, _ := rev.(string)
		m.Set("run_id", orNull(runs[hash]))
		experiments, _ := m.Get("experiments")
		list, _ := experiments.([]dvcfile.Value)
		for _, e := range list {
			if em, ok := e.(*dvcfile.Map); ok {
				revs, _ := em.Get("revs")
				below, _ := revs.([]dvcfile.Value)
				AddRunIDs(below, runs)
			}
		}
	}
}

func (s ExpState) value(place *time.Location) dvcfile.Value {
	m := dvcfile.NewMap("rev", s.Rev, "name", orNull(s.Name), "data", nil, "error", nil, "experiments", nil)
	if s.Data != nil {
		m.Set("data", s.Data.json(place))
	}
	if s.Err != nil {
		m.Set("error", rowError(s.Err))
	}
	if len(s.Experiments) > 0 {
		var exps []dvcfile.Value
		for _, e := range s.Experiments {
			exps = append(exps, e.value(place))
		}
		m.Set("experiments", exps)
	}
	return m
}

func (e ExpRange) value(place *time.Location) dvcfile.Value {
	return dvcfile.NewMap("revs", ExpShowValue(e.Revs, place), "executor", e.Executor.value(), "name", orNull(e.Name))
}

func (x *ExpExecutor) value() dvcfile.Value {
	if x == nil {
		return nil
	}
	m := dvcfile.NewMap("state", x.State, "name", orNull(x.Name), "local", nil)
	if l := x.Local; l != nil {
		m.Set("local", dvcfile.NewMap("root", orNull(l.Root), "log", orNull(l.Log), "pid", number(l.PID),
			"returncode", number(l.ReturnCode), "task_id", orNull(l.TaskID)))
	}
	return m
}

func (d ExpDep) value() *dvcfile.Map {
	return dvcfile.NewMap("hash", orNull(d.Hash), "size", number(d.Size), "nfiles", number(d.NFiles))
}

func orNull(s string) dvcfile.Value {
	if s == "" {
		return nil
	}
	return s
}

func number(n *int64) dvcfile.Value {
	if n == nil {
		return nil
	}
	return dvcfile.NewInt(*n)
}

// rowError describes why a revision has no data, with the names of DVC's
// errors.
func rowError(err error) *dvcfile.Map {
	if errors.Is(err, runFailed{}) {
		return dvcfile.NewMap("msg", err.Error(), "type", "")
	}
	kind := "DvcException"
	if errs.KindOf(err) == errs.ProjectFile {
		kind = "YAMLFileCorruptedError"
		for _, f := range errs.Findings(err) {
			if name := path.Base(f.Pos.File); name == "dvc.yaml" || name == "dvc.lock" || path.Ext(name) == ".dvc" {
				kind = "YAMLValidationError"
			}
		}
	}
	return dvcfile.NewMap("msg", fmt.Sprint(err), "type", kind)
}
