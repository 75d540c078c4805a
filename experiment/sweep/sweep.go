package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"ctrx/experiment"
	"ctrx/experiment/queue"
	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// Options is one call of `ctrx exp sweep`. With Resume the fields up to Targets
// come from the sweep's file, but for Trials.
type Options struct {
	Resume    string // name of the sweep to go on with; "" begins one
	Name      string // of the sweep; "" makes one up
	Method    string // grid, random, halton, lhs, tpe, optuna:SAMPLER, exec:COMMAND
	Metric    string // FILE:KEY or KEY
	Direction string // max or min
	SetParams []string
	Trials    int    // 0: all of a grid; on resume: as before
	Seed      uint64 // 0 draws one
	CopyPaths []string
	Targets   []string

	Jobs      int           // trials at a time
	StopAfter int           // stop when so many trials in a row were no improvement; 0: never
	Timeout   time.Duration // begin no trial after this time; 0: never
	FailFast  bool          // stop at the first failed trial

	Tracking experiment.TrackOptions
	Env      []string
	Args     []string // the command line, for the table of paths in use
	Now      func() time.Time
	Rand     *rand.Rand
	Sink     event.Sink // progress
	Runner   Runner     // nil: RunTemp of the project's queue
}

// Runner runs trials.
type Runner interface {
	// Run runs a trial to its end and gives what it came to.
	Run(ctx context.Context, t TrialSpec) (Result, error)
	// Forget clears away what a run that was cut off has left, but for its
	// experiment, if it made one.
	Forget(ctx context.Context, t TrialSpec) error
}

// TrialSpec is an experiment to run.
type TrialSpec struct {
	Experiment string   // its name
	Baseline   string   // commit that it is an experiment of
	Snapshot   string   // commit with the files that it starts from
	Params     []string // -S arguments, no sweeps
	Targets    []string
	CopyPaths  []string
	Dir        string // rel folder that the user stood in
	Tracking   experiment.TrackOptions
	Rand       *rand.Rand // of this trial alone
}

// Result is what a run came to.
type Result struct {
	Commit  string
	RunID   string // of MLflow; "" without
	Metrics []pipeline.FileValues
}

// Report is how a sweep stands at the end of a call.
type Report struct {
	Name      string
	Method    string
	Metric    string
	Direction Direction
	Seed      uint64
	Planned   int    // number of trials; 0 where the optimiser decides
	Baseline  string // commit
	RunID     string // MLflow run of the sweep, or ""
	Stopped   string // why no more trials were begun; "" when there were no more to begin
	Trials    []*Trial
}

// Sorted gives the finished trials, the best first.
func (r *Report) Sorted() []*Trial {
	done := slices.DeleteFunc(slices.Clone(r.Trials), func(t *Trial) bool { return t.State != Done })
	slices.SortStableFunc(done, func(a, b *Trial) int {
		switch {
		case r.Direction.better(*a.Value, *b.Value):
			return -1
		case r.Direction.better(*b.Value, *a.Value):
			return 1
		}
		return 0
	})
	return done
}

// Best is the best trial; nil while none has a value.
func (r *Report) Best() *Trial {
	if done := r.Sorted(); len(done) > 0 {
		return done[0]
	}
	return nil
}

// Count gives the number of trials in a state.
func (r *Report) Count(s State) (n int) {
	for _, t := range r.Trials {
		if t.State == s {
			n++
		}
	}
	return n
}

// Run begins a sweep, or goes on with one, and gives how it stands in the end.
// A sweep that was stopped on request is no error. The report is there beside
// an error, too, once trials were begun.
func Run(ctx context.Context, p *pipeline.Project, o Options) (*Report, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	if o.Runner == nil {
		o.Runner = &tempRunner{home: p, options: o}
	}
	s := &sweeper{p: p, repo: repo, o: o}
	if o.Resume != "" {
		err = s.resume(ctx)
	} else {
		err = s.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	err = s.perform(ctx)
	return s.report(), errors.Join(err, s.close())
}

// sweeper is a sweep under way.
type sweeper struct {
	p      *pipeline.Project
	repo   *gitops.Repo
	o      Options
	plan   plan
	space  *dvcfile.Space
	metric metric

	journal   *journal
	optimiser optimiser
	parent    *experiment.ParentRun
	again     []*Trial // cut off before: to be run once more
	takenUp   []*Trial // ended without anybody writing it down
	stopped   string
}

func (s *sweeper) report() *Report {
	n := s.plan.Trials
	if s.plan.Method == methodGrid {
		n = len(s.optimiser.(listed).sets)
	}
	return &Report{
		Name: s.plan.Name, Method: s.plan.Method, Metric: s.metric.String(), Direction: s.plan.Direction, Seed: s.plan.Seed, Planned: n,
		Baseline: s.plan.Baseline, RunID: s.journal.parent, Stopped: s.stopped, Trials: s.journal.trials,
	}
}

func (s *sweeper) close() error {
	var err error
	if s.optimiser != nil {
		err = s.optimiser.close()
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.close())
	}
	return err
}

// begin checks what was asked for and writes the first line of the sweep's
// file. Nothing is written before all checks.
func (s *sweeper) begin(ctx context.Context) error {
	if err := s.newPlan(); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	q, err := queue.Open(s.p, s.o.Now)
	if err != nil {
		return err
	}
	if s.plan.Snapshot, s.plan.Baseline, err = q.Snapshot(ctx); err != nil {
		return err
	}
	if err := s.chooseName(); err != nil {
		return err
	}
	if s.optimiser, err = s.newOptimiser(ctx, nil); err != nil {
		return err
	}
	// The ref keeps the snapshot from being collected as garbage.
	if err := s.repo.SetRef(snapshotRef(s.plan.Name), s.plan.Snapshot, gitops.AnyValue, ""); err != nil {
		return err
	}
	s.journal, err = createJournal(s.p, s.plan)
	return err
}

func snapshotRef(name string) string { return "refs/ctrx/sweeps/" + name }

func (s *sweeper) newPlan() error {
	o := s.o
	direction, err := parseDirection(o.Direction)
	if err != nil {
		return err
	}
	if s.metric, err = parseMetric(o.Metric, s.p.Rel); err != nil {
		return err
	}
	if err := checkMethod(o.Method); err != nil {
		return err
	}
	switch {
	case o.Trials < 0:
		return errs.New(errs.Usage, "--n is a number of trials, not %d", o.Trials)
	case o.Trials == 0 && o.Method != methodGrid && !strings.HasPrefix(o.Method, execPrefix):
		return errs.Hint(errs.New(errs.Usage, "--method %s needs the number of trials: it has no end of its own", o.Method), "--n 50")
	case o.Trials > mostTrials:
		return errs.New(errs.Usage, "--n is at most %d", mostTrials)
	}
	for o.Seed == 0 {
		o.Seed = uint64(o.Rand.Uint32())
	}
	s.plan = plan{
		Version: journalVersion, Name: o.Name, Method: o.Method, Params: o.SetParams, Metric: s.metric.String(), Direction: direction,
		Seed: o.Seed, Trials: o.Trials, Targets: o.Targets, Dir: s.p.Dir, CopyPaths: o.CopyPaths, Began: o.Now().UTC().Truncate(time.Millisecond),
	}
	return s.readSpace()
}

// mostTrials bounds a sweep; more is a slip of the keyboard.
const mostTrials = 100_000

func (s *sweeper) readSpace() (err error) {
	if s.space, err = dvcfile.ParseSpace(s.plan.Params); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.space.Axes, func(a dvcfile.Axis) bool { return a.Kind != dvcfile.Fixed }) {
		return errs.Hint(errs.New(errs.Usage, "there is nothing to search: no -S has more than one value"),
			"-S 'train.lr=loguniform(1e-4,1e-1)' -S 'train.depth=range(3,10)'; for one run: ctrx exp run")
	}
	return nil
}

// check finds mistakes that would make every trial fail.
func (s *sweeper) check(ctx context.Context) error {
	set := make([]dvcfile.Override, len(s.space.Axes))
	for i := range s.space.Axes {
		set[i] = quantile(&s.space.Axes[i], 0)
	}
	if _, err := experiment.NewParams(s.p, false).Edit(set); err != nil {
		return err
	}
	ix, err := s.p.WorkIndex(ctx)
	if err != nil || s.metric.file == "" {
		return err
	}
	files, err := s.p.Metrics(ctx, ix, nil)
	if err != nil {
		return err
	}
	var known []string
	for _, f := range files {
		if f.Path == s.metric.file || strings.HasPrefix(s.metric.file, f.Path+"/") {
			return nil
		}
		known = append(known, f.Path)
	}
	err = errs.New(errs.Usage, "--metric %s: %s is no metrics file of this project", s.o.Metric, s.metric.file)
	if len(known) == 0 {
		return errs.Hint(err, "name it under metrics: in dvc.yaml")
	}
	return errs.Hint(err, "there is %s; others are named under metrics: in dvc.yaml", strings.Join(known, ", "))
}

// chooseName takes a name whose trials have the names of no experiments.
func (s *sweeper) chooseName() error {
	refs, err := experiment.Refs(s.repo)
	if err != nil {
		return err
	}
	taken := func(name string) string {
		for _, r := range refs {
			number, ok := strings.CutPrefix(r.Name, name+"-")
			if ok && r.Baseline == s.plan.Baseline && strings.Trim(number, "0123456789") == "" {
				return r.Name
			}
		}
		return ""
	}
	if s.plan.Name == "" {
		s.plan.Name = experiment.RandomName(s.o.Rand, func(name string) bool { return taken(name) == "" })
		return nil
	}
	if err := experiment.CheckName(s.plan.Name); err != nil {
		return err
	}
	if err := checkUnused(s.p, s.plan.Name); err != nil {
		return err
	}
	if clash := taken(s.plan.Name); clash != "" {
		return errs.Hint(errs.New(errs.Conflict, "the trials of '%s' would clash with the experiment '%s'", s.plan.Name, clash),
			"choose another --name, or remove it: ctrx exp remove %s", clash)
	}
	return nil
}

// resume reads the file of a sweep, takes up trials that ended without anybody
// writing it down, and tells the optimiser what came before.
func (s *sweeper) resume(ctx context.Context) (err error) {
	if s.journal, err = openJournal(s.p, s.o.Resume); err != nil {
		return err
	}
	s.plan = s.journal.plan
	fromRoot := func(rel string) (string, error) { return rel, nil }
	if s.metric, err = parseMetric(s.plan.Metric, fromRoot); err != nil {
		return err
	}
	if err := s.readSpace(); err != nil {
		return err
	}
	if n := s.o.Trials; n != 0 && n != s.plan.Trials {
		if err := s.extend(n); err != nil {
			return err
		}
	}
	if _, err := s.repo.Commit(s.plan.Snapshot); err != nil {
		return errs.New(errs.NotFound, "the files that sweep '%s' began with are gone (commit %s): %w", s.plan.Name, s.plan.Snapshot, err)
	}
	if err := s.takeUp(ctx); err != nil {
		return err
	}
	s.optimiser, err = s.newOptimiser(ctx, s.history())
	return err
}

func (s *sweeper) extend(n int) error {
	switch {
	case n < 0 || n > mostTrials:
		return errs.New(errs.Usage, "--n is a number of trials up to %d, not %d", mostTrials, n)
	case s.plan.Method == methodLHS:
		return errs.Hint(errs.New(errs.Usage, "a Latin hypercube is made for its number of trials, and sweep '%s' has %d", s.plan.Name, s.plan.Trials), "begin another sweep with --method lhs --n %d", n)
	}
	s.plan.Trials = n
	return s.journal.add(line{More: &more{Trials: n}})
}

// takeUp looks for the experiments of trials that were under way.
func (s *sweeper) takeUp(ctx context.Context) error {
	refs, err := experiment.Refs(s.repo)
	if err != nil {
		return err
	}
	for _, t := range s.journal.trials {
		if t.State != Running {
			continue
		}
		i := slices.IndexFunc(refs, func(r experiment.Ref) bool { return r.Name == t.Experiment && r.Baseline == s.plan.Baseline })
		if i < 0 {
			s.again = append(s.again, t)
			continue
		}
		files, err := s.metricsOf(ctx, refs[i].Commit)
		if err != nil {
			return fmt.Errorf("read the metrics of experiment '%s': %w", t.Experiment, err)
		}
		s.judge(t, Result{Commit: refs[i].Commit, Metrics: files}, nil)
		if err := errors.Join(s.o.Runner.Forget(ctx, s.spec(t)), s.journal.put(t)); err != nil {
			return err
		}
		s.takenUp = append(s.takenUp, t)
		s.p.Info("%s had ended meanwhile: %s", t.Experiment, s.verdict(t))
	}
	return nil
}

// spec says how a trial is run.
func (s *sweeper) spec(t *Trial) TrialSpec {
	return TrialSpec{
		Experiment: t.Experiment, Baseline: s.plan.Baseline, Snapshot: s.plan.Snapshot, Params: t.Params, Targets: s.plan.Targets, CopyPaths: s.plan.CopyPaths, Dir: s.plan.Dir,
		Rand: rand.New(rand.NewPCG(s.o.Rand.Uint64(), s.o.Rand.Uint64())),
	}
}

func (s *sweeper) metricsOf(ctx context.Context, commit string) ([]pipeline.FileValues, error) {
	src, err := s.p.Commit(commit)
	if err != nil {
		return nil, err
	}
	ix, err := s.p.LoadIndex(ctx, src)
	if err != nil {
		return nil, err
	}
	return s.p.Metrics(ctx, ix, nil)
}

// history writes the trials of before as the protocol has them.
func (s *sweeper) history() []past {
	var all []past
	for _, t := range s.journal.trials {
		set, err := s.overrides(t)
		if err != nil {
			continue // of a space that this ctrx reads otherwise
		}
		h := past{Trial: t.Number, Values: values(s.space, set)}
		switch t.State {
		case Done:
			h.Value = t.Value
		case Failed:
			h.Failed = t.Reason
		}
		all = append(all, h)
	}
	return all
}

// overrides reads the values of a trial again, in the order of the axes.
func (s *sweeper) overrides(t *Trial) ([]dvcfile.Override, error) {
	if len(t.Params) != len(s.space.Axes) {
		return nil, errs.New(errs.ProjectFile, "trial %d has %d parameters, and the space %d", t.Number, len(t.Params), len(s.space.Axes))
	}
	set := make([]dvcfile.Override, len(t.Params))
	for i, arg := range t.Params {
		ovs, err := dvcfile.ParseOverride(arg)
		if err != nil {
			return nil, err
		}
		set[i] = ovs[0]
	}
	return set, nil
}
