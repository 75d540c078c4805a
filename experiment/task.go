package experiment

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/report"
)

// TaskState is what became of a run so far.
type TaskState int

// The states of a task. One whose worker died waits for the next worker: it is
// listed as queued.
const (
	TaskQueued TaskState = iota
	TaskRunning
	TaskFailed
	TaskSuccess
	TaskLost
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

// String is the word of DVC's JSON, and "lost".
func (s TaskState) String() string {
	return [...]string{"queued", "running", "failed", "success", "lost"}[s]
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
