package experiment

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// RunCode is the commit that holds what a run saw: code, parameters, stage
// files and locks.
type RunCode struct {
	Commit   string // here, with all of its files
	Baseline string // that the run started from; "" where the commit is all that is known
	From     string // where it comes from, in words
	LeftOut  []string
	Warnings []string // what is not as the run saw it
}

// CommitGoneError says that the commit of a run is nowhere to be had.
type CommitGoneError struct {
	Run    tracking.RunRecord
	Commit string
	Asked  []string // Git remotes
	Kept   []string // artifacts of the run that can be had all the same
}

// Error names the commit, where it was looked for, and what is left.
func (e *CommitGoneError) Error() string {
	text := fmt.Sprintf("commit %s of run %s is gone: it is not in this repository", e.Commit, e.Run.ID)
	if len(e.Asked) > 0 {
		text += fmt.Sprintf(", and Git remote %s does not have it", quoted(e.Asked))
	} else {
		text += ", and there is no Git remote to ask"
	}
	if len(e.Kept) > 0 {
		text += fmt.Sprintf("\nthe run still holds %s, and its data can be brought back by what they record", strings.Join(e.Kept, ", "))
	}
	return text
}

// Kind is CommitGone.
func (e *CommitGoneError) Kind() errs.Kind { return errs.CommitGone }

// Hint names what can still be had.
func (e *CommitGoneError) Hint() string {
	if len(e.Kept) == 0 {
		return "git fetch REMOTE COMMIT, from a repository that has it"
	}
	return fmt.Sprintf("ctrx runs checkout %s --data-only --worktree DIR brings back its data, dvc.lock and parameters", e.Run.ID[:8])
}

func quoted(names []string) string { return "'" + strings.Join(names, "', '") + "'" }

// patchReadLimit bounds what is read as a patch: the text of a binary file is
// longer than the file.
const patchReadLimit = 4 * PatchLimit

// CodeOf finds the commit of a run: the experiment commit, here or at a Git
// remote; else the commit that the run started from, with the run's patch
// applied. Objects may be fetched and written; refs, index and work tree stay as
// they are. With incomplete a patch that does not hold everything will do.
func CodeOf(ctx context.Context, p *pipeline.Project, client *tracking.Client, run tracking.RunRecord, incomplete bool) (RunCode, error) {
	if _, err := p.Repo(); err != nil {
		return RunCode{}, err
	}
	f := &codeFinder{project: p, git: p.Git, client: client, run: run, incomplete: incomplete}
	base, exp := run.Tag(baseTag), run.Tag(commitTag)
	if base == "" && exp == "" && run.Tag(treeTag) == "" {
		return RunCode{}, errs.Hint(errs.New(errs.NotFound, "run %s (%s) names no Git commit: it was not recorded in a Git repository", run.ID, run.Name),
			"ctrx runs show %s", run.ID[:8])
	}
	if exp != "" && f.have(ctx, exp, run.Tag(refTag)) {
		return RunCode{Commit: exp, Baseline: base, From: "experiment commit " + exp[:min(7, len(exp))]}, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return RunCode{}, context.Cause(ctx)
	}
	if base == "" && exp == "" { // it ran before the first commit
		return f.fromPatch(ctx, RunCode{From: "the run's patch"})
	}
	if base == "" || !f.have(ctx, base, "") {
		if err := ctx.Err(); err != nil {
			return RunCode{}, context.Cause(ctx)
		}
		return RunCode{}, f.gone(ctx, cmp.Or(base, exp))
	}
	return f.fromBase(ctx, base)
}

// codeFinder looks for the commit of a run.
type codeFinder struct {
	project    *pipeline.Project
	git        *gitops.Repo
	client     *tracking.Client
	run        tracking.RunRecord
	incomplete bool
	asked      []string // Git remotes that were asked
	trouble    []error  // why they did not help
}

// have brings a commit here, if any Git remote has it: by the name of the
// experiment's ref, then by its hash, which a server may refuse.
func (f *codeFinder) have(ctx context.Context, commit, ref string) bool {
	if !isCommitHash(commit) {
		return false
	}
	whole := func() bool {
		info, err := f.git.Commit(commit)
		return err == nil && f.git.WholeTree(info.Tree)
	}
	if whole() {
		return true
	}
	for _, remote := range f.git.Remotes() {
		if !slices.Contains(f.asked, remote) {
			f.asked = append(f.asked, remote)
		}
		for _, name := range []string{ref, commit} {
			if name == "" || ctx.Err() != nil {
				continue
			}
			if err := f.git.FetchObjects(ctx, remote, []string{name}); err != nil {
				f.trouble = append(f.trouble, err)
				continue
			}
			if whole() {
				return true
			}
		}
	}
	return false
}

func isCommitHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// gone says that a commit is nowhere, or that the remotes could not be asked.
func (f *codeFinder) gone(ctx context.Context, commit string) error {
	for _, err := range f.trouble {
		if kind := errs.KindOf(err); kind == errs.Unreachable || kind == errs.Auth {
			return fmt.Errorf("commit %s of run %s is not in this repository: %w", commit, f.run.ID, err)
		}
	}
	e := &CommitGoneError{Run: f.run, Commit: commit, Asked: f.asked}
	listed, err := f.client.ListArtifacts(ctx, f.run.ID, "")
	if err != nil {
		return errors.Join(e, err)
	}
	for _, a := range listed {
		if a.Path == "dvc.lock" || a.Path == "dvc.yaml" || a.Path == "params.yaml" {
			e.Kept = append(e.Kept, a.Path)
		}
	}
	if _, err := f.client.ReadArtifact(ctx, f.run, patchArtifact, patchReadLimit); err == nil {
		e.Kept = append(e.Kept, patchArtifact)
	}
	return e
}

// fromBase makes the commit of a run out of the one that it started from.
func (f *codeFinder) fromBase(ctx context.Context, base string) (RunCode, error) {
	code := RunCode{Commit: base, Baseline: base, From: "commit " + base[:7]}
	info, err := f.git.Commit(base)
	if err != nil {
		return code, err
	}
	want := f.run.Tag(treeTag)
	if want == info.Tree {
		return code, nil
	}
	if want == "" {
		return f.withArtifacts(ctx, code)
	}
	code.From += " and the run's patch"
	return f.fromPatch(ctx, code)
}

// fromPatch applies the run's patch to its baseline, which is here.
func (f *codeFinder) fromPatch(ctx context.Context, code RunCode) (RunCode, error) {
	base, want := code.Baseline, f.run.Tag(treeTag)
	tree, err := f.patched(ctx, base)
	if err != nil {
		return code, err
	}
	if tree != want {
		if code.LeftOut = omittedFiles(f.run); len(code.LeftOut) == 0 {
			return code, errs.New(errs.DataCorrupt, "the patch of run %s leads from commit '%s' to other files than the run saw (tree %s, not %s)", f.run.ID, base, tree, want)
		}
		if f.git.WholeTree(want) { // written when the run was, and still here
			tree, code.LeftOut, code.From = want, nil, "files that Git still keeps"
		}
	}
	if len(code.LeftOut) > 0 {
		text := fmt.Sprintf("run %s saw uncommitted changes that its patch does not hold (larger than %d MB together, or with credentials): %s",
			f.run.ID, PatchLimit>>20, strings.Join(code.LeftOut, ", "))
		if !f.incomplete {
			return code, errs.Hint(errs.New(errs.DataMissing, "%s", text), "do without them: --allow-missing")
		}
		code.Warnings = append(code.Warnings, text)
	}
	code.Commit, err = f.commit(ctx, tree, base)
	return code, err
}

func omittedFiles(run tracking.RunRecord) []string {
	text := run.Tag(patchOmittedTag)
	if text == "" || text == noneTag {
		return nil
	}
	return strings.Split(text, ", ")
}

// patched gives the tree that the run's patch leads to.
func (f *codeFinder) patched(ctx context.Context, base string) (string, error) {
	if f.run.Tag(patchTag) != patchArtifact { // nothing but what was left out
		return f.git.Apply(ctx, base, nil)
	}
	patch, err := f.client.ReadArtifact(ctx, f.run, patchArtifact, patchReadLimit)
	if err != nil {
		return "", errs.New(errs.KindOf(err), "the uncommitted changes of run %s cannot be read: %w", f.run.ID, err)
	}
	return f.git.Apply(ctx, base, patch)
}

// withArtifacts puts dvc.lock and the other files that a run holds as artifacts
// in the place of those of the commit: of a run that has no patch, because an
// older ctrx or another program recorded it.
func (f *codeFinder) withArtifacts(ctx context.Context, code RunCode) (RunCode, error) {
	if f.run.Tag(lockTag) == "" {
		code.Warnings = append(code.Warnings, "the run carries no dvc.lock: the one of its commit is used")
		return f.warnDirty(code), nil
	}
	info, err := f.git.Commit(code.Commit)
	if err != nil {
		return code, err
	}
	listed, err := f.client.ListArtifacts(ctx, f.run.ID, "")
	if err != nil {
		return code, err
	}
	files := map[string][]byte{}
	for _, a := range listed {
		if a.Dir || a.Path != "dvc.lock" && a.Path != "dvc.yaml" && !strings.HasSuffix(a.Path, ".yaml") && !strings.HasSuffix(a.Path, ".json") && !strings.HasSuffix(a.Path, ".toml") {
			continue
		}
		if files[f.project.GitPath(a.Path)], err = f.client.ReadArtifact(ctx, f.run, a.Path, PatchLimit); err != nil {
			return code, err
		}
	}
	tree, err := f.git.EditTree(info.Tree, files)
	if err != nil {
		return code, err
	}
	code.From += " and the run's artifacts"
	if tree != info.Tree {
		code.Commit, err = f.commit(ctx, tree, code.Baseline)
	}
	return f.warnDirty(code), err
}

func (f *codeFinder) warnDirty(code RunCode) RunCode {
	if strings.EqualFold(f.run.Tag("mlflow.source.git.dirty"), "true") {
		code.Warnings = append(code.Warnings, "the run saw uncommitted changes that it does not carry")
	}
	return code
}

// commit makes a commit of a tree. It is the same one each time it is made for
// the run by the same user.
func (f *codeFinder) commit(ctx context.Context, tree, base string) (string, error) {
	by := f.git.Identity(ctx)
	by.When = f.run.StartTime.UTC()
	return f.git.CommitTree(tree, gitops.CommitSpec{ // a Parent of "" is none
		Parent: base, Message: fmt.Sprintf("ctrx: what run %s (%s) saw", f.run.ID, f.run.Name), Author: by,
	})
}

// readRecord reads the record of a run; errs.NotFound where it has none.
func readRecord(ctx context.Context, client *tracking.Client, run tracking.RunRecord) (runRecord, error) {
	var r runRecord
	data, err := client.ReadArtifact(ctx, run, recordArtifact, 64<<20)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil || r.Version != 1 {
		return r, errs.New(errs.DataCorrupt, "artifact %s of run %s is not a record that this ctrx can read (version %d): %w", recordArtifact, run.ID, r.Version, err)
	}
	return r, nil
}
