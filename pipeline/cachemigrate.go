package pipeline

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// MigrateCache gives every object of DVC 2's layout its place in DVC 3's, under
// the MD5 of its bytes. The old places stay, as hard links where the file system
// has them. It gives the number of objects that are new there, with dry that of
// all that would be looked at. As in DVC, lists of folders are taken as they are:
// they still name their files by the old hashes, until MigrateFiles.
func (p *Project) MigrateCache(ctx context.Context, dry bool) (int, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	objects, err := p.Cache.Legacy().Unused(ctx, func(storage.Digest) bool { return false })
	if err != nil || dry {
		return len(objects), err
	}
	var added atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, o := range objects {
		g.Go(func() error {
			isNew, err := p.migrateObject(gctx, o)
			if isNew {
				added.Add(1)
			}
			if err != nil {
				return fmt.Errorf("migrate %s: %w", o.Path, err)
			}
			return nil
		})
	}
	err = g.Wait()
	return int(added.Load()), err
}

func (p *Project) migrateObject(ctx context.Context, o storage.StoredObject) (isNew bool, err error) {
	f, err := os.Open(o.Path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	d := storage.Digest(hex.EncodeToString(sum.Sum(nil)))
	if o.Digest.IsDir() {
		d += ".dir"
	}
	if have, err := p.Cache.Has(ctx, d); have || err != nil {
		return false, err
	}
	to := p.Cache.Path(d)
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return false, err
	}
	if err := os.Link(o.Path, to); err == nil || errors.Is(err, fs.ErrExist) {
		return err == nil, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	return true, p.Cache.Put(ctx, d, f)
}

// MigrateFiles records all outputs and dependencies that DVC 2 recorded anew,
// with DVC 3's hashes. What is not in the work tree stays as it is. It gives the
// rel paths of the stage files, "dvc.yaml (dvc.lock)" for pipelines; with dry it
// changes none.
func (p *Project) MigrateFiles(ctx context.Context, dry bool) ([]string, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, s := range ix.Stages {
		if !s.recordedByDVC2() {
			continue
		}
		name := p.Show(s.File)
		if !s.IsData() {
			name += " (" + p.Show(s.LockFile()) + ")"
		}
		if !slices.Contains(files, name) {
			files = append(files, name)
		}
		if dry {
			continue
		}
		if err := p.migrateStage(ctx, s); err != nil {
			return nil, fmt.Errorf("migrate %s: %w", s.Address(p.Dir), err)
		}
	}
	slices.Sort(files)
	return files, nil
}

// recordedByDVC2 tells whether a stage has an entry without a hash's name.
func (s *Stage) recordedByDVC2() bool {
	old := func(e *dvcfile.Entry) bool { return e != nil && e.Digest != "" && e.Hash == "" }
	for _, o := range s.Outs {
		if o.Cache && old(o.Recorded) {
			return true
		}
	}
	for _, d := range s.Deps {
		if !s.isImport() && d.Rel != "" && insideProject(d.Rel) && old(d.Recorded) {
			return true
		}
	}
	return false
}

func (p *Project) migrateStage(ctx context.Context, s *Stage) error {
	if err := checkPlaces([]*Stage{s}); err != nil {
		return err
	}
	for _, o := range s.Outs {
		if _, err := os.Lstat(p.Abs(o.Rel)); fsx.Missing(err) {
			p.Warn("'%s' is not in the work tree: its entry stays as it is", p.Show(o.Rel))
			return nil
		}
	}
	for _, o := range s.Outs {
		o.Recorded = nil // nothing to keep to
	}
	for _, d := range s.Deps {
		if !s.isImport() {
			d.Recorded = nil
		}
	}
	entry, err := p.settled(ctx, s, commitMode{})
	if err != nil {
		return err
	}
	return p.record(s, entry, "")
}
