package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// Move renames tracked data, with the .dvc file that is named after it. Only
// data that was added or imported can be moved: what a stage makes is named in
// its dvc.yaml. A destination that is a folder, or ends with a slash, takes the
// data in. Folders on the way are made; DVC refuses then.
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
	m, err := p.planMove(ctx, ix, from, to)
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
	begun      *Stage // what an earlier call that was killed has left of new; nil: nothing
	away       bool   // that call has moved the data
}

func (p *Project) planMove(ctx context.Context, ix *Index, from, to string) (move, error) {
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
		return m, errs.Hint(errs.New(errs.NotFound, "'%s' is not tracked data", from), "ctrx list . --dvc-only shows what is; to track it: ctrx add %s", errs.Arg(from))
	}
	m.old = found[0]
	m.movedStage = path.Base(m.old.File) == path.Base(m.from)+".dvc"
	if err := p.findBegun(ctx, ix, &m); err != nil {
		return m, err
	}
	info, err := os.Stat(p.Abs(m.to))
	if folder := strings.HasSuffix(filepath.ToSlash(to), "/") && fsx.Missing(err) || err == nil && info.IsDir(); folder && !m.away {
		m.to = path.Join(m.to, path.Base(m.from))
		if err := p.findBegun(ctx, ix, &m); err != nil {
			return m, err
		}
	}
	df := *m.old.Data
	file := m.old.File
	if m.movedStage {
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

// findBegun looks for what a killed Move has left: data that lies at one of the
// two places, and the records of both, or one record and the data that it means
// at the other place.
func (p *Project) findBegun(ctx context.Context, ix *Index, m *move) error {
	_, fromErr := os.Lstat(p.Abs(m.from))
	_, toErr := os.Lstat(p.Abs(m.to))
	gone, there := errors.Is(fromErr, fs.ErrNotExist), toErr == nil
	recorded := m.old.Outs[0].Recorded
	if gone != there || recorded == nil || recorded.Digest == "" {
		return nil
	}
	if !m.movedStage {
		if !gone || len(ix.filter(func(s *Stage) bool { return s.makes(m.to) })) > 0 {
			return nil
		}
		tree, err := p.cacheOf(recorded).Hasher().Hash(ctx, p.Abs(m.to), p.dvcignoreBelow(m.to))
		if err == nil && tree.Digest == recorded.Digest {
			m.away = true
		}
		return err
	}
	for _, s := range ix.filter(func(s *Stage) bool {
		return s.File == m.to+".dvc" && s.IsData() && len(s.Outs) == 1 && s.Outs[0].Rel == m.to
	}) {
		if r := s.Outs[0].Recorded; r != nil && r.Digest == recorded.Digest && r.Hash == recorded.Hash {
			m.begun, m.away = s, gone
		}
	}
	return nil
}

// checkMove refuses what cannot be done, before anything is.
func (p *Project) checkMove(ix *Index, m move) error {
	if inside(m.to, m.from) {
		return errs.New(errs.Usage, "'%s' cannot be moved into itself", p.Show(m.from))
	}
	if err := p.checkOutputPlace(m.to); err != nil {
		return err
	}
	if _, err := os.Lstat(p.Abs(m.from)); err != nil && !m.away {
		return errs.Hint(errs.New(errs.DataMissing, "'%s' is not in the work tree", p.Show(m.from)), "ctrx checkout %s", errs.Arg(p.Show(m.from)))
	}
	for at, expected := range map[string]bool{m.to: m.away, m.new.File: m.begun != nil || m.new.File == m.old.File} {
		if _, err := os.Lstat(p.Abs(at)); err == nil && !expected {
			return errs.New(errs.Conflict, "'%s' already exists", p.Show(at))
		}
	}
	if p.dvcignore.Ignored(m.to, false) {
		return errs.New(errs.Usage, "Path '%s' is ignored by .dvcignore", p.Show(m.to))
	}
	rest := ix.filter(func(s *Stage) bool { return s != m.old && s != m.begun })
	if _, err := NewGraph(append(slices.Clip(rest), m.old)); err != nil { // another record of the data would stay behind
		return err
	}
	_, err := NewGraph(append(rest, m.new))
	return err
}

// doMove brings the old record up to date, writes the new one, moves the data, and
// takes the old record away last. So there is a record of the data at any time,
// and a second call finds by the two records what is left to do.
func (p *Project) doMove(ctx context.Context, m move) error {
	if !m.away {
		if err := p.recordMoved(ctx, m.old, m.from); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.FromSlash(path.Dir(m.to)), 0o777); err != nil {
		return fmt.Errorf("move to '%s': %w", p.Show(m.to), fsx.FullDisk(err))
	}
	if m.movedStage && !m.away {
		out := &m.new.Data.Outs[0]
		out.Entry = entryAt(out.Path, m.old.Data.Outs[0].Entry)
		if err := p.writeMoved(m.new); err != nil {
			return err
		}
	}
	if !m.away {
		if err := root.Rename(filepath.FromSlash(m.from), filepath.FromSlash(m.to)); err != nil {
			return fmt.Errorf("move '%s': %w", p.Show(m.from), err)
		}
	}
	// Another .dvcignore may hold there.
	if err := p.recordMoved(ctx, m.new, m.to); err != nil {
		return err
	}
	if m.new.Outs[0].Cache {
		if err := p.ignorePath(m.to); err != nil {
			return err
		}
	}
	if err := p.stopIgnoring(m.from); err != nil {
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

// recordMoved stores the data of a stage as it lies at rel, and records it.
func (p *Project) recordMoved(ctx context.Context, s *Stage, rel string) error {
	out := &s.Data.Outs[0]
	cache := p.cacheOf(&out.Entry)
	tree, err := cache.Hasher().Hash(ctx, p.Abs(rel), p.dvcignoreBelow(rel))
	if err != nil {
		return err
	}
	if s.Outs[0].Cache {
		if err := cache.Commit(ctx, p.Abs(rel), tree, storage.CommitOptions{Root: p.Root}); err != nil {
			return err
		}
	}
	e := newEntry(out.Path, tree)
	e.Hash, e.Extra = out.Hash, out.Extra
	out.Entry = e
	return p.writeMoved(s)
}

func (p *Project) writeMoved(s *Stage) error {
	if s.Data.MD5 != "" {
		s.Data.MD5 = s.Data.Checksum()
	}
	return p.writeData(s)
}

// entryAt is an entry with another path.
func entryAt(path string, e dvcfile.Entry) dvcfile.Entry {
	e.Path = path
	return e
}
