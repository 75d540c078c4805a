package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// ExecuteOptions says how a plan is carried out.
type ExecuteOptions struct {
	PlanOptions
	Jobs       int      // stages at a time; 0 and 1 mean one after the other
	GPUs       []string // what stages that need GPUs share; nil: CUDA_VISIBLE_DEVICES of the environment
	Dry        bool     // say what would run, change nothing
	NoCommit   bool     // record results without putting them into the cache
	KeepGoing  bool     // after a failure go on with what does not depend on it
	IgnoreErrs bool     // after a failure go on with everything
	Stdio      Stdio
	Env        []string // added to the environment of every command; later ones win
	Experiment string   // name of the experiment that this is the run of; "" for none
	Confirm    func(stage string) (bool, error)
	Observer   Observer // told of commands while they run; nil: nobody
}

// Observer is told of the commands of stages. Its methods are called on the
// goroutines of the stages, several at a time, and must not block.
type Observer interface {
	// Began says that a command of a stage runs as the process pid, which leads
	// a process group of its own. Nothing that it wrote is older than at.
	Began(s *Stage, pid int, at time.Time)
	// Retrying says that the commands of a stage failed and begin again: what
	// they wrote is about to be deleted. attempt counts from 2.
	Retrying(s *Stage, attempt int)
	// Ended says that the command has ended. What the stage wrote is still as
	// its commands left it.
	Ended(s *Stage, pid int)
}

// Result is what Execute did. Stages are in the order of the plan.
type Result struct {
	Ran      []*Stage                      // run or restored or verified with a change
	Executed int                           // how many commands' stages really ran
	Skipped  int                           // how many stages were up to date
	Settled  []*Stage                      // what is up to date now: Ran and skipped
	Failed   []*Stage                      // stages whose command or outputs failed
	Entries  map[string]*dvcfile.StageLock // what was recorded for Ran, by address
	Done     []StageDone                   // what became of each step that had its turn
}

// StageDone is what became of one step of a plan.
type StageDone struct {
	Stage  *Stage
	Action Action        // as decided when its turn came: behind a stage that ran a step is decided again
	Reason string        // why, in a few words
	Took   time.Duration // of the commands; 0 where none ran
	Err    error
}

// Execute carries a plan out: Jobs steps at a time, a step when those are done
// that it stands behind in the graph. dvc.lock is written after each stage, so
// what finished is kept whatever happens later, and comes out as a serial run
// writes it. After a failure nothing new is started, and what runs is waited
// for. The caller holds the lock; it is given back while only commands run.
func (p *Project) Execute(ctx context.Context, lock *RepoLock, g *Graph, steps []Step, o ExecuteOptions) (*Result, error) {
	if o.Dry {
		o.Jobs = 1
	}
	x := &executor{
		worker: worker{p: p, lock: lock, g: g, o: o, stdio: o.Stdio.shared()}, history: p.history(),
		r: &Result{Entries: map[string]*dvcfile.StageLock{}}, place: map[*Stage]int{}, added: map[string][]int{},
	}
	defer x.history.close()
	if err := x.prepare(steps); err != nil {
		return x.r, err
	}
	for {
		x.dispatch(ctx)
		if x.running == 0 {
			break
		}
		lock.leave()
		out := <-x.results // brings its worker's hold on the lock along
		x.running--
		x.settle(ctx, out)
	}
	byPlan := func(a, b *Stage) int { return cmp.Compare(x.place[a], x.place[b]) }
	slices.SortFunc(x.r.Ran, byPlan)
	slices.SortFunc(x.r.Settled, byPlan)
	slices.SortFunc(x.r.Done, func(a, b StageDone) int { return byPlan(a.Stage, b.Stage) })
	if x.failure != nil {
		return x.r, x.failure
	}
	return x.r, p.failedStages(x.r, o)
}

// executor carries a plan out. The goroutine that called Execute owns it and
// alone writes stage files; workers get a task and give an outcome back.
type executor struct {
	worker
	r       *Result
	history *History
	tasks   []*task
	place   map[*Stage]int // index of a stage's task
	ready   []int          // tasks that wait for nothing, ascending
	gpus    *gpuPool
	mutexes map[string]bool
	running int
	results chan outcome
	added   map[string][]int // dvc.lock -> tasks of the stages that are new in it, ascending
	talked  bool             // the last step did something, without failing
	failure error            // ends the run
}

// task is one step under way.
type task struct {
	index   int
	step    Step
	limits  Limits
	waits   int     // tasks that must end first
	next    []*task // tasks that wait for this one
	gpus    []string
	forced  bool
	dropped bool // something it depends on failed
}

// outcome is what became of a task.
type outcome struct {
	task     *task
	step     Step               // as decided last
	entry    *dvcfile.StageLock // what to record; nil when nothing was done
	acted    bool               // did something, or would have in a dry run
	executed bool               // its commands ran, whole or not
	began    time.Time          // of the commands
	took     time.Duration
	release  func() error // takes its paths out of the table of paths in use
	err      error
}

// prepare makes the tasks and checks what can be checked before anything runs.
func (x *executor) prepare(steps []Step) error {
	o := x.o
	if o.Jobs > 1 && o.Confirm != nil {
		return errs.Hint(errs.New(errs.Usage, "asking before each stage and running %d at a time exclude each other", o.Jobs), "leave out --interactive or -j")
	}
	x.gpus = newGPUPool(o.GPUs, lookup(slices.Concat(x.p.env, o.Env))("CUDA_VISIBLE_DEVICES"))
	x.mutexes = map[string]bool{}
	x.results = make(chan outcome, max(o.Jobs, 1))
	for i, step := range steps {
		if err := checkPlaces([]*Stage{step.Stage}); err != nil {
			return err
		}
		limits, err := step.Stage.limits()
		if err != nil {
			return err
		}
		if want := x.gpus.wants(limits); want > x.gpus.all {
			return errs.Hint(errs.At(step.Stage.Pos, "stage '%s' needs %d GPUs, and there are %d", step.Stage.Name, want, x.gpus.all),
				"name them: --gpus 0,1 (or CUDA_VISIBLE_DEVICES), or ask for fewer in meta.ctrx.resources.gpu")
		}
		x.tasks = append(x.tasks, &task{index: i, step: step, limits: limits})
		x.place[step.Stage] = i
	}
	for _, t := range x.tasks {
		x.order(t, x.g.Upstream(t.step.Stage))
		x.order(t, x.g.Downstream(t.step.Stage))
	}
	for _, t := range x.tasks {
		if t.waits == 0 {
			x.ready = append(x.ready, t.index)
		}
	}
	return nil
}

// order lets a task wait for those neighbours that a serial run takes before.
func (x *executor) order(t *task, neighbours []*Stage) {
	for _, n := range neighbours {
		if i, planned := x.place[n]; planned && i < t.index && !slices.Contains(x.tasks[i].next, t) {
			x.tasks[i].next = append(x.tasks[i].next, t)
			t.waits++
		}
	}
}

// dispatch starts what can be started, in the order of the plan.
func (x *executor) dispatch(ctx context.Context) {
	for i := 0; i < len(x.ready) && x.running < max(x.o.Jobs, 1) && x.failure == nil; {
		t := x.tasks[x.ready[i]]
		if t.dropped {
			x.ready = slices.Delete(x.ready, i, i+1)
			x.finish(t)
			i = 0
			continue
		}
		if x.mutexes[t.limits.Mutex] {
			i++
			continue
		}
		gpus, free := x.gpus.take(x.gpus.wants(t.limits))
		if !free {
			i++
			continue
		}
		x.ready = slices.Delete(x.ready, i, i+1)
		t.gpus = gpus
		if t.limits.Mutex != "" {
			x.mutexes[t.limits.Mutex] = true
		}
		if x.talked {
			x.p.Info("")
		}
		x.running++
		x.lock.share()
		env := x.gpus.environ(gpus)
		go func() { x.results <- x.do(ctx, t, env) }()
	}
}

// finish lets those go on that waited for a task.
func (x *executor) finish(t *task) {
	for _, n := range t.next {
		if n.waits--; n.waits == 0 {
			at, _ := slices.BinarySearch(x.ready, n.index)
			x.ready = slices.Insert(x.ready, at, n.index)
		}
	}
}

// settle records what a worker did.
func (x *executor) settle(ctx context.Context, out outcome) {
	t := out.task
	s := t.step.Stage
	x.gpus.give(t.gpus)
	delete(x.mutexes, t.limits.Mutex)
	if out.entry != nil && out.err == nil {
		out.err = x.record(t, out)
	}
	if out.release != nil {
		out.err = errors.Join(out.err, out.release())
	}
	if out.executed {
		x.r.Executed++
		x.history.add(x.p, s, out, x.o)
	}
	x.talked = out.acted && out.err == nil && x.o.Jobs <= 1
	x.r.Done = append(x.r.Done, StageDone{Stage: s, Action: out.step.Action, Reason: out.step.Reason(), Took: out.took, Err: out.err})
	switch {
	case out.err != nil:
		x.failed(t, out.err)
	case out.acted:
		if x.o.ForceDownstream {
			for _, d := range x.g.Downstream(s) {
				if i, planned := x.place[d]; planned {
					x.tasks[i].forced = true
				}
			}
		}
	default:
		x.r.Skipped++
		x.r.Settled = append(x.r.Settled, s)
	}
	x.finish(t)
}

// record writes a stage's result into its dvc.lock or .dvc file.
func (x *executor) record(t *task, out outcome) error {
	s := t.step.Stage
	if err := x.p.ignoreOutputs(s); err != nil {
		return err
	}
	before := ""
	if s.Lock == nil && !s.IsData() {
		added := x.added[s.LockFile()]
		at, _ := slices.BinarySearch(added, t.index)
		if at < len(added) {
			before = x.tasks[added[at]].step.Stage.Name
		}
		x.added[s.LockFile()] = slices.Insert(added, at, t.index)
	}
	if err := x.p.record(s, out.entry, before); err != nil {
		return err
	}
	x.r.Ran = append(x.r.Ran, s)
	x.r.Settled = append(x.r.Settled, s)
	x.r.Entries[s.Address(x.p.Dir)] = out.entry
	return nil
}

// failed decides how a run goes on after a failure.
func (x *executor) failed(t *task, err error) {
	s := t.step.Stage
	x.r.Failed = append(x.r.Failed, s)
	kind := errs.KindOf(err)
	interrupted := kind == errs.Interrupted || kind == errs.Terminated
	if !interrupted && (x.o.KeepGoing || x.o.IgnoreErrs) {
		x.dropDependents(s, err)
		return
	}
	err = errs.Hint(fmt.Errorf("failed to reproduce '%s': %w", s.Address(x.p.Dir), err), "%s", errs.HintOf(err))
	if x.failure != nil {
		if !interrupted {
			x.p.Warn("%v", err)
		}
		return
	}
	x.failure = err
	if x.running > 0 && !interrupted {
		x.p.Warn("'%s' failed; waiting for %d more that run", s.Address(x.p.Dir), x.running)
	}
}

func (x *executor) dropDependents(s *Stage, err error) {
	if x.o.IgnoreErrs {
		x.p.Warn("%v (ignored)", err)
		return
	}
	x.p.Warn("%v", err)
	var dependents []*Stage
	for _, d := range x.g.Descendants(s) {
		if i, planned := x.place[d]; planned {
			x.tasks[i].dropped = true
			dependents = append(dependents, d)
		}
	}
	if len(dependents) == 0 {
		return
	}
	noun := "Stage"
	if len(dependents) > 1 {
		noun = "Stages"
	}
	x.p.Warn("%s %s will be skipped due to this failure", noun, x.p.joinNames(dependents))
}

func (p *Project) failedStages(r *Result, o ExecuteOptions) error {
	if len(r.Failed) == 0 || o.IgnoreErrs {
		return nil
	}
	noun := ""
	if len(r.Failed) > 1 {
		noun = " stages:"
	}
	return errs.New(errs.Failed, "failed to reproduce%s %s", noun, p.joinNames(r.Failed))
}

// joinNames lists stages as 'a', 'b' and 'c'.
func (p *Project) joinNames(stages []*Stage) string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = "'" + s.Address(p.Dir) + "'"
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
