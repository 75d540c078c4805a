package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// Move renames tracked data, with the .dvc file that is named after it. Only
// data that was added or imported can be moved: what a stage makes is named in
// its dvc.yaml. A destination that is a folder takes the data in.
func (p *Project) Move(ctx context.Context, from, to string) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	m, err := p.planMove(ix, from, to)
	if err != nil {
		return err
	}
	if err := p.checkMove(ix, m); err != nil {
		return err
	}
	return p.doMove(ctx, m)
}

// move is a checked Move: the stage as it is and as it will be.
type move struct {
	old, new   *Stage
	from, to   string // rel paths of the data
	movedStage bool   // the .dvc file is renamed too
}

func (p *Project) planMove(ix *Index, from, to string) (move, error) {
	var m move
	var err error
	if m.from, err = p.Rel(from); err != nil {
		return m, err
	}
	if m.to, err = p.Rel(to); err != nil {
		return m, err
	}
	found := ix.filter(func(s *Stage) bool { return len(s.Outs) > 0 && s.Outs[0].Rel == m.from && s.IsData() })
	if len(found) == 0 {
		if other := ix.filter(func(s *Stage) bool { return s.makes(m.from) }); len(other) > 0 {
			return m, errs.Hint(errs.New(errs.Usage, "'%s' is made by %s: only data that was added or imported can be moved", from, describe(other[0])),
				"move it by hand and edit %s", p.Show(other[0].File))
		}
		return m, errs.Hint(errs.New(errs.NotFound, "'%s' is not tracked data", from), "ctrx list . --dvc-only shows what is; to track it: ctrx add %s", from)
	}
	m.old = found[0]
	if info, err := os.Stat(p.Abs(m.to)); err == nil && info.IsDir() {
		m.to = path.Join(m.to, path.Base(m.from))
	}
	df := *m.old.Data
	file := m.old.File
	if path.Base(file) == path.Base(m.from)+".dvc" {
		m.movedStage = true
		file = m.to + ".dvc"
		df = dvcfile.DataFile{File: file, Frozen: df.Frozen, AlwaysChanged: df.AlwaysChanged, Desc: df.Desc, Meta: df.Meta, MD5: df.MD5, Deps: df.Deps, Outs: df.Outs}
	}
	wdir := path.Join(path.Dir(file), df.WDir)
	df.Outs = append([]dvcfile.DataOut(nil), df.Outs...)
	df.Outs[0].Path = relFrom(wdir, m.to)
	df.Deps = append([]dvcfile.Entry(nil), df.Deps...)
	for i, d := range m.old.Deps {
		if d.Rel != "" && !filepath.IsAbs(d.Path) && !isURL(d.Path) {
			df.Deps[i].Path = relFrom(wdir, d.Rel)
		}
	}
	m.new = newDataStage(file, &df)
	return m, nil
}

// checkMove refuses what cannot be done, before anything is.
func (p *Project) checkMove(ix *Index, m move) error {
	if err := p.checkOutputPlace(m.to); err != nil {
		return err
	}
	if _, err := os.Lstat(p.Abs(m.from)); err != nil {
		return errs.Hint(errs.New(errs.DataMissing, "'%s' is not in the work tree", p.Show(m.from)), "ctrx checkout %s", p.Show(m.from))
	}
	for _, at := range []string{m.to, m.new.File} {
		if _, err := os.Lstat(p.Abs(at)); err == nil && at != m.old.File {
			return errs.New(errs.Conflict, "'%s' already exists", p.Show(at))
		}
	}
	if p.dvcignore.Ignored(m.to, false) {
		return errs.New(errs.Usage, "Path '%s' is ignored by .dvcignore", p.Show(m.to))
	}
	rest := ix.filter(func(s *Stage) bool { return s != m.old })
	_, err := NewGraph(append(rest, m.new))
	return err
}

// doMove moves the data first and the record last: a crash between leaves data
// that `ctrx checkout` or a second `move` brings in order.
func (p *Project) doMove(ctx context.Context, m move) error {
	if err := p.stopIgnoring(m.from); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.FromSlash(path.Dir(m.to)), 0o777); err != nil {
		return fmt.Errorf("move to '%s': %w", p.Show(m.to), err)
	}
	if err := root.Rename(filepath.FromSlash(m.from), filepath.FromSlash(m.to)); err != nil {
		return fmt.Errorf("move '%s': %w", p.Show(m.from), err)
	}
	s, out := m.new, m.new.Outs[0]
	tree, err := p.cacheOf(&s.Data.Outs[0].Entry).Hasher().Hash(ctx, p.Abs(m.to), p.dvcignoreBelow(m.to))
	if err != nil {
		return err
	}
	if out.Cache {
		if err := p.cacheOf(&s.Data.Outs[0].Entry).Commit(ctx, p.Abs(m.to), tree, storage.CommitOptions{Root: p.Root}); err != nil {
			return err
		}
		if err := p.ignorePath(m.to); err != nil {
			return err
		}
	}
	old := s.Data.Outs[0].Entry
	e := newEntry(old.Path, tree)
	e.Hash, e.Extra = old.Hash, old.Extra
	s.Data.Outs[0].Entry = e
	if s.Data.MD5 != "" {
		s.Data.MD5 = s.Data.Checksum()
	}
	if err := p.writeData(s); err != nil {
		return err
	}
	if !m.movedStage {
		return nil
	}
	p.touched(m.old.File)
	if err := os.Remove(p.Abs(m.old.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
