package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/ignore"
	"ctrx/pipeline/dvcfile"
)

// Remove takes stages out of dvc.yaml and dvc.lock, and stops tracking data by
// deleting .dvc files. The data stays in the work tree, as files of its own,
// unless outs is set. Every target is resolved before the first file changes.
func (p *Project) Remove(ctx context.Context, targets []string, outs bool) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	var stages []*Stage
	for _, t := range targets {
		found, err := p.stagesToRemove(ix, t)
		if err != nil {
			return err
		}
		stages = append(stages, found...)
	}
	if outs {
		if err := checkPlaces(stages); err != nil {
			return err
		}
	}
	for _, s := range stages {
		if err := p.removeStage(ctx, s, outs); err != nil {
			return fmt.Errorf("remove '%s': %w", s.Address(p.Dir), err)
		}
	}
	return nil
}

// stagesToRemove resolves a target, which must name a stage or a stage file: the
// path of data could be meant to be deleted.
func (p *Project) stagesToRemove(ix *Index, target string) ([]*Stage, error) {
	found, err := p.ResolveTarget(ix, target, TargetOptions{})
	if rel, relErr := p.Rel(target); relErr == nil && len(found) > 0 && found[0].IsData() && found[0].File != rel {
		err = errs.New(errs.NotFound, "'%s' is not a .dvc file", target)
	}
	if err != nil {
		if _, statErr := os.Stat(p.Abs(path.Join(p.Dir, target) + ".dvc")); statErr == nil {
			return nil, errs.Hint(errs.New(errs.NotFound, "'%s' is not a .dvc file. Do you mean '%s.dvc'?", target, target), "ctrx remove %s", errs.Arg(target+".dvc"))
		}
		return nil, err
	}
	for _, s := range found {
		if ix.generated(s) {
			return nil, errs.At(s.Pos, "cannot remove '%s': it is one of a foreach or matrix, which is edited by hand", s.Name)
		}
	}
	return found, nil
}

func (p *Project) removeStage(ctx context.Context, s *Stage, outs bool) error {
	for _, out := range s.Outs {
		if outs {
			if err := p.removeOutput(out); err != nil {
				return err
			}
		} else if err := p.unprotectOutput(ctx, out); err != nil {
			return err
		}
		if out.Cache {
			if err := p.stopIgnoring(out.Rel); err != nil {
				return err
			}
		}
	}
	if s.IsData() {
		if err := os.Remove(p.Abs(s.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.touched(s.File)
		return nil
	}
	return p.removeDefinition(s)
}

// unprotectOutput makes what is in the work tree files of its own.
func (p *Project) unprotectOutput(ctx context.Context, out *Output) error {
	if _, err := os.Stat(p.Abs(out.Rel)); err != nil || !out.Cache || checkDataPath(out.Rel) != nil {
		return nil
	}
	return p.Cache.Unprotect(ctx, p.Abs(out.Rel), p.Root)
}

// stopIgnoring takes a path out of its .gitignore.
func (p *Project) stopIgnoring(rel string) error {
	if p.Git == nil || checkDataPath(rel) != nil {
		return nil
	}
	file, err := ignore.Remove(p.Git.Root(), p.GitPath(rel))
	if err != nil || file == "" {
		return err
	}
	p.Git.IgnoreSet().Forget()
	p.touched(path.Join(path.Dir(rel), ".gitignore"))
	return nil
}

// removeDefinition takes a stage out of its dvc.lock and dvc.yaml. A file whose
// last stage goes is deleted, as DVC does.
func (p *Project) removeDefinition(s *Stage) error {
	lockRel := s.LockFile()
	lf, err := p.loadLock(lockRel)
	if err != nil {
		return err
	}
	if _, recorded := lf.lock.Stage(s.Name); recorded && lf.exists {
		lf.lock.RemoveStage(s.Name)
		delete(p.locks, lockRel)
		if err := p.replaceOrDelete(lockRel, lf.lock.Encode(), len(lf.lock.Names()) == 0); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(p.Abs(s.File))
	if err != nil {
		return err
	}
	doc, err := dvcfile.ParseDocument(s.File, data)
	if err != nil {
		return err
	}
	doc.Delete("stages", s.Name)
	left := 0
	if m, ok := doc.Value().(*dvcfile.Map); ok {
		v, _ := m.Get("stages")
		if stages, ok := v.(*dvcfile.Map); ok {
			left = stages.Len()
		}
	}
	return p.replaceOrDelete(s.File, doc.Encode(), left == 0)
}

func (p *Project) replaceOrDelete(rel string, data []byte, del bool) error {
	p.touched(rel)
	if del {
		return os.Remove(p.Abs(rel))
	}
	return fsx.WriteFile(p.Abs(rel), data, 0o666)
}

// Unprotect makes tracked files and folders writable files of their own, where
// they are links into the cache.
func (p *Project) Unprotect(ctx context.Context, targets []string) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	for _, t := range targets {
		rel, err := p.Rel(t)
		if err != nil {
			return err
		}
		if !insideProject(rel) || rel == "." {
			return errs.New(errs.Usage, "'%s' lies outside of the project %s", t, p.Root)
		}
		if _, err := os.Stat(p.Abs(rel)); err != nil {
			return errs.New(errs.NotFound, "failed to unprotect '%s': it does not exist", t)
		}
		if err := p.Cache.Unprotect(ctx, p.Abs(rel), p.Root); err != nil {
			return err
		}
	}
	return nil
}
