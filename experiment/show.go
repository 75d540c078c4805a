package experiment

import (
	"context"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/pipeline"
	"ctrx/report"
)

// ShowOptions says what a listing of experiments holds.
type ShowOptions struct {
	Baselines
	HideWorkspace, HideQueued, HideFailed bool
	SHA                                   bool   // no names of branches and tags
	ParamDeps                             bool   // only parameters that stages depend on (not for baselines, as in DVC)
	Force                                 bool   // read every commit anew
	Version                               string // of ctrx: what was read by another one is read again
	Tasks                                 []Task // of the queue, and runs in the work tree and in temporary copies
}

// Show lists the work tree and the selected commits with their experiments:
// running, finished, queued and failed ones. What is wrong with a revision is
// an error of its row. It writes nothing but its record of what commits hold
// (see snapshots).
func Show(ctx context.Context, p *pipeline.Project, o ShowOptions) ([]report.ExpState, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	if head, err := repo.Head(); err != nil || head.Commit == "" {
		return nil, err
	}
	l := listing{project: p, options: o, snapshots: newSnapshots(p, o), taken: map[string]snapshot{}}
	if l.baselines, err = o.commits(ctx, repo); err != nil {
		return nil, err
	}
	labels := map[string]string{}
	if !o.SHA {
		if labels, err = labelsOf(repo); err != nil {
			return nil, err
		}
	}
	if err := l.find(); err != nil {
		return nil, err
	}
	if err := l.readAll(ctx); err != nil {
		return nil, err
	}
	var rows []report.ExpState
	if !o.HideWorkspace {
		rows = append(rows, report.ExpState{Rev: report.Workspace})
		row := &rows[0]
		row.Data, row.Err = collect(ctx, p, p.WorkTree(), o.ParamDeps)
	}
	for _, b := range l.baselines {
		row := l.state(b)
		row.Name = labels[b]
		if row.Experiments, err = l.experimentsOf(ctx, b); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, ctx.Err()
}

// listing is a Show under way.
type listing struct {
	project   *pipeline.Project
	options   ShowOptions
	snapshots *snapshots
	baselines []string
	refs      map[string][]Ref    // experiments by baseline
	tasks     map[string][]Task   // of the queue, by baseline
	done      map[string]*Task    // by the experiment's full ref
	taken     map[string]snapshot // by commit
}

// find lists the experiments and tasks of the baselines.
func (l *listing) find() error {
	refs, err := Refs(l.project.Git)
	if err != nil {
		return err
	}
	l.refs = map[string][]Ref{}
	for _, r := range refs {
		l.refs[r.Baseline] = append(l.refs[r.Baseline], r)
	}
	tasks := slices.Clone(l.options.Tasks)
	l.tasks, l.done = map[string][]Task{}, map[string]*Task{}
	for i, t := range tasks {
		if t.State == TaskLost {
			t.State = TaskQueued
		}
		if t.State == TaskSuccess {
			l.done[t.Ref] = &tasks[i]
			continue
		}
		l.tasks[t.Baseline] = append(l.tasks[t.Baseline], t)
	}
	return nil
}

// readAll takes the snapshots of all commits that will be listed.
func (l *listing) readAll(ctx context.Context) error {
	baselines := newSnapshots(l.project, ShowOptions{Version: l.options.Version})
	wanted := map[string]*snapshots{}
	for _, b := range l.baselines {
		for _, r := range l.refs[b] {
			wanted[r.Commit] = l.snapshots
		}
		for _, t := range l.tasks[b] {
			if t.State == TaskQueued && !l.options.HideQueued || t.State == TaskFailed && !l.options.HideFailed {
				wanted[t.Rev] = l.snapshots
			}
		}
	}
	for _, b := range l.baselines {
		wanted[b] = baselines
	}
	commits := make([]string, 0, len(wanted))
	for c := range wanted {
		commits = append(commits, c)
	}
	found := make([]snapshot, len(commits))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range commits {
		g.Go(func() (err error) {
			found[i], err = wanted[c].of(ctx, c)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, c := range commits {
		l.taken[c] = found[i]
	}
	return nil
}

// state is the row of a commit.
func (l *listing) state(commit string) report.ExpState {
	s := l.taken[commit]
	return report.ExpState{Rev: commit, Data: s.data, Err: s.err}
}

// experimentsOf lists the experiments of a baseline: running, finished, queued
// and failed ones, of each kind the newest first.
func (l *listing) experimentsOf(ctx context.Context, baseline string) ([]report.ExpRange, error) {
	var running, finished, queued, failed []report.ExpRange
	for _, t := range l.tasks[baseline] {
		switch {
		case t.State == TaskRunning:
			running = append(running, l.running(ctx, t))
		case t.State == TaskQueued && !l.options.HideQueued:
			queued = append(queued, l.waiting(t))
		case t.State == TaskFailed && !l.options.HideFailed:
			failed = append(failed, l.failed(t))
		}
	}
	for _, r := range l.refs[baseline] {
		e, err := l.finished(ctx, r)
		if err != nil {
			return nil, err
		}
		finished = append(finished, e)
	}
	var all []report.ExpRange
	for _, kind := range [][]report.ExpRange{running, finished, queued, failed} {
		slices.SortStableFunc(kind, newestFirst)
		all = append(all, kind...)
	}
	return all, ctx.Err()
}

// newestFirst orders by time, then by revision; what has no time comes last.
func newestFirst(a, b report.ExpRange) int {
	x, y := a.Revs[0], b.Revs[0]
	xTimed, yTimed := x.Data != nil && !x.Data.Time.IsZero(), y.Data != nil && !y.Data.Time.IsZero()
	switch {
	case !xTimed && !yTimed:
		return 0
	case !xTimed:
		return 1
	case !yTimed:
		return -1
	}
	if c := y.Data.Time.Compare(x.Data.Time); c != 0 {
		return c
	}
	return strings.Compare(y.Rev, x.Rev)
}

// finished is an experiment that has a ref: its tip and, of the checkpoints
// that old versions of DVC made, the commits down to the baseline.
func (l *listing) finished(ctx context.Context, r Ref) (report.ExpRange, error) {
	tip := l.state(r.Commit)
	tip.Name = r.Name
	e := report.ExpRange{Name: r.Name, Revs: []report.ExpState{tip}}
	if t := l.done[r.Full]; t != nil {
		e.Executor = &report.ExpExecutor{State: "success", Name: "dvc-task", Local: t.local(false)}
	}
	parents := l.taken[r.Commit].parents
	for len(parents) > 0 && parents[0] != r.Baseline && l.project.Git.Has(parents[0]) {
		commit := parents[0]
		s, err := l.snapshots.of(ctx, commit)
		if err != nil {
			return e, err
		}
		l.taken[commit] = s
		e.Revs = append(e.Revs, l.state(commit))
		parents = s.parents
	}
	return e, nil
}

// waiting is an entry of the queue. What its files hold as metrics are those of
// the run before.
func (l *listing) waiting(t Task) report.ExpRange {
	s := l.state(t.Rev)
	s.Name = t.Name
	if s.Data != nil {
		s.Data = s.Data.WithoutMetrics()
	}
	return report.ExpRange{Name: t.Name, Revs: []report.ExpState{s},
		Executor: &report.ExpExecutor{State: "queued", Name: "dvc-task", Local: &report.ExpLocal{TaskID: t.Rev}}}
}

func (l *listing) failed(t Task) report.ExpRange {
	s := l.state(t.Rev)
	s.Name, s.Err = t.Name, report.RunFailed()
	return report.ExpRange{Name: t.Name, Revs: []report.ExpState{s},
		Executor: &report.ExpExecutor{State: "failed", Local: t.local(false)}}
}

// running reads a run's own folder.
func (l *listing) running(ctx context.Context, t Task) report.ExpRange {
	s := report.ExpState{Rev: t.Rev, Name: t.Name}
	s.Data, s.Err = t.collect(ctx, l.project, l.options.ParamDeps)
	return report.ExpRange{Name: t.Name, Revs: []report.ExpState{s},
		Executor: &report.ExpExecutor{State: "running", Name: t.Location, Local: t.local(true)}}
}
