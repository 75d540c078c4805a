package experiment

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

// WatchOptions says how runs are watched.
type WatchOptions struct {
	Tasks     func(context.Context) ([]Task, error) // of the queue and beside it
	Every     time.Duration                         // between two looks
	Follow    bool                                  // go on when nothing runs
	EveryLook bool                                  // show what is seen at every look, not only at changes
	// Show is given all runs seen so far and which of them are new or changed,
	// at the first look and after every change. Its error ends the watch.
	Show func(runs []WatchedRun, changed []int) error
}

// WatchedRun is a run with its last results.
type WatchedRun struct {
	Name, Rev, Baseline string
	Where               string // "workspace", "tempdir", "dvc-task"
	State               string // "queued", "running", "lost", "failed", "success", or "ended" where that is not known
	Began               time.Time
	Metrics             *dvcfile.Map // title -> value; what the run itself has written

	before string // commit of an experiment that had the name when the run was first seen
}

// Watch looks at what runs, in the work tree, in temporary copies and in the
// queue, until nothing runs any more. It writes nothing.
func Watch(ctx context.Context, p *pipeline.Project, o WatchOptions) error {
	w := watch{project: p, options: o}
	ticker := time.NewTicker(o.Every)
	defer ticker.Stop()
	idle := 0
	for first := true; ; first = false {
		changed, busy, waiting, err := w.look(ctx)
		if err != nil {
			return err
		}
		if first || len(changed) > 0 || o.EveryLook {
			if err := o.Show(slices.Clone(w.runs), changed); err != nil {
				return err
			}
		}
		// Between two tasks of a queue a worker has none for a moment.
		if idle++; busy {
			idle = 0
		}
		if !o.Follow && idle > 0 && (!waiting || idle > 2) {
			return nil
		}
		select {
		case <-ctx.Done():
			if o.Follow || errs.KindOf(context.Cause(ctx)) == errs.Interrupted {
				return nil // how one leaves
			}
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

type watch struct {
	project *pipeline.Project
	options WatchOptions
	runs    []WatchedRun
}

// look brings the list of runs up to date.
func (w *watch) look(ctx context.Context) (changed []int, busy, waiting bool, err error) {
	tasks, err := w.options.Tasks(ctx)
	if err != nil {
		return nil, false, false, err
	}
	present := map[string]bool{}
	for _, t := range tasks {
		busy, waiting = busy || t.State == TaskRunning, waiting || t.State == TaskQueued
		present[t.key()] = true
		at := slices.IndexFunc(w.runs, func(r WatchedRun) bool { return r.key() == t.key() })
		if at < 0 && t.State != TaskRunning && t.State != TaskQueued {
			continue // it ended before the watch began
		}
		run := WatchedRun{Name: t.Name, Rev: t.Rev, Baseline: t.Baseline, Where: t.Location, State: t.State.String(), Began: t.Began}
		if at >= 0 {
			run.Metrics, run.before = w.runs[at].Metrics, w.runs[at].before
		} else {
			run.before, _, _ = w.project.Git.Ref(RefName(t.Baseline, t.Name))
		}
		switch now := (*dvcfile.Map)(nil); {
		case t.State == TaskRunning:
			if now = w.metrics(ctx, t); now.Len() > 0 {
				run.Metrics = now
			}
		case t.State == TaskSuccess && w.runs[at].State != run.State:
			w.settle(ctx, &run, t.Ref)
		}
		if at < 0 {
			w.runs = append(w.runs, run)
			changed = append(changed, len(w.runs)-1)
		} else if !sameRun(w.runs[at], run) {
			w.runs[at] = run
			changed = append(changed, at)
		}
	}
	for i, r := range w.runs {
		if !present[r.key()] && (r.State == "running" || r.State == "queued") {
			w.runs[i].State = "ended"
			w.settle(ctx, &w.runs[i], RefName(r.Baseline, r.Name))
			changed = append(changed, i)
		}
	}
	return changed, busy, waiting, ctx.Err()
}

// settle tells of a run that has ended what the experiment holds that it became;
// a run that became none stays as it is.
func (w *watch) settle(ctx context.Context, r *WatchedRun, ref string) {
	commit, ok, err := w.project.Git.Ref(ref)
	if err != nil || !ok || commit == r.before {
		return
	}
	src, err := w.project.Commit(commit)
	if err != nil {
		return
	}
	r.State = "success"
	data, err := collect(ctx, w.project, src, false)
	if err != nil {
		return
	}
	if final := titled(data.Content().Metrics); final.Len() > 0 {
		r.Metrics = final
	}
}

func (t Task) key() string       { return t.Rev + " " + t.Name }
func (r WatchedRun) key() string { return r.Rev + " " + r.Name }

func sameRun(a, b WatchedRun) bool {
	return a.State == b.State && a.Where == b.Where && dvcfile.Equal(a.Metrics, b.Metrics)
}

// metrics reads the metrics that a run has written itself: files that are
// older than it are of the run before.
func (w *watch) metrics(ctx context.Context, t Task) *dvcfile.Map {
	p, all := w.project, &dvcfile.Map{}
	if t.Location != report.Workspace {
		copied, err := w.project.Beside(ctx, t.folder(), event.Discard)
		if err != nil {
			return all // it is being made or removed
		}
		defer copied.Close()
		p = copied
	}
	ix, err := p.ReadableIndex(ctx, p.WorkTree())
	if err != nil {
		return all
	}
	files, err := p.Metrics(ctx, ix, nil)
	if err != nil {
		return all
	}
	var written []report.File
	for _, f := range files {
		if info, err := os.Stat(p.Abs(f.Path)); err == nil && f.Err == nil && !info.ModTime().Before(t.Began) {
			written = append(written, report.File{Path: f.Path, Data: report.Metrics(f.Values)})
		}
	}
	return titled(written)
}

// titled flattens metrics. A key that two files have is written file:key.
func titled(files []report.File) *dvcfile.Map {
	count := map[string]int{}
	flat := make([]*dvcfile.Map, len(files))
	for i, f := range files {
		flat[i] = dvcfile.Flatten(f.Data)
		for _, key := range flat[i].Keys() {
			count[key]++
		}
	}
	all := &dvcfile.Map{}
	for i, m := range flat {
		for j := range m.Len() {
			title, v := m.At(j)
			if count[title] > 1 || title == "" {
				title = strings.TrimSuffix(files[i].Path+":"+title, ":")
			}
			if v != nil {
				all.Set(title, v)
			}
		}
	}
	return all
}
