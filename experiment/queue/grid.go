package queue

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// A grid is the experiments of one `exp run --queue -S a=1,2,3`. Their MLflow
// runs are children of one parent run, which no process owns: the first child
// that starts begins it, and whoever changes the queue brings it up to date from
// what the queue says. Its file is below .dvc/tmp/ctrx/queue/grids, named after
// the first task.
type grid struct {
	Version   int        `json:"version"`
	Name      string     `json:"name"`
	Began     time.Time  `json:"began"`
	Baseline  string     `json:"baseline"`
	Space     []string   `json:"space"`               // -S arguments
	Metric    string     `json:"metric,omitempty"`    // FILE:KEY or KEY; "": no best one is looked for
	Direction string     `json:"direction,omitempty"` // min or max
	Tasks     []gridTask `json:"tasks"`
	Parent    string     `json:"parent,omitempty"` // MLflow run, or its key while it is in the spool
	Best      string     `json:"best,omitempty"`   // MLflow run of the best child, as it was told last
	Step      int64      `json:"step,omitempty"`   // at which its value was told
	Ended     string     `json:"ended,omitempty"`  // status that the parent has; "" while it runs
}

// gridTask is one combination.
type gridTask struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"` // of the experiment
	Params []string `json:"params"`
	State  State    `json:"state"` // when it was looked at last
}

// removed is a task of a grid that was taken out of the queue before it ran.
const removed State = "Removed"

const gridVersion = 1

func (l layout) grids() string { return filepath.Join(l.own(), "grids") }

// gridWait is how long one process waits for another that looks after a grid,
// and which may have to wait for a server itself.
const gridWait = 2 * time.Minute

// checkGrid refuses a metric without a grid and a direction that is none.
func (o PutOptions) checkGrid(combinations int) error {
	if o.Metric == "" {
		return nil
	}
	if combinations < 2 {
		return errs.Hint(errs.New(errs.Usage, "--metric names what the best of several experiments is chosen by, and this is one"), "leave it out, or give several values: -S key=1,2,3")
	}
	if o.Direction != "min" && o.Direction != "max" {
		return errs.New(errs.Usage, "--direction is %q: it must be max or min", o.Direction)
	}
	return nil
}

// writeGrid notes that entries belong together. It comes before they are in the
// queue: a grid without tasks does nothing.
func (q *Queue) writeGrid(entries []newEntry, o PutOptions) error {
	if len(entries) < 2 {
		return nil
	}
	g := &grid{Version: gridVersion, Name: o.Name, Began: q.now().UTC().Truncate(time.Millisecond), Baseline: entries[0].Entry.Baseline, Space: o.SetParams, Metric: o.Metric}
	if g.Name == "" {
		g.Name = "grid-" + entries[0].ID[:min(8, len(entries[0].ID))]
	}
	if g.Metric != "" {
		g.Direction = o.Direction
	}
	for _, e := range entries {
		t := gridTask{ID: e.ID, Name: text(e.Entry.Name), State: Queued}
		for _, f := range e.overrides {
			t.Params = append(t.Params, f.Texts...)
		}
		g.Tasks = append(g.Tasks, t)
	}
	return q.layout.writeGridFile(g)
}

func (l layout) writeGridFile(g *grid) error {
	return writeJSON(filepath.Join(l.grids(), g.Tasks[0].ID+".json"), g, fsx.Flushed)
}

// grids lists the files of grids.
func (q *Queue) grids() ([]string, error) {
	entries, err := os.ReadDir(q.layout.grids())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			files = append(files, filepath.Join(q.layout.grids(), e.Name()))
		}
	}
	return files, err
}

// readGrid gives nil for a file that is gone or cannot be read.
func readGrid(file string) *grid {
	g := &grid{}
	if ok, err := readJSON(file, g); err != nil || !ok || g.Version != gridVersion || len(g.Tasks) == 0 {
		return nil
	}
	return g
}

// withGrid runs f with a grid that no other process changes meanwhile, and
// keeps what f made of it.
func (q *Queue) withGrid(ctx context.Context, file string, f func(*grid) error) error {
	lock, err := fsx.Lock(ctx, file+".lock", gridWait)
	if err != nil {
		return err
	}
	defer lock.Unlock() //nolint:errcheck // the kernel lets go at exit in any case
	g := readGrid(file)
	if g == nil {
		return nil
	}
	before, err := json.Marshal(g)
	if err != nil {
		return err
	}
	err = f(g)
	after, marshalErr := json.Marshal(g)
	if string(before) != string(after) && marshalErr == nil {
		err = errors.Join(err, q.layout.writeGridFile(g))
	}
	return err
}

// inGrid makes the MLflow run of a task a child of its grid's, if it is of one,
// and begins that where this is the first.
func (q *Queue) inGrid(ctx context.Context, t Task, o experiment.TrackOptions) (experiment.TrackOptions, error) {
	if o.Off {
		return o, nil
	}
	files, err := q.grids()
	if err != nil {
		return o, err
	}
	for _, file := range files {
		g := readGrid(file)
		if g == nil || !slices.ContainsFunc(g.Tasks, func(gt gridTask) bool { return gt.ID == t.ID }) {
			continue
		}
		err := q.withGrid(ctx, file, func(locked *grid) error {
			g = locked
			if g.Parent != "" {
				return nil
			}
			return q.beginGrid(ctx, g, o)
		})
		if err != nil {
			return o, err
		}
		o.Tags = append(slices.Clone(o.Tags), tracking.Tag{Key: "mlflow.parentRunId", Value: g.Parent}, tracking.Tag{Key: "ctrx.grid", Value: g.Name})
		return o, nil
	}
	return o, nil
}

func (q *Queue) beginGrid(ctx context.Context, g *grid, o experiment.TrackOptions) error {
	tags := []tracking.Tag{
		{Key: "ctrx.grid", Value: g.Name}, {Key: "ctrx.grid.space", Value: strings.Join(g.Space, "\n")}, {Key: "ctrx.grid.size", Value: strconv.Itoa(len(g.Tasks))},
		{Key: "mlflow.source.git.commit", Value: g.Baseline},
	}
	if g.Metric != "" {
		tags = append(tags, tracking.Tag{Key: "ctrx.grid.metric", Value: g.Metric}, tracking.Tag{Key: "ctrx.grid.direction", Value: g.Direction})
	}
	parent, err := experiment.StartParent(ctx, q.project, o, experiment.ParentSpec{Name: g.Name, Entry: "exp run --queue", Tags: tags, Shared: true})
	if err != nil {
		return err
	}
	g.Parent = parent.ID()
	return parent.Leave()
}

// SettleGrids brings the parent runs of grids in line with the queue: the best
// child so far, RUNNING while a child waits or runs, and an end when none does.
// A server that does not answer is left for another time.
func (q *Queue) SettleGrids(ctx context.Context, o experiment.TrackOptions) error {
	files, err := q.grids()
	if err != nil || len(files) == 0 || o.Off {
		return err
	}
	states, err := q.states(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, file := range files {
		g := readGrid(file)
		if g == nil || g.isYoung(q.now()) && !g.isQueued(states) { // its tasks are on their way into the queue
			continue
		}
		if !g.update(states) && (g.Parent == "" || g.Ended == g.status()) { // nothing new
			if !g.isQueued(states) {
				failures = append(failures, removeFile(file), removeFile(file+".lock"))
			}
			continue
		}
		err := q.withGrid(ctx, file, func(g *grid) error {
			// Another process may have seen a later state than the one above.
			states, err := q.states(ctx)
			if err != nil {
				return err
			}
			if changed := g.update(states); !changed && g.Ended == g.status() {
				return nil
			}
			return q.settleGrid(ctx, g, o)
		})
		if kind := errs.KindOf(err); err != nil && (kind == errs.Unreachable || kind == errs.NotFound || kind == errs.Conflict) {
			continue // down, not sent yet, or deleted
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// SettleGrids is Queue.SettleGrids for a project that may have no queue.
func SettleGrids(ctx context.Context, p *pipeline.Project, now func() time.Time, o experiment.TrackOptions) error {
	if p.Git == nil {
		return nil
	}
	q, err := Open(p, now)
	if err != nil {
		return err
	}
	return q.SettleGrids(ctx, o)
}

// states gives the states of all tasks, by id.
func (q *Queue) states(ctx context.Context) (map[string]State, error) {
	tasks, err := q.Tasks(ctx)
	states := map[string]State{}
	for _, t := range tasks {
		states[t.ID] = t.State
	}
	return states, err
}

func (g *grid) isYoung(now time.Time) bool { return now.Sub(g.Began) < orphanAge }

// isQueued tells whether the queue knows any of the tasks.
func (g *grid) isQueued(states map[string]State) bool {
	return slices.ContainsFunc(g.Tasks, func(t gridTask) bool { _, ok := states[t.ID]; return ok })
}

// update takes over the states of the tasks, and tells whether any is new. A
// task that is gone from the queue keeps its end.
func (g *grid) update(states map[string]State) (changed bool) {
	for i := range g.Tasks {
		t := &g.Tasks[i]
		now, there := states[t.ID]
		if !there {
			now = t.State
			if now != Success && now != Failed {
				now = removed
			}
		}
		changed = changed || now != t.State
		t.State = now
	}
	return changed
}

// status is what the parent run should have: "" while it runs.
func (g *grid) status() string {
	count := map[State]int{}
	for _, t := range g.Tasks {
		count[t.State]++
	}
	switch {
	case count[Queued]+count[Running]+count[Lost] > 0:
		return ""
	case count[Success] > 0:
		return string(tracking.Finished)
	case count[Failed] > 0:
		return string(tracking.Failed)
	}
	return string(tracking.Killed)
}

// settleGrid tells MLflow how a grid stands.
func (q *Queue) settleGrid(ctx context.Context, g *grid, o experiment.TrackOptions) error {
	if g.Parent == "" { // no child has begun
		return nil
	}
	status := g.status()
	parent, err := experiment.GoOnWithParent(ctx, o, g.Parent, status == "" && g.Ended != "")
	if err != nil {
		return err
	}
	g.Parent = parent.ID()
	var params []tracking.Param
	if g.Metric != "" {
		params, err = g.tellBest(ctx, parent, q.now())
	}
	if err != nil || status == "" {
		if err == nil {
			g.Ended = ""
		}
		return errors.Join(err, parent.Leave())
	}
	err = errors.Join(parent.Params(ctx, params), parent.Finish(ctx, tracking.Status(status)))
	if err == nil {
		g.Ended = status
	}
	return err
}

// tellBest looks for the best child and gives its parameters.
func (g *grid) tellBest(ctx context.Context, parent *experiment.ParentRun, now time.Time) ([]tracking.Param, error) {
	keys := []string{g.Metric}
	if _, key, ok := strings.Cut(g.Metric, ":"); ok {
		keys = []string{key, g.Metric}
	}
	best, m, ok, err := parent.Best(ctx, keys, g.Direction == "min")
	if err != nil || !ok {
		return nil, err
	}
	name := best.Tag("ctrx.experiment")
	tags := []tracking.Tag{{Key: "ctrx.best_run_id", Value: best.ID}, {Key: "ctrx.best_experiment", Value: name}, {Key: "ctrx.best_commit", Value: best.Tag("ctrx.experiment.commit")}}
	var params []tracking.Param
	step := g.Step + 1 // the value told last is that of the last step, in whichever order tasks end
	ended := int64(0)
	for _, t := range g.Tasks {
		if t.State == Success || t.State == Failed {
			ended++
		}
		if t.Name != name {
			continue
		}
		for _, text := range t.Params {
			key, value, _ := strings.Cut(text, "=")
			key = strings.TrimLeft(key, "+")
			params = append(params, tracking.Param{Key: key, Value: value})
			tags = append(tags, tracking.Tag{Key: "ctrx.best." + key, Value: value})
		}
	}
	if best.ID == g.Best {
		return params, nil
	}
	step = max(step, ended)
	if err := parent.Log(ctx, tags, tracking.Metric{Key: m.Key, Value: m.Value, Step: step, Time: now}); err != nil {
		return params, err
	}
	g.Best, g.Step = best.ID, step
	return params, nil
}
