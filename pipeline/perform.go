package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// worker brings stages up to date, several at a time. It only reads what it
// shares with others; what it found out goes into the outcome.
type worker struct {
	p     *Project
	lock  *RepoLock
	g     *Graph
	o     ExecuteOptions
	stdio Stdio // o.Stdio, written to by one worker at a time
}

// do brings one stage up to date. It comes with a hold on the repository lock
// and leaves with one.
func (w worker) do(ctx context.Context, t *task, env []string) outcome {
	out := outcome{task: t, step: t.step}
	step := t.step
	s := step.Stage
	if ctx.Err() != nil {
		out.err = interrupted(ctx, "stage "+s.Address(w.p.Dir))
		return out
	}
	if s.Frozen && !s.IsData() {
		w.p.Warn("stage: '%s' is frozen. Its dependencies are not going to be reproduced.", s.Address(w.p.Dir))
	}
	// Decide again when something it reads was made again, or when the stage
	// was forced by one upstream.
	if !step.Forced && (t.forced || step.Tentative && !w.o.Dry) {
		if step, out.err = w.p.decide(ctx, w.g, s, w.o.PlanOptions, t.forced); out.err != nil {
			return out
		}
		out.step = step
	}
	if step.Action == Skip {
		if w.o.Dry && step.Tentative {
			w.p.Info("Stage '%s' may run, it reads what another one would make", s.Address(w.p.Dir))
		} else if s.IsData() {
			w.p.Info("'%s' didn't change, skipping", s.Address(w.p.Dir))
		} else {
			w.p.Info("Stage '%s' didn't change, skipping", s.Address(w.p.Dir))
		}
		return out
	}
	if out.err = s.recordable(); out.err != nil {
		return out
	}
	if w.o.Pull && !w.o.Dry && step.MissingOnly && !step.Forced && w.p.pullStage(ctx, s) {
		return out
	}
	if w.o.Confirm != nil {
		if ok, err := w.o.Confirm(s.Address(w.p.Dir)); err != nil || !ok {
			out.err = errors.Join(errs.New(errs.Failed, "reproduction aborted by the user"), err)
			return out
		}
	}
	out.acted = true
	if w.o.Dry {
		w.announce(step)
		w.p.Info("  because: %s", step.Reason())
		return out
	}
	w.perform(ctx, step, env, &out)
	return out
}

// announce says what a step does. Of commands that run now and have the output
// for themselves it tells the first; the others come when their turn comes.
func (w worker) announce(step Step) {
	address := step.Stage.Address(w.p.Dir)
	switch step.Action {
	case Restore:
		w.p.Info("Stage '%s' is cached - skipping run, checking out outputs", address)
	case Verify:
		if step.Stage.followsSource() {
			w.p.Info("Importing '%s' -> '%s'", w.p.depName(step.Stage), w.p.Show(step.Stage.Outs[0].Rel))
			return
		}
		w.p.Info("Verifying data sources in stage: '%s'", address)
	case Run:
		lines := []string{fmt.Sprintf("Running stage '%s':", address)}
		for i, c := range step.Stage.Commands {
			if i == 0 || !w.oneByOne() {
				lines = append(lines, "> "+c)
			}
		}
		w.p.Info("%s", strings.Join(lines, "\n"))
	}
}

// oneByOne tells whether commands run, and no other stage's at the same time.
func (w worker) oneByOne() bool { return w.o.Jobs <= 1 && !w.o.Dry }

// perform does a step.
func (w worker) perform(ctx context.Context, step Step, env []string, out *outcome) {
	p, s := w.p, step.Stage
	paths := p.rwLock()
	paths.holder.Cmd += " (" + s.Address(p.Dir) + ")" // two stages of one run hold what both read apart
	out.release, out.err = paths.acquire(ctx, p.absAll(s.reads()), p.absAll(s.writes()))
	if out.err != nil {
		return
	}
	switch step.Action {
	case Verify:
		out.entry, out.err = p.verify(ctx, s, w.o)
	case Restore:
		w.announce(step)
		out.entry, out.err = p.restore(ctx, s, step.Entry)
		if out.err == nil && !w.o.NoCommit && s.savesRunCache() {
			out.err = p.saveRunCache(out.entry)
		}
	default:
		out.executed = true
		if w.o.Pull {
			if out.err = p.pullMissingDeps(ctx, s); out.err != nil {
				return
			}
		}
		w.runStage(ctx, s, env, out)
		if out.err == nil && !w.o.NoCommit && s.savesRunCache() {
			out.err = p.saveRunCache(out.entry)
		}
	}
}

func (s *Stage) writes() []string {
	rels := make([]string, len(s.Outs))
	for i, o := range s.Outs {
		rels[i] = o.Rel
	}
	return rels
}

func (p *Project) absAll(rels []string) []string {
	abs := make([]string, len(rels))
	for i, rel := range rels {
		abs[i] = p.Abs(rel)
	}
	return abs
}

// runStage removes old outputs, runs the commands with the repository lock
// given back, and commits what they made.
func (w worker) runStage(ctx context.Context, s *Stage, gpus []string, out *outcome) {
	p := w.p
	// Asked before anything is removed: a missing input costs no output.
	before, err := p.observe(ctx, s)
	if err != nil {
		out.err = err
		return
	}
	env, err := w.stageEnv(ctx, s)
	if err != nil {
		out.err = err
		return
	}
	env = append(env, gpus...)
	if out.err = p.clearOutputs(ctx, s); out.err != nil {
		return
	}
	w.announce(Step{Stage: s, Action: Run})
	log, err := w.openLog(s)
	if err != nil {
		out.err = err
		return
	}
	out.began = p.now()
	w.lock.leave()
	err = w.attempts(ctx, s, out.task.limits, env, log)
	// A run that was interrupted still has to put its books in order.
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err = errors.Join(err, w.lock.join(again))
	out.took = p.now().Sub(out.began)
	if out.err = errors.Join(err, log.close()); out.err != nil {
		return
	}
	if w.o.Jobs > 1 {
		p.Info("[%s] ended after %v", s.Address(p.Dir), out.took.Round(time.Millisecond))
	}
	if out.entry, out.err = p.observe(ctx, s); out.err != nil {
		return
	}
	if changed := changedInputs(before, out.entry); len(changed) > 0 {
		p.Warn("stage '%s': %s changed while its commands ran; what is there now is recorded, and they may have read what was there before", s.Address(p.Dir), strings.Join(changed, ", "))
	}
	out.entry.Outs, out.err = p.commitOutputs(ctx, s, commitMode{skip: w.o.NoCommit})
}

// changedInputs names what differs between two looks at the inputs of a stage:
// paths of dependencies, and keys of parameters as file:key.
func changedInputs(before, after *dvcfile.StageLock) []string {
	var changed []string
	for i, d := range before.Deps {
		if i < len(after.Deps) && !d.Equal(after.Deps[i]) {
			changed = append(changed, d.Path)
		}
	}
	for _, file := range before.Params.Keys() {
		was, _ := before.Params.Get(file)
		is, _ := after.Params.Get(file)
		old, _ := was.(*dvcfile.Map)
		now, ok := is.(*dvcfile.Map)
		for _, key := range old.Keys() {
			a, _ := old.Get(key)
			if b, _ := now.Get(key); ok && !dvcfile.Equal(a, b) {
				changed = append(changed, file+":"+key)
			}
		}
	}
	return changed
}

// attempts runs the commands of a stage, again after a failure as often as the
// stage allows. Nothing that it writes to needs the repository lock.
func (w worker) attempts(ctx context.Context, s *Stage, l Limits, env []string, log *stageLog) error {
	for attempt := 1; ; attempt++ {
		err := w.attempt(ctx, s, l, env, log)
		var failed *CommandError
		if err == nil || !errors.As(err, &failed) || ctx.Err() != nil || attempt > l.Retries {
			return err
		}
		w.p.Warn("stage '%s': %v; trying again (attempt %d of %d)", s.Address(w.p.Dir), err, attempt+1, l.Retries+1)
		if o := w.o.Observer; o != nil {
			o.Retrying(s, attempt+1)
		}
		if err := w.p.clearOutputs(ctx, s); err != nil {
			return err
		}
	}
}

func (w worker) attempt(ctx context.Context, s *Stage, l Limits, env []string, log *stageLog) error {
	if l.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.Timeout, &CommandError{Code: timeoutCode, Why: fmt.Sprintf("did not end within %v (meta.ctrx.timeout)", l.Timeout)})
		defer cancel()
	}
	for i, text := range s.Commands {
		if i > 0 && w.oneByOne() {
			w.p.Info("> %s", text)
		}
		log.note("> " + text)
		c := shellCommand{text: text, dir: w.p.Abs(s.WDir), env: env, io: log.io}
		if o := w.o.Observer; o != nil {
			c.began = func(pid int, at time.Time) (ended func()) {
				o.Began(s, pid, at)
				return func() { o.Ended(s, pid) }
			}
		}
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// clearOutputs deletes what the stage will make again, except outputs that
// persist, and makes the folders that outputs go into.
func (p *Project) clearOutputs(ctx context.Context, s *Stage) error {
	for _, out := range s.Outs {
		if out.Persist {
			if err := p.Cache.Unprotect(ctx, p.Abs(out.Rel), p.Root); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := p.removeOutput(out); err != nil {
			return err
		}
	}
	return nil
}

// removeOutput deletes an output. What is declared outside the project, or is
// the project itself, is never deleted.
func (p *Project) removeOutput(out *Output) error {
	if err := checkDataPath(out.Rel); err != nil {
		return errs.At(out.Pos, "refusing to remove output '%s': %w", out.Path, err)
	}
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(filepath.FromSlash(out.Rel)); err != nil && !fsx.Missing(err) {
		return fmt.Errorf("remove output '%s': %w", out.Path, err)
	}
	return nil
}

// commitOutputs hashes the outputs of a stage, puts them into the cache and
// gives what dvc.lock records of them.
func (p *Project) commitOutputs(ctx context.Context, s *Stage, mode commitMode) ([]dvcfile.Entry, error) {
	entries := make([]dvcfile.Entry, 0, len(s.Outs))
	trees := make([]storage.Tree, 0, len(s.Outs))
	for _, out := range s.Outs {
		e, tree, err := p.observeEntry(ctx, out.Path, out.Rel, out.Recorded)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errs.Hint(errs.NewAt(errs.Failed, out.Pos, "output '%s' does not exist after the command ended", out.Path),
				"make the command write %s, or take it out of the stage's outs", out.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("hash output '%s': %w", out.Path, err)
		}
		entries = append(entries, e)
		trees = append(trees, tree)
	}
	if mode.skip {
		return entries, nil
	}
	for i, out := range s.Outs {
		if err := p.commitOutput(ctx, s, out, &entries[i], trees[i], mode); err != nil {
			return nil, fmt.Errorf("commit output '%s': %w", out.Path, err)
		}
	}
	return entries, nil
}

// restore checks the outputs of an earlier result out and gives that result as
// the one to record, in the stage's own order.
func (p *Project) restore(ctx context.Context, s *Stage, entry *dvcfile.StageLock) (*dvcfile.StageLock, error) {
	for _, out := range s.Outs {
		e := findEntry(entry.Outs, out.Path)
		if _, err := p.checkoutOutput(ctx, out, *e, CheckoutOptions{Force: true}); err != nil {
			return nil, fmt.Errorf("restore output '%s': %w", out.Path, err)
		}
	}
	if s.Lock == entry {
		return entry, nil
	}
	seen, err := p.observe(ctx, s)
	if err != nil {
		return nil, err
	}
	seen.Outs = entry.Outs
	return seen, nil
}

// followsSource tells whether repro brings an import anew: one that is not
// frozen, or was never downloaded.
func (s *Stage) followsSource() bool {
	return s.isImport() && (!s.Frozen || s.Outs[0].Recorded == nil)
}

// reimport brings what the source of an import has now into the work tree.
func (p *Project) reimport(ctx context.Context, s *Stage, o ExecuteOptions) error {
	p.Info("Importing '%s' -> '%s'", p.depName(s), p.Show(s.Outs[0].Rel))
	got, dep, err := p.readSource(ctx, s, ImportOptions{})
	if err != nil {
		return fmt.Errorf("import '%s': %w", p.depName(s), err)
	}
	s.Data.Deps[0] = dep
	_, err = p.checkoutOutput(ctx, s.Outs[0], s.importedEntry(got), CheckoutOptions{Force: o.Force})
	return err
}

// verify hashes the files of a data source, or the outputs of a frozen stage,
// again and puts them into the cache. An import that is not frozen follows its
// source.
func (p *Project) verify(ctx context.Context, s *Stage, o ExecuteOptions) (*dvcfile.StageLock, error) {
	what := "data sources"
	if s.followsSource() {
		if err := p.reimport(ctx, s, o); err != nil {
			return nil, err
		}
	} else if s.Frozen {
		what = "outputs in frozen stage"
		p.Info("Verifying outputs in frozen stage: '%s'", s.Address(p.Dir))
	} else {
		p.Info("Verifying data sources in stage: '%s'", s.Address(p.Dir))
	}
	for _, out := range s.Outs {
		if _, err := os.Lstat(p.Abs(out.Rel)); fsx.Missing(err) {
			return nil, errs.Hint(errs.New(errs.DataMissing, "missing %s: %s", strings.TrimSuffix(what, "s in frozen stage"), p.Show(out.Rel)),
				"ctrx checkout %s, or ctrx pull %[1]s", errs.Arg(p.Show(out.Rel)))
		}
	}
	return p.settled(ctx, s, commitMode{skip: o.NoCommit})
}

// settleImport records what an import's own file says of its source as it stands
// now, where the source is a path of this machine. Imports carry a checksum of
// their definition, which changes with it.
func (p *Project) settleImport(ctx context.Context, s *Stage) error {
	if s.Data.MD5 == "" {
		return nil
	}
	for i, d := range s.Deps {
		if d.Rel == "" {
			continue
		}
		tree, err := p.hash(ctx, d.Rel)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the source is on another machine
		}
		if err != nil {
			return fmt.Errorf("hash dependency '%s': %w", d.Path, err)
		}
		e := newEntry(d.Path, tree)
		e.Extra = s.Data.Deps[i].Extra
		s.Data.Deps[i] = e
	}
	s.Data.MD5 = s.Data.Checksum()
	return nil
}

// commitMode says how outputs get into the cache.
type commitMode struct {
	skip     bool // not at all: they are hashed only
	noRelink bool // the work tree's files stay as they are
	known    bool // nothing differs from what was recorded: no new result
}

// settled records a stage or data source as it stands, its inputs too: what the
// user says is in order is a result like any other.
func (p *Project) settled(ctx context.Context, s *Stage, mode commitMode) (*dvcfile.StageLock, error) {
	if s.IsData() {
		entries, err := p.commitOutputs(ctx, s, mode)
		if err != nil {
			return nil, err
		}
		for i := range s.Data.Outs {
			s.Data.Outs[i].Entry = entries[i]
		}
		if err := p.settleImport(ctx, s); err != nil {
			return nil, err
		}
		return &dvcfile.StageLock{Outs: entries, Deps: s.Data.Deps}, nil
	}
	entry, err := p.observe(ctx, s)
	if err != nil {
		return nil, err
	}
	if entry.Outs, err = p.commitOutputs(ctx, s, mode); err != nil || mode.skip || mode.known || !s.savesRunCache() {
		return entry, err
	}
	return entry, p.saveRunCache(entry)
}
