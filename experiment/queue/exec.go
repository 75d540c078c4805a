package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/experiment"
	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
	"ctrx/pipeline"
)

// RunOptions are what a run of a task takes from its surroundings.
type RunOptions struct {
	Args     []string // the command line, for the table of paths in use
	Env      []string
	Sink     event.Sink
	Stdio    pipeline.Stdio
	Jobs     int      // stages at a time
	GPUs     []string // of this run; nil: CUDA_VISIBLE_DEVICES of the environment
	Tracking experiment.TrackOptions
	Push     bool // push the data that the run made
	// Explain writes a failure into the output of the run, before the task
	// counts as ended.
	Explain func(error)
}

// RunTask runs the task of a message file that a worker claimed as this attempt.
// lease is the open lease file, nil where the system cannot hand files on.
func (q *Queue) RunTask(ctx context.Context, file string, number int, lease *os.File, o RunOptions) error {
	if file != filepath.Base(file) || filepath.Ext(file) != ".msg" {
		return errs.New(errs.Usage, "%q is not the name of a message file", file)
	}
	t, ok, err := q.task(messageFile{file, true})
	if err != nil {
		return err
	}
	if !ok || t.State == Queued {
		return errs.New(errs.NotFound, "%s is not a task that was taken", file)
	}
	c := &claim{task: t, number: number}
	if c.task.record, err = q.layout.checkFence(t.ID, number); err != nil {
		return err
	}
	_, err = q.run(ctx, c, o)
	if lease != nil {
		err = errors.Join(err, lease.Close())
	}
	return err
}

// run makes a working copy, runs the experiment in it, and writes down what
// became of it.
func (q *Queue) run(ctx context.Context, c *claim, o RunOptions) (*experiment.Outcome, error) {
	stop := q.keepBeating(ctx, c.task.ID)
	defer stop()
	outcome, err := q.attempt(ctx, c, o)
	if err != nil && o.Explain != nil {
		o.Explain(err)
	}
	if a := c.task.record.last(); a != nil {
		q.removeRoot(a.Root)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if endErr := q.verdict(after, c, err); endErr != nil {
		err = errors.Join(err, endErr)
	}
	if gridErr := q.SettleGrids(after, o.Tracking); gridErr != nil {
		q.project.Warn("the MLflow run of the grid is not up to date: %v", gridErr)
	}
	return outcome, err
}

// verdict writes down the end of an attempt.
func (q *Queue) verdict(ctx context.Context, c *claim, runErr error) error {
	if errors.Is(runErr, errFenced) {
		return nil // the task is somebody else's
	}
	r, err := q.layout.checkFence(c.task.ID, c.number)
	if err != nil {
		return err
	}
	c.task.record = r
	kind := errs.KindOf(runErr)
	switch {
	case runErr == nil:
		return q.succeed(c, 0)
	case r.Commit != "" && q.hasResult(r): // what failed came after the experiment was recorded
		q.project.Warn("%v", runErr)
		return q.succeed(c, 0)
	case q.layout.cancelled(c.task.ID):
		return q.fail(c, outcomeCancelled, "killed", kind.ExitCode())
	case kind == errs.Terminated && !r.Temp:
		// The machine is going down, or somebody wants the processes gone: that
		// says nothing about the run.
		r.end("stopped", q.now())
		return q.giveBack(c)
	case kind == errs.Interrupted || kind == errs.Terminated:
		return q.fail(c, outcomeCancelled, "interrupted", kind.ExitCode())
	}
	return q.fail(c, outcomeFailed, firstLine(runErr.Error()), kind.ExitCode())
}

func (q *Queue) hasResult(r *record) bool {
	tip, ok, err := q.git.Ref(r.Ref)
	return err == nil && ok && tip == r.Commit
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// keepBeating shows that this process is at work, until the returned function
// is called.
func (q *Queue) keepBeating(ctx context.Context, id string) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = q.layout.heartbeat(id, q.now()) // a lost beat shows by itself
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// attempt runs the experiment of a task once.
func (q *Queue) attempt(ctx context.Context, c *claim, o RunOptions) (*experiment.Outcome, error) {
	t := c.task
	root, err := q.enter(ctx, c)
	if err != nil {
		return nil, err
	}
	args, err := q.argsOf(t)
	if err != nil {
		return nil, err
	}
	if err := q.makeCopy(ctx, t, root); err != nil {
		return nil, err
	}
	p, err := pipeline.Open(ctx, pipeline.OpenOptions{
		Dir: filepath.Join(root, q.prefix()), Args: o.Args, Env: o.Env, Sink: o.Sink, Now: q.now, Shared: q.project.SharedDir(),
	})
	if err != nil {
		return nil, err
	}
	info := q.newInfo(t, root)
	info.Status = infoRunning
	if err := writeJSON(q.layout.info(t.Rev), info, fsx.Fast); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if o.Tracking, err = q.inGrid(ctx, t, o.Tracking); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	run := experiment.RunOptions{
		ExecuteOptions: pipeline.ExecuteOptions{
			PlanOptions: args.Plan, Jobs: max(o.Jobs, 1), GPUs: o.GPUs, KeepGoing: args.Keep, IgnoreErrs: args.Ignore, Stdio: o.Stdio, Env: args.environ(),
		},
		Name: t.Name, Message: t.message.Message, Overwrite: args.Plan.Force, Tracking: o.Tracking, Now: q.now, Push: o.Push,
	}
	outcome, err := experiment.RunPrepared(ctx, p, run, experiment.Prepared{
		Name: t.Name, Baseline: t.Baseline, Head: gitops.Head{Commit: t.Head}, Ref: q.resultRef(t), Dirty: true, Origin: q.project,
		Publish: func(ctx context.Context, out *experiment.Outcome) error {
			return q.publishResult(ctx, c, p.Git, out, args.Plan.Force)
		},
	})
	return outcome, errors.Join(err, p.Close())
}

func (q *Queue) resultRef(t Task) string {
	return cmp.Or(t.Branch, experiment.RefName(t.Baseline, t.Name))
}

// prefix is the project's folder below the root of the repository.
func (q *Queue) prefix() string { return filepath.FromSlash(q.project.GitPath(".")) }

// newInfo is what DVC wants to know of a run.
func (q *Queue) newInfo(t Task, root string) runInfo {
	dot := "."
	return runInfo{
		GitURL: "file://" + filepath.ToSlash(root), Baseline: t.Baseline, Location: t.Executor, RootDir: root,
		DVCDir: filepath.ToSlash(filepath.Join(q.prefix(), ".dvc")), Name: pointer(t.Name), WDir: &dot, Status: infoPreparing,
	}
}

// enter names the folder and the process of an attempt, in the record first,
// so that whoever takes over can clear away.
func (q *Queue) enter(ctx context.Context, c *claim) (string, error) {
	t, l := c.task, q.layout
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	if l.cancelled(t.ID) {
		return "", errs.New(errs.Interrupted, "killed before it began")
	}
	exps, err := filepath.EvalSymlinks(l.exps())
	if err != nil {
		return "", err
	}
	root := filepath.Join(exps, fmt.Sprintf("tmp%s-%d", t.ID[:min(8, len(t.ID))], c.number))
	r, err := l.checkFence(t.ID, c.number)
	if err != nil {
		return "", err
	}
	t.record, c.task.record = r, r
	a := r.last()
	a.Root, a.Runner, a.Log = root, process.Self(), l.log(t.Rev)
	if err := l.writeRecord(t.ID, r, fsx.Fast); err != nil {
		return "", err
	}
	if err := os.RemoveAll(root); err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o777); err != nil {
		return "", fsx.FullDisk(err)
	}
	log := l.log(t.Rev)
	if err := writeJSON(l.info(t.Rev), q.newInfo(t, root), fsx.Fast); err != nil {
		return "", err
	}
	if err := writeJSON(l.process(t.Rev), processInfo{PID: os.Getpid(), Stdout: &log}, fsx.Fast); err != nil {
		return "", err
	}
	return root, fsx.WriteFileAs(l.pid(t.Rev), []byte(fmt.Sprint(os.Getpid())), 0o666, fsx.Fast)
}

// tempName tells whether a name is one that enter, or DVC, gives to the folder
// of a run.
func tempName(name string) bool { return strings.HasPrefix(name, "tmp") }

// argsOf reads the arguments that an entry was queued with. An entry without
// any runs everything.
func (q *Queue) argsOf(t Task) (runArgs, error) {
	tree, err := q.git.Tree(t.Rev)
	if err != nil {
		return runArgs{}, fmt.Errorf("the entry's commit %s: %w", t.Rev[:7], err)
	}
	data, err := tree.ReadFile(q.project.GitPath(argsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return runArgs{}, nil
	}
	if err != nil {
		return runArgs{}, err
	}
	return decodeArgs(data)
}

// makeCopy makes the working copy of a run: code and parameters of the entry,
// the user's own settings with the cache of the project, and the paths of -C.
func (q *Queue) makeCopy(ctx context.Context, t Task, root string) error {
	err := q.git.WorkCopy(ctx, gitops.CopySpec{
		Dir: root, Commit: t.Rev, Head: t.Head, Leave: []string{q.project.GitPath(argsFile)},
		Refs: map[string]string{
			"refs/exps/exec/EXEC_HEAD": t.Head, "refs/exps/exec/EXEC_BASELINE": t.Baseline, "refs/exps/exec/EXEC_MERGE": t.Rev,
		},
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(root, q.prefix())
	if err := experiment.CopySettings(q.project, dir); err != nil {
		return fmt.Errorf("settings of the working copy: %w", err)
	}
	return q.copyPaths(t, dir)
}

// publishResult brings an experiment commit into the project and makes its
// ref, if this attempt is still the one that counts.
func (q *Queue) publishResult(ctx context.Context, c *claim, from *gitops.Repo, o *experiment.Outcome, force bool) error {
	if err := q.git.Import(ctx, from, o.Commit); err != nil {
		return err
	}
	r, err := q.layout.checkFence(c.task.ID, c.number)
	if err != nil {
		return err
	}
	old := ""
	if force {
		old = gitops.AnyValue
	}
	if c.task.Branch != "" {
		old = c.task.Head
	}
	if old == "" {
		if there, ok, err := q.git.Ref(o.Ref); err != nil {
			return err
		} else if ok {
			if err := q.sameResult(there, o); err != nil {
				return err
			}
			o.Commit, old = there, there
		}
	}
	r.Commit, r.Ref, r.Hash, r.Force = o.Commit, o.Ref, o.Hash, force
	if err := q.layout.writeRecord(c.task.ID, r, fsx.Flushed); err != nil {
		return err
	}
	c.task.record = r
	if old == o.Commit {
		return nil
	}
	return q.git.SetRef(o.Ref, o.Commit, old, "commit: experiment "+o.Name)
}

// sameResult accepts an experiment of the same name when it holds the same
// files: running it again changes nothing.
func (q *Queue) sameResult(there string, o *experiment.Outcome) error {
	a, err := q.git.Commit(there)
	if err != nil {
		return err
	}
	b, err := q.git.Commit(o.Commit)
	if err != nil {
		return err
	}
	if a.Tree != b.Tree {
		return errs.Hint(errs.New(errs.Conflict, "Experiment conflicts with existing experiment '%s'.", o.Name), "remove or rename that one, then: ctrx queue retry %s", o.Name)
	}
	return nil
}
