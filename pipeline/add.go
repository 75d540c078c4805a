package pipeline

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// AddOptions says what `add` tracks and how.
type AddOptions struct {
	Targets  []string
	Glob     bool
	NoCommit bool // record the hash only, put nothing into the cache
	NoRelink bool // leave the work tree's files as they are
	Force    bool // overwrite what is at Out

	Out        string // one target, which may lie anywhere, is tracked under this name
	ToRemote   bool   // one target goes straight to the remote, not into the cache
	Remote     string
	RemoteJobs int
}

// Added is one .dvc file that Add wrote or brought up to date.
type Added struct {
	File   string // rel path of the .dvc file
	Output string // rel path of the data
	Tree   storage.Tree
}

// Add puts files and folders under DVC's care: their content goes into the
// cache, a .dvc file names it, and Git ignores the data itself. Everything is
// checked before the first file is touched.
func (p *Project) Add(ctx context.Context, o AddOptions) ([]Added, error) {
	switch {
	case o.ToRemote && o.NoCommit, o.ToRemote && o.Glob, o.Out != "" && o.Glob:
		return nil, errs.New(errs.Usage, "--to-remote and --out cannot be combined with --glob, --to-remote not with --no-commit")
	case o.Remote != "" && !o.ToRemote:
		return nil, errs.New(errs.Usage, "--remote can't be used without --to-remote")
	case o.RemoteJobs != 0 && !o.ToRemote:
		return nil, errs.New(errs.Usage, "--remote-jobs can't be used without --to-remote")
	case o.Out != "" || o.ToRemote:
		return nil, p.addTo(ctx, o)
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	targets, err := p.addTargets(o)
	if err != nil {
		return nil, err
	}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	var todo []*toAdd
	all := ix.Stages
	for _, rel := range targets {
		s, err := p.stageToAdd(ix, rel)
		if err != nil {
			return nil, err
		}
		if s.Outs[0].Rel == rel { // of a part, addParts knows what its absence means
			if err := p.isHere(rel); err != nil {
				return nil, err
			}
		}
		todo = groupToAdd(todo, s, rel)
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if _, err := NewGraph(all); err != nil {
		err = p.hintOverlap(err, ix, targets)
		return nil, err
	}
	var done []Added
	for i, t := range todo {
		a, err := p.addOne(ctx, t, o)
		if err != nil {
			return done, err
		}
		done = append(done, a)
		p.sink.Send(event.Event{Type: event.Progress, Text: "add", Done: int64(i + 1), Total: int64(len(todo)), Unit: "targets", Final: i+1 == len(todo)})
	}
	return done, nil
}

// addTargets expands patterns and checks every path.
func (p *Project) addTargets(o AddOptions) ([]string, error) {
	names := o.Targets
	if o.Glob {
		var err error
		if names, err = p.globTargets(o.Targets); err != nil {
			return nil, err
		}
	}
	var rels []string
	for _, n := range names {
		rel, err := p.Rel(n)
		if err != nil {
			return nil, err
		}
		if err := p.checkAddTarget(rel, n); err != nil {
			return nil, err
		}
		rels = append(rels, rel)
	}
	return rels, nil
}

// hintOverlap says how to add a folder of which a part is tracked already.
func (p *Project) hintOverlap(err error, ix *Index, rels []string) error {
	for _, s := range ix.Stages {
		if !s.IsData() || errs.HintOf(err) != "" {
			continue
		}
		for _, rel := range rels {
			if part := s.Outs[0].Rel; part != rel && inside(part, rel) {
				return errs.Hint(err, "to have '%s' in '%s': ctrx remove %s, then again: ctrx add %s",
					p.Show(part), p.Show(rel), errs.Arg(p.Show(s.File)), errs.Arg(p.Show(rel)))
			}
		}
	}
	return err
}

// projectBelow gives the folder of the project that a path belongs to where it
// is not this one but lies in it, else "".
func (p *Project) projectBelow(rel string) string {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if info, err := os.Stat(p.Abs(path.Join(dir, ".dvc"))); err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}

func (p *Project) checkAddTarget(rel, written string) error {
	switch first, _, _ := strings.Cut(rel, "/"); {
	case !insideProject(rel):
		return errs.Hint(errs.New(errs.Usage, "'%s' lies outside of the project %s", written, p.Root), "move or copy it into the project first")
	case rel == ".", first == ".git", first == ".dvc":
		return errs.New(errs.Usage, "'%s' cannot be tracked: it is the project itself or part of its administration", written)
	case isStageFile(path.Base(rel)) || path.Base(rel) == "dvc.lock":
		return errs.New(errs.Usage, "'%s' is a stage file, not data", written)
	}
	if owner := p.projectBelow(rel); owner != "" {
		return errs.Hint(errs.New(errs.Usage, "'%s' belongs to the project in '%s'", written, p.Show(owner)),
			"ctrx --cd %s add %s", errs.Arg(p.Show(owner)), errs.Arg(strings.TrimPrefix(rel, owner+"/")))
	}
	if p.dvcignore.Ignored(rel, false) {
		return errs.New(errs.Usage, "Path '%s' is ignored by .dvcignore", written)
	}
	if err := p.checkNotBehindLink(rel); err != nil {
		return err
	}
	if info, err := os.Lstat(p.Abs(rel)); err == nil && info.Mode()&os.ModeSymlink != 0 {
		if at, err := os.Stat(p.Abs(rel)); err == nil && at.IsDir() { // its files are another folder's
			err := errs.New(errs.Conflict, "'%s' is a symbolic link to a folder", written)
			return errs.Hint(err, "add the folder itself, or: ctrx add --out NAME %s, which copies it", errs.Arg(written))
		}
	}
	return nil
}

// isHere fails where there is nothing to add.
func (p *Project) isHere(rel string) error {
	if _, err := os.Stat(p.Abs(rel)); err == nil {
		return nil
	}
	if _, err := os.Lstat(p.Abs(rel)); err == nil {
		return errs.New(errs.NotFound, "'%s' is a link to something that does not exist", p.Show(rel))
	}
	return errs.New(errs.NotFound, "output '%s' does not exist", p.Show(rel))
}

// stageToAdd gives the .dvc stage that tracks rel, or a new one for it.
func (p *Project) stageToAdd(ix *Index, rel string) (*Stage, error) {
	for _, s := range ix.Stages {
		if !s.makes(rel) {
			continue
		}
		if !s.IsData() || len(s.Deps) > 0 {
			return nil, errs.Hint(errs.New(errs.Conflict, "cannot update '%s': it is an output of %s", p.Show(rel), describe(s)), "ctrx repro %s", errs.Arg(s.Address(p.Dir)))
		}
		return s, nil
	}
	if p.Git != nil {
		if err := p.refuseTracked(rel); err != nil {
			return nil, err
		}
	}
	if err := checkDataPath(rel); err != nil { // a .dvc file of it could not be read again, or not everywhere
		return nil, err
	}
	file := rel + ".dvc"
	if _, err := os.Lstat(p.Abs(file)); err == nil {
		return nil, errs.New(errs.Conflict, "'%s' exists and tracks something else", p.Show(file))
	}
	return newDataStage(file, dvcfile.NewDataFile(file, dvcfile.Entry{Path: path.Base(rel), Hash: "md5"})), nil
}

func (p *Project) addOne(ctx context.Context, t *toAdd, o AddOptions) (Added, error) {
	if !t.whole {
		return p.addParts(ctx, t, o)
	}
	s, out := t.stage, t.stage.Outs[0]
	a := Added{File: s.File, Output: out.Rel}
	store := !o.NoCommit && out.Cache
	tree, err := p.read(ctx, out.Rel, store)
	if err != nil {
		return a, fmt.Errorf("add '%s': %w", p.Show(out.Rel), err)
	}
	a.Tree = tree
	if store {
		if err := p.Cache.Commit(ctx, p.Abs(out.Rel), tree, storage.CommitOptions{Root: p.Root, NoRelink: o.NoRelink}); err != nil {
			return a, fmt.Errorf("add '%s': %w", p.Show(out.Rel), err)
		}
	}
	if out.Cache {
		if err := p.ignorePath(out.Rel); err != nil {
			return a, err
		}
	}
	s.Data.Outs[0].Entry = newEntry(s.Data.Outs[0].Path, tree)
	if store {
		p.placed(out.Rel, s.Data.Outs[0].Entry)
	}
	return a, p.writeData(s)
}
