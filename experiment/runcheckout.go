package experiment

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// RunCheckoutOptions is one call of `ctrx runs checkout`.
type RunCheckoutOptions struct {
	Run      tracking.RunRecord
	Worktree string // absolute folder of the new work tree; "" chooses one, unless Branch or Here is set
	Branch   string // short name of a branch that is made for it
	Here     bool   // into the user's work tree
	DataOnly bool   // no Git: the run's files and data, in the folder Worktree

	Force        bool // Here: uncommitted work is kept as a commit and then overwritten
	AllowMissing bool // go on without data that is nowhere
	Remote       string
	Jobs         int
	Sink         event.Sink
	Now          time.Time
	ID           string // of the work tree, unique: [A-Za-z0-9-]+
}

// RunRestored is what a checkout of a run came to.
type RunRestored struct {
	Code     RunCode
	Dir      string // root of the new work tree; "" where none was made
	Branch   string
	Backup   string // Here with Force: commit that keeps what was there
	Fetched  int    // files that came from a remote
	Missing  []string
	Warnings []string
	// Failed are the stages that failed in the run: what they left is not
	// brought back.
	Failed []FailedStage
	// Untracked are files that were there, that Git did not know and no stage
	// named. They are not brought back.
	Untracked []string
}

// FailedStage is a stage of a run that failed. What it left of its outputs went to
// no cache.
type FailedStage struct {
	Stage   string
	Outputs []string // from the project root
	Error   string
}

// CheckoutRun brings back what a run saw: code, parameters and dvc.lock by its
// commit or patch (CodeOf), and the data that dvc.lock and .dvc files record, out
// of the cache or else of the remotes. All of it is made sure of before anything
// appears: a new work tree is made beside its place and put there at the end.
func CheckoutRun(ctx context.Context, p *pipeline.Project, client *tracking.Client, o RunCheckoutOptions) (RunRestored, error) {
	if o.DataOnly {
		return checkoutData(ctx, p, client, o)
	}
	var done RunRestored
	if err := refuseParent(ctx, client, o.Run); err != nil {
		return done, err
	}
	if err := o.check(p); err != nil {
		return done, err
	}
	var err error
	if done.Code, err = CodeOf(ctx, p, client, o.Run, o.AllowMissing); err != nil {
		return done, err
	}
	done.Warnings = done.Code.Warnings
	src, err := p.Commit(done.Code.Commit)
	if err != nil {
		return done, err
	}
	if err := o.compareRecord(ctx, p, client, src, &done); err != nil {
		return done, err
	}
	if err := o.fetch(ctx, p, src, done.Code.Commit, &done); err != nil {
		return done, err
	}
	if o.Here {
		return done, o.here(ctx, p, src, &done)
	}
	return done, o.apart(ctx, p, &done)
}

// compareRecord warns of what the record of a run says and no commit holds.
func (o RunCheckoutOptions) compareRecord(ctx context.Context, p *pipeline.Project, client *tracking.Client, src pipeline.Source, done *RunRestored) error {
	record, err := readRecord(ctx, client, o.Run)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if err := done.noteFailed(ctx, p, src, record.Stages); err != nil || record.Git == nil {
		return err
	}
	if len(record.Git.Untracked) > 0 {
		done.Untracked = record.Git.Untracked
		done.Warnings = append(done.Warnings, "files were there that Git did not know and no stage named: they are not brought back: "+someOf(record.Git.Untracked))
	}
	if here := p.GitPath("."); record.Git.Project != here {
		done.Warnings = append(done.Warnings, fmt.Sprintf("the run is of the project in '%s' of the repository, and the data of the one in '%s' is brought back: repeat the command there",
			record.Git.Project, here))
	}
	return nil
}

// noteFailed says which outputs a run did not get to keep. The lock that it
// leaves has what an earlier run made in their place, or nothing.
func (r *RunRestored) noteFailed(ctx context.Context, p *pipeline.Project, src pipeline.Source, stages []recordStage) error {
	if !slices.ContainsFunc(stages, func(s recordStage) bool { return s.Error != "" }) {
		return nil
	}
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return err
	}
	for _, s := range stages {
		if s.Error == "" {
			continue
		}
		failed := FailedStage{Stage: s.Stage, Error: s.Error}
		var earlier []string
		for _, stage := range ix.Stages {
			if stage.Address(".") != s.Stage {
				continue
			}
			for _, out := range stage.Outs {
				failed.Outputs = append(failed.Outputs, out.Rel)
				if out.Cache && out.Recorded != nil {
					earlier = append(earlier, out.Rel)
				}
			}
		}
		r.Failed = append(r.Failed, failed)
		text := fmt.Sprintf("stage '%s' failed in this run: what it left went to no cache and is not brought back", s.Stage)
		if len(failed.Outputs) > 0 {
			text += ": " + someOf(failed.Outputs)
		}
		if len(earlier) > 0 {
			text += " (here as an earlier run made it: " + someOf(earlier) + ")"
		}
		r.Warnings = append(r.Warnings, text+"; to make it: ctrx repro "+s.Stage)
	}
	return nil
}

// refuseParent refuses a run that has no code and no data of its own because it
// stands for several: it names them.
func refuseParent(ctx context.Context, client *tracking.Client, run tracking.RunRecord) error {
	if run.Tag(treeTag) != "" || run.Tag(commitTag) != "" {
		return nil
	}
	page, err := client.SearchRuns(ctx, tracking.RunQuery{Experiments: []string{run.ExperimentID}, Filter: fmt.Sprintf("tags.`%s` = '%s'", parentTag, run.ID), Max: 1000})
	if err != nil || len(page.Runs) == 0 {
		return err
	}
	var names []string
	for _, child := range page.Runs {
		names = append(names, fmt.Sprintf("%.8s (%s)", child.ID, child.Name))
	}
	hint := "check out one of them: ctrx runs checkout " + page.Runs[0].ID[:8]
	if best := run.Tag("ctrx.best_run_id"); best != "" {
		hint = fmt.Sprintf("the best of them: ctrx runs checkout %.8s", best)
	}
	return errs.Hint(errs.New(errs.Usage, "run %.8s (%s) is the parent of %d run(s), and has no code and no data of its own: %s", run.ID, run.Name, len(names), someOf(names)), "%s", hint)
}

// someOf names the first few.
func someOf(names []string) string {
	const show = 10
	if len(names) > show {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:show], ", "), len(names)-show)
	}
	return strings.Join(names, ", ")
}

// check refuses what cannot work before the server's answer is acted on.
func (o *RunCheckoutOptions) check(p *pipeline.Project) error {
	repo, err := p.Repo()
	if err != nil {
		return err
	}
	if o.Branch != "" {
		full := "refs/heads/" + o.Branch
		if err := gitops.CheckRefName(full); err != nil {
			return errs.Hint(errs.New(errs.Usage, "'%s' is not a name for a branch: %w", o.Branch, err), "name another: --branch NAME")
		}
		if _, taken, err := repo.Ref(full); err != nil || taken {
			return errors.Join(err, errs.Hint(errs.New(errs.Conflict, "branch '%s' is there already", o.Branch), "name another: --branch NAME"))
		}
	}
	if o.Worktree == "" && o.Branch == "" && !o.Here {
		root := repo.Root()
		o.Worktree = filepath.Join(filepath.Dir(root), filepath.Base(root)+"-run-"+o.Run.ID[:min(8, len(o.Run.ID))])
	}
	if o.Worktree != "" {
		return gitops.CheckFree(o.Worktree)
	}
	return nil
}

// ObjectsMissingError says that data of a run is nowhere to be had.
type ObjectsMissingError struct {
	Run     tracking.RunRecord
	Data    []pipeline.MissingData
	Remotes []string // that were asked, with their addresses
}

// Error lists the objects and the remotes that were asked.
func (e *ObjectsMissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "data of run %s is neither in the cache ", e.Run.ID)
	if len(e.Remotes) == 0 {
		b.WriteString("nor at a remote: none is configured for it")
	} else {
		fmt.Fprintf(&b, "nor at remote %s", strings.Join(e.Remotes, ", "))
	}
	const show = 20
	n := 0
	for _, d := range e.Data {
		for _, o := range d.Objects {
			if n++; n > show {
				continue
			}
			name := d.Rel
			if o.RelPath != "" {
				name += "/" + o.RelPath
			}
			fmt.Fprintf(&b, "\n  %s  %s", name, o.Digest)
		}
	}
	if n > show {
		fmt.Fprintf(&b, "\n  and %d more", n-show)
	}
	return b.String()
}

// Kind is DataMissing.
func (e *ObjectsMissingError) Kind() errs.Kind { return errs.DataMissing }

// Hint says how to go on.
func (e *ObjectsMissingError) Hint() string {
	return "push it where it is (ctrx push --all-commits), name another remote with -r, or do without: --allow-missing"
}

// fetch makes sure that the data of a commit is in the cache.
func (o RunCheckoutOptions) fetch(ctx context.Context, p *pipeline.Project, src pipeline.Source, commit string, done *RunRestored) error {
	missing, err := p.MissingData(ctx, src)
	if err != nil || len(missing) == 0 {
		return err
	}
	transfer := pipeline.TransferOptions{Revisions: pipeline.Revisions{Commits: []string{commit}}, Remote: o.Remote, Jobs: o.Jobs}
	asked := o.asked(p, missing)
	if len(asked) > 0 {
		fetched, err := p.Fetch(ctx, transfer)
		done.Fetched = fetched.Files
		if err != nil && (ctx.Err() != nil || !o.AllowMissing) {
			return fmt.Errorf("fetch the data of run %s: %w", o.Run.ID, err)
		}
		if err != nil {
			done.Warnings = append(done.Warnings, fmt.Sprintf("the data could not be fetched: %v", err))
		}
		if missing, err = p.MissingData(ctx, src); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	gap := &ObjectsMissingError{Run: o.Run, Data: missing, Remotes: asked}
	if !o.AllowMissing {
		return gap
	}
	done.Warnings = append(done.Warnings, gap.Error())
	for _, m := range missing {
		done.Missing = append(done.Missing, m.Rel)
	}
	return nil
}

// asked names the remotes that are asked for missing data, with their addresses.
func (o RunCheckoutOptions) asked(p *pipeline.Project, missing []pipeline.MissingData) []string {
	var labels []string
	for _, m := range missing {
		name := m.Remote
		if o.Remote != "" {
			name = o.Remote
		}
		if label := fmt.Sprintf("'%s' (%s)", name, p.RemoteAddress(name)); name != "" && !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels
}

// apart makes a branch, a new work tree, or both.
func (o RunCheckoutOptions) apart(ctx context.Context, p *pipeline.Project, done *RunRestored) (err error) {
	branch := ""
	if o.Branch != "" {
		branch = "refs/heads/" + o.Branch
	}
	if o.Worktree == "" {
		return o.makeBranch(p, branch, done)
	}
	tree, err := p.Git.Link(ctx, gitops.LinkSpec{Dir: o.Worktree, Commit: done.Code.Commit, Branch: branch, ID: o.ID})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Discard()) }()
	if err := o.fillTree(ctx, p, filepath.Join(tree.Dir, filepath.FromSlash(p.GitPath("."))), done); err != nil {
		return fmt.Errorf("bring the data of run %s into the new work tree: %w", o.Run.ID, err)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if branch != "" {
		if err := o.makeBranch(p, branch, done); err != nil {
			return err
		}
	}
	if err := tree.Publish(); err != nil {
		if branch != "" {
			done.Branch = ""
			err = errors.Join(err, p.Git.DeleteRef(branch, done.Code.Commit))
		}
		return err
	}
	done.Dir = tree.Dir
	return nil
}

func (o RunCheckoutOptions) makeBranch(p *pipeline.Project, branch string, done *RunRestored) error {
	if err := p.Git.SetRef(branch, done.Code.Commit, "", "runs checkout "+o.Run.ID); err != nil {
		return fmt.Errorf("make branch '%s': %w", o.Branch, err)
	}
	done.Branch = o.Branch
	return nil
}

// fillTree brings the data into a project whose code is in place.
func (o RunCheckoutOptions) fillTree(ctx context.Context, p *pipeline.Project, dir string, done *RunRestored) (err error) {
	if err := CopySettings(p, dir); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	made, err := p.Beside(ctx, dir, o.Sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	checkout, err := made.Checkout(ctx, pipeline.CheckoutOptions{Force: true, AllowMissing: true})
	if err != nil {
		return err
	}
	return o.verify(ctx, made, checkout, done)
}

// verify looks at what came of a checkout of data.
func (o RunCheckoutOptions) verify(ctx context.Context, p *pipeline.Project, checkout pipeline.CheckoutResult, done *RunRestored) error {
	for _, rel := range checkout.Missing {
		if slices.Contains(done.Missing, rel) {
			continue
		}
		if !o.AllowMissing { // it was there a moment ago
			return errs.Hint(errs.New(errs.DataMissing, "%s: its data left the cache while it was checked out", rel), "run the command again")
		}
		done.Missing = append(done.Missing, rel)
	}
	lost, err := p.LostInputs(ctx)
	for _, in := range lost {
		done.Warnings = append(done.Warnings, fmt.Sprintf("%s (%s), which a stage read, is kept by neither Git nor a .dvc file: it is not brought back", in.Rel, in.Digest()))
	}
	return err
}

// here makes the user's work tree what the run saw. HEAD and the branch stay.
func (o RunCheckoutOptions) here(ctx context.Context, p *pipeline.Project, target pipeline.Source, done *RunRestored) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if o.Force {
		if done.Backup, err = backup(ctx, p, done.Code.Commit, o.Now); err != nil {
			return err
		}
	} else if err := o.refuseLoss(ctx, p, target, done.Code.Commit); err != nil {
		return err
	}
	if err := p.Git.RestoreTree(ctx, done.Code.Commit); err != nil {
		return fmt.Errorf("bring back the files of run %s: %w", o.Run.ID, err)
	}
	checkout, err := p.CheckoutLocked(ctx, pipeline.CheckoutOptions{Force: o.Force, AllowMissing: true})
	if err != nil {
		return errs.Hint(fmt.Errorf("code and parameters of run %s are in place, its data is not: %w", o.Run.ID, err), "ctrx checkout")
	}
	return o.verify(ctx, p, checkout, done)
}

// refuseLoss refuses to overwrite what is nowhere else: changes of tracked
// files, untracked files in the way, and data that is not in the cache.
func (o RunCheckoutOptions) refuseLoss(ctx context.Context, p *pipeline.Project, target pipeline.Source, commit string) error {
	dirty, err := p.Git.Dirty(ctx)
	if err != nil {
		return err
	}
	var lost []string
	if dirty {
		lost = append(lost, "tracked files have changes that are not committed")
	}
	untracked, err := untrackedIn(p, commit)
	if err != nil {
		return err
	}
	if len(untracked) > 0 {
		lost = append(lost, "untracked files are in the way: "+strings.Join(untracked, ", "))
	}
	data, err := p.UnsavedData(ctx, target)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		lost = append(lost, "data is not in the cache: "+strings.Join(data, ", "))
	}
	if len(lost) == 0 {
		return nil
	}
	hint := "git stash, or leave the work tree alone: ctrx runs checkout " + o.Run.ID[:min(8, len(o.Run.ID))] + " --worktree DIR; --force overwrites"
	if len(data) > 0 {
		hint = "keep the data first: ctrx commit; " + hint
	}
	return errs.Hint(errs.New(errs.Conflict, "the checkout would overwrite uncommitted work: %s", strings.Join(lost, "; ")), "%s", hint)
}
