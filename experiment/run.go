package experiment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// RunOptions is one call of `ctrx exp run`.
type RunOptions struct {
	pipeline.ExecuteOptions
	Name      string   // "" chooses one
	Message   string   // of the experiment commit; "" is DVC's own
	SetParams []string // -S, in order
	NoHydra   bool     // leave params.yaml as it is where hydra.enabled would compose it
	Overwrite bool     // an experiment of this name may be replaced
	Push      bool     // push the data that the run made
	Tracking  TrackOptions
	Now       func() time.Time
	Rand      *rand.Rand
}

// Outcome is what a run came to.
type Outcome struct {
	Name     string
	Baseline string
	Commit   string // "" when the run failed
	Ref      string
	Tree     string // Git tree of Commit
	Hash     string // DVC's name for the result: of what was recorded for the stages that ran
	Result   *pipeline.Result
	Track    *TrackedRun // nil when tracking is off
	Metrics  []pipeline.FileValues
	Params   []pipeline.FileValues
	Estimate pipeline.Estimate // of a dry run
}

// Run runs one experiment in the work tree: parameters are edited, the
// pipeline is brought up to date, and the result becomes an experiment commit.
// On failure the changed parameters and what the stages left stay in the work
// tree; stages that finished are kept in dvc.lock and the run cache.
func Run(ctx context.Context, p *pipeline.Project, o RunOptions) (*Outcome, error) {
	if _, err := p.Repo(); err != nil {
		return nil, err
	}
	args, err := ExpandGlobs(p, o.SetParams, o.NoHydra)
	if err != nil {
		return nil, err
	}
	overrides, err := parseSetParams(args)
	if err != nil {
		return nil, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	release, err := p.LockExperiments(ctx, "workspace")
	if err != nil {
		return nil, err
	}
	defer release()
	run, err := prepare(ctx, p, "run", o)
	if err != nil {
		return nil, err
	}
	if err := applyOverrides(p, overrides, o); err != nil {
		return nil, err
	}
	return run.execute(ctx, lock)
}

// Prepared is a run whose place and parameters are settled: of the queue, in a
// working copy that was made for it.
type Prepared struct {
	Name     string
	Baseline string      // commit that it is an experiment of
	Head     gitops.Head // where the project stood when it was queued
	Ref      string      // that the result goes to, in the project
	Dirty    bool        // the working copy differs from Head
	Origin   *pipeline.Project
	// Publish brings the commit into the project and makes its ref.
	Publish func(ctx context.Context, o *Outcome) error
}

// RunPrepared runs an experiment in the working copy p, whose parameters are as
// they shall be. Data is brought in from the cache first.
func RunPrepared(ctx context.Context, p *pipeline.Project, o RunOptions, prep Prepared) (*Outcome, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	guard, err := p.UseCache(ctx) // gc of the project does not see what happens here
	if err != nil {
		return nil, err
	}
	defer guard.Release()
	r := &run{project: p, options: o, head: prep.Head, dirty: prep.Dirty, origin: prep.Origin, publishTo: prep.Publish, outcome: &Outcome{
		Name: prep.Name, Baseline: prep.Baseline, Ref: prep.Ref,
	}}
	// What is in the cache; a stage whose data is missing says so.
	checkout := pipeline.CheckoutOptions{Force: true, AllowMissing: true}
	if !o.Downstream && !o.Pipeline && !o.AllPipelines && !o.Glob {
		checkout.Targets, checkout.Recursive, checkout.WithDeps = o.Targets, o.Recursive, len(o.Targets) > 0
	}
	done, err := p.CheckoutLocked(ctx, checkout)
	if err != nil {
		return r.outcome, err
	}
	if len(done.Missing) > 0 && !o.Pull && !o.AllowMissing {
		p.Warn("Not in the cache, and so not there before the stages run: %s", strings.Join(done.Missing, ", "))
	}
	return r.execute(ctx, lock)
}

// run is one experiment under way.
type run struct {
	project *pipeline.Project
	options RunOptions
	outcome *Outcome
	head    gitops.Head
	dirty   bool     // before the parameters were edited
	extra   []string // paths from the root of Git that enter the commit besides
	// Of a run in a working copy: the project that it is a copy of, and how the
	// result gets there. Nil for a run in the work tree.
	origin    *pipeline.Project
	publishTo func(ctx context.Context, o *Outcome) error
}

// prepare finds the baseline and a free name. command is `ctrx exp COMMAND`,
// for hints.
func prepare(ctx context.Context, p *pipeline.Project, command string, o RunOptions) (*run, error) {
	head, err := p.Git.Head()
	if err != nil || head.Commit == "" {
		return nil, errs.Hint(errors.Join(errs.New(errs.NotFound, "the repository has no commit yet, and an experiment needs one to start from"), err), firstCommit)
	}
	if !o.Dry { // else it would be found out when all has run
		if err := p.Git.Resolved(ctx); err != nil {
			return nil, err
		}
	}
	refs, err := Refs(p.Git)
	if err != nil {
		return nil, err
	}
	free := func(name string) bool {
		return !slices.ContainsFunc(refs, func(r Ref) bool { return r.Name == name && r.Baseline == head.Commit })
	}
	name := o.Name
	if name == "" {
		name = RandomName(o.Rand, free)
	} else if err := CheckName(name); err != nil {
		return nil, err
	} else if !free(name) && !o.Overwrite {
		return nil, nameTaken(name, command+" -f -n")
	}
	dirty, err := p.Git.Dirty(ctx)
	if err != nil {
		return nil, err
	}
	return &run{project: p, options: o, head: head, dirty: dirty, outcome: &Outcome{
		Name: name, Baseline: head.Commit, Ref: RefName(head.Commit, name),
	}}, nil
}

// parseSetParams reads all -S arguments before anything is changed.
func parseSetParams(args []string) ([]dvcfile.Override, error) {
	var all []dvcfile.Override
	for _, a := range args {
		ovs, err := dvcfile.ParseOverride(a)
		if err != nil {
			return nil, err
		}
		if len(ovs) != 1 {
			return nil, errs.Hint(errs.New(errs.Usage, "%q gives several values: Sweep overrides can't be used without `--queue`", a),
				"ctrx exp run --queue ..., then: ctrx queue start; or give one value for %s", ovs[0].Key)
		}
		all = append(all, ovs...)
	}
	return all, nil
}

// applyOverrides edits the params files, and composes params.yaml where Hydra is
// enabled. All new contents are made before the first file is written, so a wrong
// key costs nothing. A dry run writes none.
func applyOverrides(p *pipeline.Project, overrides []dvcfile.Override, o RunOptions) error {
	edited, err := NewParams(p, o.NoHydra).Edit(overrides)
	if err != nil {
		return err
	}
	for _, f := range edited {
		if o.Dry {
			p.Pretend(f.Rel, f.Data)
			continue
		}
		if err := fsx.WriteFile(p.Abs(f.Rel), f.Data, 0o666); err != nil {
			return fmt.Errorf("write %s: %w", f.Rel, err)
		}
	}
	return nil
}

// ParamsFile is the new content of a params file.
type ParamsFile struct {
	Rel  string
	Data []byte
}

// Params edits the params files of a project in memory. It reads each file
// once, so that many sets of overrides start from the same content.
type Params struct {
	project *pipeline.Project
	noHydra bool
	from    *gitops.Tree // nil: the work tree alone
	read    map[string][]byte
}

// NewParams edits the params files as they are in the work tree. Where Hydra is
// enabled in the project, params.yaml is composed of config groups, but with
// noHydra.
func NewParams(p *pipeline.Project, noHydra bool) *Params {
	return &Params{project: p, noHydra: noHydra, read: map[string][]byte{}}
}

// NewParamsOf edits the params files as they are in a commit. One that is not
// there, as Git does not know it, is taken from the work tree.
func NewParamsOf(p *pipeline.Project, from *gitops.Tree, noHydra bool) *Params {
	return &Params{project: p, noHydra: noHydra, from: from, read: map[string][]byte{}}
}

// Edit applies one set of overrides and gives the files that it changes, in the
// order in which they are first named. Nothing is written.
func (ps *Params) Edit(overrides []dvcfile.Override) ([]ParamsFile, error) {
	made, overrides, err := composeParams(ps.project, overrides, ps.noHydra)
	if err != nil {
		return nil, err
	}
	var files []ParamsFile
	byFile := map[string][]dvcfile.Override{}
	for _, ov := range overrides {
		rel, err := ps.load(ov.File)
		if err != nil {
			return nil, err
		}
		if byFile[rel] == nil {
			files = append(files, ParamsFile{Rel: rel})
		}
		byFile[rel] = append(byFile[rel], ov)
	}
	for i, f := range files {
		data, err := dvcfile.ApplyOverrides(f.Rel, ps.read[f.Rel], byFile[f.Rel], ps.project.Surroundings())
		if err != nil {
			return nil, err
		}
		files[i].Data = data
	}
	if made != nil && (ps.from != nil || made.isNew(ps.project)) {
		files = append(files, ParamsFile{Rel: made.Rel, Data: made.Data})
	}
	return files, nil
}

// load reads a params file, named as the user does, and gives its rel path.
func (ps *Params) load(name string) (string, error) {
	p := ps.project
	rel, err := p.Rel(name)
	if err != nil {
		return "", err
	}
	if path.IsAbs(rel) || strings.HasPrefix(rel, "../") {
		return "", errs.New(errs.Usage, "parameters file '%s' lies outside of the project %s", name, p.Root)
	}
	if _, seen := ps.read[rel]; seen {
		return rel, nil
	}
	var data []byte
	err = fs.ErrNotExist
	if ps.from != nil {
		data, err = ps.from.ReadFile(p.GitPath(rel))
	}
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile(p.Abs(rel))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", errs.Hint(errs.New(errs.NotFound, "parameters file '%s' does not exist", name), "create it, or name another: -S FILE:KEY=VALUE")
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	ps.read[rel] = data
	return rel, nil
}

func (r *run) execute(ctx context.Context, lock *pipeline.RepoLock) (*Outcome, error) {
	p, o := r.project, r.options
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return r.outcome, err
	}
	graph, err := pipeline.NewGraph(ix.Stages)
	if err != nil {
		return r.outcome, err
	}
	steps, err := p.Plan(ctx, ix, graph, o.PlanOptions)
	if err != nil {
		return r.outcome, err
	}
	d := r.description()
	d.Steps = steps
	track, err := startTracking(ctx, p, ix, d, o.Tracking)
	if err != nil {
		return r.outcome, err
	}
	defer track.close(ctx)
	o.Env = append(slices.Clone(o.Env), "DVC_EXP_BASELINE_REV="+r.outcome.Baseline, "DVC_EXP_NAME="+r.outcome.Name, "DVC_ROOT="+r.home().Root)
	o.Env = append(o.Env, track.Environ()...)
	o.Observer = track.observer()
	if o.Dry {
		if r.outcome.Estimate, err = p.Estimate(graph, steps, o.Jobs); err != nil {
			return r.outcome, err
		}
	} else {
		p.Info("Reproducing experiment '%s'", r.outcome.Name)
	}
	o.Experiment = r.outcome.Name
	if !o.Dry && r.origin == nil {
		unmark, err := markRun(p, r.outcome.Name, r.outcome.Baseline)
		if err != nil {
			return r.outcome, err
		}
		defer unmark()
	}
	r.outcome.Result, err = p.Execute(ctx, lock, graph, steps, o.ExecuteOptions)
	if err == nil && !o.Dry {
		err = r.publish(ctx, ix, graph, steps)
	}
	r.outcome.Track, err = track.finish(ctx, r.outcome, err)
	if err != nil || o.Dry {
		return r.outcome, err
	}
	return r.outcome, r.afterwards(ctx, ix)
}

func (r *run) description() runDescription {
	return runDescription{Name: r.outcome.Name, Head: r.head, Dirty: r.dirty, Ref: r.outcome.Ref, Entry: "exp run", Home: r.home()}
}

// home is the user's project: this one, or what this one is a copy of.
func (r *run) home() *pipeline.Project {
	if r.origin != nil {
		return r.origin
	}
	return r.project
}

// publish writes the experiment commit and, last, its ref.
func (r *run) publish(ctx context.Context, ix *pipeline.Index, graph *pipeline.Graph, steps []pipeline.Step) error {
	p := r.project
	message := r.options.Message
	r.outcome.Hash = resultHash(r.outcome.Result.Entries)
	if message == "" {
		message = "dvc: commit experiment " + r.outcome.Hash
	}
	author := p.Git.Identity(ctx)
	if author.Default {
		p.Warn("Git has no user.name and user.email: the experiment is committed as %s <%s>", author.Name, author.Email)
	}
	author.When = r.options.Now()
	commit, err := p.Git.WriteCommit(ctx, gitops.CommitSpec{
		Parent: r.head.Commit, Message: message, Add: append(filesToKeep(p, ix, steps), r.extra...), Author: author,
	})
	if err != nil {
		return fmt.Errorf("commit the experiment: %w", err)
	}
	info, err := p.Git.Commit(commit)
	if err != nil {
		return fmt.Errorf("read the commit of the experiment: %w", err)
	}
	r.outcome.Commit, r.outcome.Tree = commit, info.Tree
	if r.publishTo != nil {
		if err := r.publishTo(ctx, r.outcome); err != nil {
			r.outcome.Commit, r.outcome.Tree = "", ""
			return fmt.Errorf("record experiment '%s': %w", r.outcome.Name, err)
		}
		return nil
	}
	old := "" // another process may have taken the name since
	if r.options.Overwrite {
		old = gitops.AnyValue
	}
	if err := p.Git.SetRef(r.outcome.Ref, commit, old, "commit: "+message); err != nil {
		r.outcome.Commit, r.outcome.Tree = "", ""
		return fmt.Errorf("record experiment '%s': %w", r.outcome.Name, err)
	}
	return nil
}

// resultHash is DVC's name for a result: SHA-256 of the JSON of what was
// recorded for each stage that ran (dvc-compat 11.2).
func resultHash(entries map[string]*dvcfile.StageLock) string {
	all := &dvcfile.Map{}
	for name, e := range entries {
		all.Set(name, e.Value())
	}
	sum := sha256.Sum256(dvcfile.CanonicalJSON(all))
	return hex.EncodeToString(sum[:])
}

// filesToKeep lists what enters the experiment commit although it may be new
// to Git: stage files, locks, dependencies and uncached outputs of the stages
// looked at, params, metrics and plots files, and .gitignore files.
func filesToKeep(p *pipeline.Project, ix *pipeline.Index, steps []pipeline.Step) []string {
	var rels []string
	for _, step := range steps {
		s := step.Stage
		rels = append(rels, s.File)
		if !s.IsData() {
			rels = append(rels, s.LockFile())
		}
		for _, d := range s.Deps {
			rels = append(rels, d.Rel)
		}
		for _, pd := range s.Params {
			rels = append(rels, pd.Rel)
		}
		for _, out := range s.Outs {
			if out.Cache {
				rels = append(rels, path.Join(path.Dir(out.Rel), ".gitignore"))
			} else {
				rels = append(rels, out.Rel)
			}
		}
	}
	for _, pl := range ix.Pipelines {
		for _, f := range slices.Concat(pl.Params, pl.Metrics) {
			rels = append(rels, path.Join(path.Dir(pl.File), f))
		}
	}
	rels = append(rels, "params.yaml")
	slices.Sort(rels)
	rels = slices.DeleteFunc(slices.Compact(rels), func(rel string) bool {
		if rel == "" || strings.HasPrefix(rel, "..") || path.IsAbs(rel) {
			return true
		}
		info, err := os.Lstat(p.Abs(rel))
		return err != nil || ix.IsCachedOutput(rel) || p.GitIgnored(rel, info.IsDir())
	})
	for i, rel := range rels {
		rels[i] = p.GitPath(rel)
	}
	return rels
}

// afterwards pushes what the run made, where that is wanted.
func (r *run) afterwards(ctx context.Context, ix *pipeline.Index) error {
	p := r.project
	var err error
	r.outcome.Metrics, err = p.Metrics(ctx, ix, nil)
	if err != nil {
		return err
	}
	r.outcome.Params, err = p.Params(ctx, ix, pipeline.ParamsOptions{DepsOnly: true})
	if err != nil {
		return err
	}
	if remote, auto := autoPush(r.home()); auto {
		if err := r.autoPush(ctx, remote); err != nil {
			return err
		}
	}
	if !r.options.Push && !p.Ctrx.Exp.Push {
		return nil
	}
	t, err := p.Push(ctx, pipeline.TransferOptions{})
	if err != nil {
		return errs.Hint(fmt.Errorf("experiment '%s' is recorded, but its data was not pushed: %w", r.outcome.Name, err), "ctrx push")
	}
	p.Info("%s", t.PushSummary())
	return nil
}
