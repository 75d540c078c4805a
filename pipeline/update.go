package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// UpdateOptions says how imports follow their sources.
type UpdateOptions struct {
	Targets    []string // .dvc files of imports, or with Recursive folders; none means all imports
	Rev        string   // imports from repositories: follow this revision from now on
	Recursive  bool
	NoDownload bool
	ToRemote   bool
	Remote     string
	Jobs       int
}

// Update brings imports to the present state of their sources.
func (p *Project) Update(ctx context.Context, o UpdateOptions) error {
	switch {
	case o.ToRemote && o.NoDownload:
		return errs.New(errs.Usage, "--to-remote can't be used with --no-download")
	case !o.ToRemote && o.Remote != "":
		return errs.New(errs.Usage, "--remote can't be used without --to-remote")
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	stages := ix.filter((*Stage).isImport)
	if len(o.Targets) > 0 {
		stages = nil
	}
	for _, t := range o.Targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Outputs: true})
		if err != nil {
			return err
		}
		for _, s := range found {
			switch {
			case s.isImport():
				stages = append(stages, s)
			case !o.Recursive:
				return errs.New(errs.Usage, "failed update data - '%s' is not an import", t)
			}
		}
	}
	for _, s := range stages {
		if err := p.updateImport(ctx, s, o); err != nil {
			return err
		}
	}
	return nil
}

func (p *Project) updateImport(ctx context.Context, s *Stage, o UpdateOptions) error {
	changed, err := p.sourceChanged(ctx, s, o)
	if err != nil {
		return fmt.Errorf("update '%s': %w", p.Show(s.File), err)
	}
	out := s.Outs[0]
	if !changed && !o.NoDownload {
		c, err := p.checkOutput(ctx, out)
		if err != nil {
			return err
		}
		changed = c != nil || s.Data.MD5 == ""
	}
	if !changed {
		p.Info("'%s' didn't change, skipping", p.Show(s.File))
		return p.writeData(s)
	}
	p.Info("Importing '%s' -> '%s'", p.depName(s), p.Show(out.Rel))
	return p.runImport(ctx, s, ImportOptions{NoDownload: o.NoDownload, ToRemote: o.ToRemote, Remote: o.Remote, Jobs: o.Jobs})
}

// sourceChanged asks the source, and makes the import of a repository one of its
// present revision.
func (p *Project) sourceChanged(ctx context.Context, s *Stage, o UpdateOptions) (bool, error) {
	dep := &s.Data.Deps[0]
	if !s.isRepoImport() {
		d := s.Deps[0]
		if d.Rel == "" {
			state, err := p.checkURL(ctx, d)
			return state != "", err
		}
		changed, err := p.changed(ctx, d.Rel, d.Recorded)
		if errors.Is(err, fs.ErrNotExist) {
			err = errs.New(errs.NotFound, "The path '%s' does not exist", d.Path)
		}
		return changed, err
	}
	rev := o.Rev
	if rev == "" {
		rev = repoOption(dep, "rev")
	}
	f, err := p.openForeignDep(ctx, dep, rev)
	if err != nil {
		return false, err
	}
	commit := f.Commit
	if err := f.Close(); err != nil {
		return false, err
	}
	v, _ := dep.Extra.Get("repo")
	old := v.(*dvcfile.Map)
	repo := dvcfile.NewMap("url", repoOption(dep, "url"))
	if rev != "" {
		repo.Set("rev", rev)
	}
	repo.Set("rev_lock", commit)
	for _, k := range old.Keys() {
		if v, _ := old.Get(k); k != "rev" && k != "rev_lock" {
			repo.Set(k, v)
		}
	}
	changed := repoOption(dep, "rev_lock") != commit
	dep.Extra = dvcfile.NewMap("repo", repo)
	if s.Data.MD5 != "" {
		s.Data.MD5 = s.Data.Checksum()
	}
	return changed, nil
}

// addTo is `add` of one source under another name: its content goes into the
// cache, or straight to the remote, and a .dvc file is written for the name.
func (p *Project) addTo(ctx context.Context, o AddOptions) error {
	if len(o.Targets) != 1 {
		return errs.New(errs.Usage, "--out and --to-remote can't be used with multiple targets")
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	rel, err := p.outputPath(o.Out, baseName(o.Targets[0]), o.Force)
	if err != nil && o.Out == "" && errs.KindOf(err) == errs.Conflict { // --to-remote of what is here
		rel, err = p.Rel(o.Targets[0])
	}
	if err != nil {
		return err
	}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	s, err := p.stageToReplace(ix, rel)
	if err != nil {
		return err
	}
	target := o.Targets[0]
	if !isURL(target) { // as a dependency it is relative to the .dvc file; here to the user
		source, err := p.Rel(target)
		if err != nil {
			return err
		}
		target = p.Abs(source)
	}
	from := newDataStage(s.File, &dvcfile.DataFile{Deps: []dvcfile.Entry{{Path: target}}, Outs: s.Data.Outs})
	if err := p.locate(p.WorkTree(), []*Stage{from}); err != nil {
		return err
	}
	got, _, err := p.readSource(ctx, from, ImportOptions{ToRemote: o.ToRemote, Remote: o.Remote, Jobs: o.RemoteJobs})
	if err != nil {
		return fmt.Errorf("add '%s': %w", o.Targets[0], err)
	}
	if !o.ToRemote { // nothing is there to ignore; DVC writes no line either
		if err := p.ignorePath(rel); err != nil {
			return err
		}
	}
	e := newEntry(s.Data.Outs[0].Path, got.Tree)
	if !o.ToRemote {
		e.Meta.IsExec = false // the copy is a plain file
		if _, err := p.checkoutOutput(ctx, s.Outs[0], e, CheckoutOptions{Force: true}); err != nil {
			return err
		}
	}
	s.Data.Outs[0].Entry = e
	return p.writeData(s)
}

// stageToReplace gives the .dvc stage of rel as a whole, or a new one for it.
// In a tracked folder there is none; DVC would replace the folder by what comes.
func (p *Project) stageToReplace(ix *Index, rel string) (*Stage, error) {
	s, err := p.stageToAdd(ix, rel)
	if err != nil {
		return nil, err
	}
	if whole := s.Outs[0].Rel; whole != rel {
		err := errs.New(errs.Conflict, "'%s' lies in the tracked folder '%s'", p.Show(rel), p.Show(whole))
		return nil, errs.Hint(err, "copy the data there, then: ctrx add %s", errs.Arg(p.Show(rel)))
	}
	rest := ix.filter(func(x *Stage) bool { return x.File != s.File })
	_, err = NewGraph(append(rest, s))
	return s, err
}

// checkFree tells whether nothing is at a path.
func checkFree(to string, force bool) error {
	if _, err := os.Lstat(to); err == nil && !force {
		return errs.Hint(errs.New(errs.Conflict, "The file '%s' already exists locally. Use `--force` to force.", to), "--force overwrites it")
	}
	return nil
}
