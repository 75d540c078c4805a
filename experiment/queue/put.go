package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/experiment"
	"ctrx/experiment/queue/pickle"
	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// PutOptions is one call of `ctrx exp run --queue`, or of --temp.
type PutOptions struct {
	pipeline.ExecuteOptions
	Name      string   // of the experiment; with a sweep NAME-1, NAME-2, ...; "" makes names up
	Message   string   // of the experiment commit; "" is DVC's own
	SetParams []string // -S, in order; may be sweeps
	CopyPaths []string // -C: paths to copy from the work tree, although Git does not know them
	Overwrite bool     // experiments of these names may be replaced
	NoHydra   bool     // params.yaml is not composed of config groups
	Priority  int      // higher runs first
	Metric    string   // FILE:KEY or KEY that the best of a sweep is chosen by; "": none is
	Direction string   // of Metric: max or min is better
	Rand      *rand.Rand
	// Snapshot is a commit of Queue.Snapshot whose files and baseline the
	// experiments start from; "" is the work tree as it is now, and HEAD.
	Snapshot string
}

// Added is an experiment that was put into the queue.
type Added struct {
	ID        string
	Name      string
	Rev       string
	Overrides []FileOverrides // in the order of the arguments
}

// FileOverrides are the overrides of one params file, in canonical text.
type FileOverrides struct {
	File  string
	Texts []string
}

// Put queues an experiment, or one for each combination of a sweep. Each holds
// the work tree as it is now, with the uncommitted changes of tracked files and
// the overrides. Work tree, index, HEAD and stash stay as they are.
func (q *Queue) Put(ctx context.Context, o PutOptions) ([]Added, error) {
	unlock, err := q.lockPut(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := q.prepare(ctx, o, true)
	if err != nil {
		return nil, err
	}
	if err := q.writeGrid(entries, o); err != nil {
		return nil, err
	}
	if err := q.publish(entries, o.Rand); err != nil {
		return nil, err
	}
	done := make([]Added, len(entries))
	for i, e := range entries {
		done[i] = Added{ID: e.ID, Name: text(e.Entry.Name), Rev: e.Entry.Rev, Overrides: e.overrides}
	}
	return done, nil
}

// putWait is how long one caller waits for others that queue experiments. They
// live, for the lock of a dead one is free, and thousands take their time.
const putWait = 10 * time.Minute

// lockPut keeps other callers from choosing names until what has been chosen
// here is in the queue.
func (q *Queue) lockPut(ctx context.Context) (unlock func(), err error) {
	lock, err := fsx.Lock(ctx, filepath.Join(q.layout.own(), "put.lock"), putWait)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// newEntry is an entry that is not yet in the queue.
type newEntry struct {
	message
	overrides []FileOverrides
}

// prepare writes the stash commits of the entries.
func (q *Queue) prepare(ctx context.Context, o PutOptions, sweeps bool) ([]newEntry, error) {
	args, err := experiment.ExpandGlobs(q.project, o.SetParams, o.NoHydra)
	if err != nil {
		return nil, err
	}
	sets, isSweep, err := dvcfile.ExpandOverrides(args)
	if err != nil {
		return nil, err
	}
	if isSweep && !sweeps {
		return nil, errs.Hint(errs.New(errs.Usage, "Sweep overrides can't be used without `--queue`"), "ctrx exp run --queue ..., then: ctrx queue start")
	}
	if len(sets) == 0 {
		return nil, errs.New(errs.Usage, "the sweep has no values")
	}
	if err := o.checkGrid(len(sets)); err != nil {
		return nil, err
	}
	b, err := q.snapshot(ctx, o, sets[0])
	if err != nil {
		return nil, err
	}
	names, err := b.names(len(sets), isSweep)
	if err != nil {
		return nil, err
	}
	entries := make([]newEntry, len(sets))
	for i, set := range sets {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if entries[i], err = b.entry(names[i], set); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// snapshot looks at the work tree while nobody else changes it. The params files
// of the first set of overrides are those of all.
func (q *Queue) snapshot(ctx context.Context, o PutOptions, first []dvcfile.Override) (*batch, error) {
	lock, err := q.project.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	release, err := q.project.LockExperiments(ctx, "workspace")
	if err != nil {
		return nil, err
	}
	defer release()
	b, err := q.newBatch(ctx, o)
	if err != nil {
		return nil, err
	}
	_, err = b.params.Edit(first)
	return b, err
}

// batch is what the entries of one call have in common.
type batch struct {
	queue  *Queue
	o      PutOptions
	head   gitops.Head
	tree   string // of the work tree as it is
	by     gitops.Signature
	params *experiment.Params
	args   runArgs
	copies []string
}

func (q *Queue) newBatch(ctx context.Context, o PutOptions) (*batch, error) {
	p := q.project
	b := &batch{queue: q, o: o, params: experiment.NewParams(p, o.NoHydra)}
	var err error
	if o.Snapshot == "" {
		b.head, b.tree, err = q.workTree(ctx)
	} else {
		err = b.fromSnapshot()
	}
	if err != nil {
		return nil, err
	}
	if b.by = q.git.Identity(ctx); b.by.Default {
		p.Warn("Git has no user.name and user.email: the entry is committed as %s <%s>", b.by.Name, b.by.Email)
	}
	b.by.When = q.now()
	b.args = runArgs{Plan: o.PlanOptions, Keep: o.KeepGoing, Ignore: o.IgnoreErrs}
	if b.args.Plan.Targets, err = fromRoot(p, o.Targets, o.Recursive); err != nil {
		return nil, err
	}
	b.copies, err = copyPaths(p, o.CopyPaths)
	return b, err
}

// workTree gives the commit that the user stands on and the Git tree of the
// work tree, with the present state of tracked data.
func (q *Queue) workTree(ctx context.Context) (head gitops.Head, tree string, err error) {
	p := q.project
	if head, err = q.git.Head(); err != nil || head.Commit == "" {
		return head, "", errs.Hint(errors.Join(errs.New(errs.NotFound, "the repository has no commit yet, and an experiment needs one to start from"), err), "git add -A && git commit -m 'first'")
	}
	if tree, err = q.git.WriteTree(ctx, nil); err != nil {
		return head, "", err
	}
	data, err := p.DataNow(ctx)
	if err != nil || len(data) == 0 {
		return head, tree, err
	}
	files := map[string][]byte{}
	for rel, content := range data {
		files[p.GitPath(rel)] = content
	}
	tree, err = q.git.EditTree(tree, files)
	return head, tree, err
}

// Snapshot writes a commit that holds the work tree as it is now, on top of
// HEAD, so that experiments queued later still start from it. No ref names it.
func (q *Queue) Snapshot(ctx context.Context) (commit, baseline string, err error) {
	lock, err := q.project.Lock(ctx)
	if err != nil {
		return "", "", err
	}
	defer lock.Unlock()
	head, tree, err := q.workTree(ctx)
	if err != nil {
		return "", "", err
	}
	by := q.git.Identity(ctx)
	by.When = q.now()
	commit, err = q.git.CommitTree(tree, gitops.CommitSpec{Parent: head.Commit, Message: "ctrx: snapshot of the work tree", Author: by})
	return commit, head.Commit, err
}

func (b *batch) fromSnapshot() error {
	git := b.queue.git
	info, err := git.Commit(b.o.Snapshot)
	if err != nil {
		return fmt.Errorf("the snapshot %s: %w", b.o.Snapshot, err)
	}
	if len(info.Parents) != 1 {
		return errs.New(errs.Usage, "%s is no snapshot of a work tree", b.o.Snapshot)
	}
	tree, err := git.Tree(b.o.Snapshot)
	if err != nil {
		return err
	}
	b.head, b.tree, b.params = gitops.Head{Commit: info.Parents[0]}, info.Tree, experiment.NewParamsOf(b.queue.project, tree, b.o.NoHydra)
	return nil
}

// fromRoot names targets as from the root of the project, where runs of the
// queue stand, for a user who stands elsewhere.
func fromRoot(p *pipeline.Project, targets []string, folders bool) ([]string, error) {
	if p.Dir == "." {
		return targets, nil
	}
	if len(targets) == 0 {
		return []string{path.Join(p.Dir, "dvc.yaml")}, nil
	}
	var named []string
	for _, t := range targets {
		_, err := os.Lstat(filepath.Join(p.Abs(p.Dir), filepath.FromSlash(t)))
		if isPath := err == nil || folders || strings.ContainsAny(t, "/:") || strings.HasSuffix(t, ".dvc"); !isPath {
			named = append(named, path.Join(p.Dir, "dvc.yaml")+":"+t)
			continue
		}
		rel, err := p.Rel(t)
		if err != nil {
			return nil, err
		}
		named = append(named, rel)
	}
	return named, nil
}

// copyPaths names the paths of -C relative to the root.
func copyPaths(p *pipeline.Project, paths []string) ([]string, error) {
	var rels []string
	for _, c := range paths {
		rel, err := p.Rel(c)
		if err != nil {
			return nil, err
		}
		if !filepath.IsLocal(filepath.FromSlash(rel)) {
			return nil, errs.New(errs.Usage, "'%s' lies outside of the project %s", c, p.Root)
		}
		if _, err := os.Lstat(p.Abs(rel)); err != nil {
			return nil, errs.New(errs.NotFound, "path to copy: %w", err)
		}
		rels = append(rels, rel)
	}
	return rels, nil
}

// names chooses n free names.
func (b *batch) names(n int, isSweep bool) ([]string, error) {
	taken, err := b.queue.namesOf(b.head.Commit)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(wanted(b.o.Name, n, isSweep), func(name string) bool { return taken[name] == "queued" }) {
		if err := b.queue.dropOrphans(); err != nil {
			return nil, err
		}
		if taken, err = b.queue.namesOf(b.head.Commit); err != nil {
			return nil, err
		}
	}
	names := wanted(b.o.Name, n, isSweep)
	if names == nil {
		names = make([]string, n)
	}
	for i := range names {
		if b.o.Name == "" {
			names[i] = experiment.RandomName(b.o.Rand, func(name string) bool { return taken[name] == "" })
			taken[names[i]] = "queued"
			continue
		}
		if err := experiment.CheckName(names[i]); err != nil {
			return nil, err
		}
		switch what := taken[names[i]]; {
		case what == "existing" && !b.o.Overwrite, what == "queued":
			return nil, errs.Hint(errs.New(errs.Conflict, "Experiment conflicts with %s experiment '%s'.", what, names[i]), "choose another name with -n, or see `ctrx queue status`")
		}
	}
	return names, nil
}

// wanted are the names that a user asked for.
func wanted(name string, n int, isSweep bool) []string {
	if name == "" {
		return nil
	}
	if !isSweep {
		return []string{name}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", name, i+1)
	}
	return names
}

// orphanAge is how old a line of the queue's log without a message is before it
// counts as left over: who queues writes the message a moment after the line.
const orphanAge = time.Minute

// dropOrphans takes lines out of the log of the queue whose message never came,
// or is gone: the command that wrote or removed it was killed.
func (q *Queue) dropOrphans() error {
	lines, err := q.git.Reflog(stashRef)
	if err != nil {
		return err
	}
	files, err := q.messages()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, f := range files {
		if t, ok, err := q.task(f); err == nil && ok {
			there[t.Rev] = true
		}
	}
	var orphans []string
	for _, l := range lines {
		if !there[l.New] && q.now().Sub(l.By.When) > orphanAge {
			orphans = append(orphans, l.New)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	return q.dropFrom(stashRef, orphans...)
}

// namesOf tells which names are taken for a baseline, and by what.
func (q *Queue) namesOf(baseline string) (map[string]string, error) {
	taken := map[string]string{}
	refs, err := experiment.Refs(q.git)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if r.Baseline == baseline {
			taken[r.Name] = "existing"
		}
	}
	lines, err := q.git.Reflog(stashRef)
	if err != nil {
		return nil, err
	}
	for _, l := range lines { // an entry stays there until its run has ended
		if n, ok := parseNote(l.Message); ok && n.Baseline == baseline {
			taken[n.Name] = "queued"
		}
	}
	return taken, nil
}

// entry writes the stash commit of one entry.
func (b *batch) entry(name string, set []dvcfile.Override) (newEntry, error) {
	p, git := b.queue.project, b.queue.git
	e := newEntry{message: message{ID: uuid(b.o.Rand), CopyPaths: b.copies, Message: b.o.Message, Priority: b.o.Priority}}
	edited, err := b.params.Edit(set)
	if err != nil {
		return e, err
	}
	files := map[string][]byte{}
	for _, f := range edited {
		files[p.GitPath(f.Rel)] = f.Data
	}
	e.overrides = byFile(set)
	args := b.args
	args.Env = []pickle.Item{
		{Key: "DVC_EXP_BASELINE_REV", Value: b.head.Commit}, {Key: "DVC_EXP_NAME", Value: name}, {Key: "DVC_ROOT", Value: p.Root},
	}
	if files[p.GitPath(argsFile)], err = args.encode(); err != nil {
		return e, err
	}
	tree, err := git.EditTree(b.tree, files)
	if err != nil {
		return e, err
	}
	head := b.head.Commit
	staged, err := git.CommitTree(tree, gitops.CommitSpec{Parent: head, Message: "Index stash", Author: b.by})
	if err != nil {
		return e, err
	}
	n := note{Head: head, Baseline: head, Name: name}
	rev, err := git.CommitTree(tree, gitops.CommitSpec{Parents: []string{head, staged}, Message: n.String(), Author: b.by})
	if err != nil {
		return e, err
	}
	e.Entry = Entry{DVCRoot: p.Root, SCMRoot: git.Root(), StashRef: stashRef, Rev: rev, Baseline: head, Name: &name, Head: &head}
	return e, nil
}

func byFile(set []dvcfile.Override) []FileOverrides {
	var all []FileOverrides
	for _, o := range set {
		i := slices.IndexFunc(all, func(f FileOverrides) bool { return f.File == o.File })
		if i < 0 {
			i = len(all)
			all = append(all, FileOverrides{File: o.File})
		}
		all[i].Texts = append(all[i].Texts, o.Text)
	}
	return all
}
