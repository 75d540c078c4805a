package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/report"
)

// TaskState is what became of a run so far.
type TaskState int

// The states of a task.
const (
	TaskQueued TaskState = iota
	TaskRunning
	TaskFailed
	TaskSuccess
)

// Task is a run that the queue knows of, or one that goes on in the work tree
// or in a temporary copy.
type Task struct {
	State    TaskState
	Rev      string // the queue's commit, by which it is addressed; "workspace" for a run in the work tree
	Name     string
	Baseline string
	Location string // "dvc-task", "tempdir" or "workspace"
	Root     string // folder that it runs in
	DVCDir   string // of the project below Root, "" for Root itself
	Log      string
	PID      *int64 // nil where no process was started
	Return   *int64
	Ref      string    // the experiment that it became
	Began    time.Time // zero where that is not known
}

// folder is where the project of a run in a copy is.
func (t Task) folder() string { return filepath.Join(t.Root, t.DVCDir) }

// String is the word of DVC's JSON.
func (s TaskState) String() string {
	return [...]string{"queued", "running", "failed", "success"}[s]
}

// local describes where a task runs; nil when no process was started.
func (t Task) local(running bool) *report.ExpLocal {
	if t.PID == nil {
		return nil
	}
	l := &report.ExpLocal{Log: t.Log, PID: t.PID, ReturnCode: t.Return}
	if running {
		l.Root = t.Root
	}
	if t.Location == "dvc-task" {
		l.TaskID = t.Rev
	}
	return l
}

// collect reads what a running task has so far.
func (t Task) collect(ctx context.Context, p *pipeline.Project, paramDeps bool) (*report.ExpData, error) {
	if t.Rev == report.Workspace {
		return collect(ctx, p, p.WorkTree(), paramDeps)
	}
	copied, err := p.Beside(ctx, t.folder(), event.Discard)
	if err != nil {
		return nil, err
	}
	data, err := collect(ctx, copied, copied.WorkTree(), paramDeps)
	return data, errors.Join(err, copied.Close())
}

// runsHere lists the runs that go on in the work tree and in temporary copies.
func runsHere(p *pipeline.Project) ([]Task, error) {
	exps := filepath.Join(p.TmpDir(), "exps")
	var tasks []Task
	for _, at := range []struct{ dir, only string }{
		{filepath.Join(exps, "run"), report.Workspace},
		{filepath.Join(exps, "standalone", "run"), ""},
	} {
		names := []string{at.only}
		if at.only == "" {
			entries, err := os.ReadDir(at.dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("look for runs: %w", err)
			}
			names = nil
			for _, e := range entries {
				names = append(names, e.Name())
			}
		}
		for _, name := range names {
			t, ok, err := runIn(filepath.Join(at.dir, name), name)
			if err != nil {
				return nil, err
			}
			if ok {
				tasks = append(tasks, t)
			}
		}
	}
	return tasks, nil
}

// runInfo is DVC's file about a run (dvc-compat 11.5).
type runInfo struct {
	BaselineRev string `json:"baseline_rev"`
	Location    string `json:"location"`
	RootDir     string `json:"root_dir"`
	DVCDir      string `json:"dvc_dir"`
	Name        string `json:"name"`
	Status      int    `json:"status"`
}

// runSuccess is the first status of a run that has ended.
const runSuccess = 3

type processInfo struct {
	PID        int64  `json:"pid"`
	Stdout     string `json:"stdout"`
	ReturnCode *int64 `json:"returncode"`
}

// runIn tells of the run that a folder of DVC's is about, if it goes on.
func runIn(dir, name string) (Task, bool, error) {
	var process processInfo
	var info runInfo
	for suffix, v := range map[string]any{".json": &process, ".run": &info} {
		data, err := os.ReadFile(filepath.Join(dir, name+suffix))
		if errors.Is(err, fs.ErrNotExist) {
			return Task{}, false, nil
		}
		if err != nil {
			return Task{}, false, fmt.Errorf("look for runs: %w", err)
		}
		if json.Unmarshal(data, v) != nil {
			return Task{}, false, nil // it is being written
		}
	}
	if process.ReturnCode != nil || !pipeline.ProcessAlive(int(process.PID)) || info.Status >= runSuccess {
		return Task{}, false, nil
	}
	var began time.Time
	if info, err := os.Stat(filepath.Join(dir, name+".json")); err == nil {
		began = info.ModTime()
	}
	return Task{State: TaskRunning, Began: began, Rev: name, Name: info.Name, Baseline: info.BaselineRev, Location: info.Location,
		Root: info.RootDir, DVCDir: info.DVCDir, Log: process.Stdout, PID: &process.PID}, true, nil
}
