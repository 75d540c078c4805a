package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// runCacheable tells whether a stage's result depends on what it declares
// only, so that the run cache may stand in for running it (dvc-compat 6).
func (s *Stage) runCacheable() bool {
	if s.IsCallback() || s.AlwaysChanged || !s.hasCommand() || len(s.Outs) == 0 || len(s.Deps)+len(s.Params) == 0 {
		return false
	}
	return !slices.ContainsFunc(s.Deps, func(d *Dependency) bool { return d.Rel == "" }) &&
		!slices.ContainsFunc(s.Outs, func(o *Output) bool { return o.Persist || !insideProject(o.Rel) })
}

// savesRunCache tells whether a finished run of the stage enters the run cache.
func (s *Stage) savesRunCache() bool {
	plainUncached := func(o *Output) bool { return !o.Cache && o.Kind == dvcfile.Out }
	return s.runCacheable() && !slices.ContainsFunc(s.Outs, plainUncached)
}

func insideProject(rel string) bool {
	return !filepath.IsAbs(rel) && rel != ".." && !hasParentPrefix(rel)
}

func hasParentPrefix(rel string) bool { return len(rel) >= 3 && rel[:3] == "../" }

// observe hashes the dependencies and reads the parameters of a stage: what
// dvc.lock would record of its inputs, with the bare paths of its outputs.
func (p *Project) observe(ctx context.Context, s *Stage) (*dvcfile.StageLock, error) {
	entry := &dvcfile.StageLock{Cmd: s.Cmd}
	for _, d := range s.Deps {
		if d.Rel == "" {
			e, err := p.urlEntry(ctx, d)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, errs.NewAt(errs.NotFound, d.Pos, "dependency '%s' does not exist", d.Path)
			}
			if err != nil {
				return nil, err
			}
			entry.Deps = append(entry.Deps, e)
			continue
		}
		e, _, err := p.observeEntry(ctx, d.Path, d.Rel, d.Recorded)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, p.missingDependency(d)
		}
		if err != nil {
			return nil, fmt.Errorf("hash dependency '%s': %w", d.Path, err)
		}
		entry.Deps = append(entry.Deps, e)
	}
	for _, pd := range s.Params {
		values, err := p.observeParams(s, pd)
		if err != nil {
			return nil, err
		}
		if entry.Params == nil {
			entry.Params = &dvcfile.Map{}
		}
		entry.Params.Set(pd.File, values)
	}
	for _, o := range s.Outs {
		entry.Outs = append(entry.Outs, dvcfile.Entry{Path: o.Path})
	}
	return entry, nil
}

// observeEntry hashes what lies at a rel path that is written in the stage as
// path. What DVC 2 recorded stays as DVC 2 wrote it while its content is the same.
func (p *Project) observeEntry(ctx context.Context, path, rel string, recorded *dvcfile.Entry) (dvcfile.Entry, storage.Tree, error) {
	if recorded != nil && recorded.Hash == "" && recorded.Digest != "" {
		tree, err := p.cacheOf(recorded).Hasher().Hash(ctx, p.Abs(rel), p.dvcignoreBelow(rel))
		if err != nil {
			return dvcfile.Entry{}, tree, err
		}
		if tree.Matches(recorded.Digest) {
			e := newEntry(path, tree)
			e.Hash = ""
			return e, tree, nil
		}
	}
	tree, err := p.hash(ctx, rel)
	return newEntry(path, tree), tree, err
}

func (p *Project) missingDependency(d *Dependency) error {
	err := errs.NewAt(errs.NotFound, d.Pos, "dependency '%s' does not exist", d.Path)
	if _, statErr := os.Stat(p.Abs(d.Rel + ".dvc")); statErr == nil {
		return errs.Hint(err, "ctrx pull %s", errs.Arg(p.Show(d.Rel)))
	}
	return errs.Hint(err, "create %s, or take it out of the stage's deps", p.Show(d.Rel))
}

func newEntry(path string, t storage.Tree) dvcfile.Entry {
	return dvcfile.NewEntry(path, t.Digest, t.Meta)
}

// restorable looks for an earlier result of the stage: the lock itself when
// only outputs differ, else the newest entry of the run cache. It gives nil
// when there is none, or when objects of it are missing from the cache.
func (p *Project) restorable(ctx context.Context, s *Stage, changes []Change, useRunCache bool) (*dvcfile.StageLock, error) {
	if !s.runCacheable() {
		return nil, nil
	}
	var entry *dvcfile.StageLock
	if s.recordedWhole() && onlyOutputs(changes) {
		entry = s.Lock
	} else if useRunCache {
		seen, err := p.observe(ctx, s)
		if err != nil {
			if errs.KindOf(err) == errs.NotFound {
				return nil, nil // running the stage says what is missing
			}
			return nil, err
		}
		if entry, err = p.lookupRunCache(seen); err != nil {
			return nil, err
		}
	}
	if entry == nil || !entryCovers(entry, s) {
		return nil, nil
	}
	for _, o := range entry.Outs {
		if have, err := p.cacheOf(&o).HasTree(ctx, o.Digest); err != nil || !have {
			return nil, err
		}
	}
	return entry, nil
}

func (s *Stage) recordedWhole() bool {
	return s.Lock != nil && !slices.ContainsFunc(s.Outs, func(o *Output) bool { return o.Recorded == nil })
}

func onlyOutputs(changes []Change) bool {
	return !slices.ContainsFunc(changes, func(c Change) bool { return c.Kind != OutputChanged })
}

// entryCovers tells whether an entry has exactly the outputs of the stage.
func entryCovers(e *dvcfile.StageLock, s *Stage) bool {
	return len(e.Outs) == len(s.Outs) &&
		!slices.ContainsFunc(s.Outs, func(o *Output) bool { return findEntry(e.Outs, o.Path) == nil })
}

func (p *Project) runCacheDir(key string) string {
	return filepath.Join(p.Cache.Dir(), "runs", key[:2], key)
}

// lookupRunCache finds the newest result recorded for these inputs. A broken
// entry is removed with a warning, as DVC does.
func (p *Project) lookupRunCache(seen *dvcfile.StageLock) (*dvcfile.StageLock, error) {
	key, _ := seen.RunCacheKeys()
	dir := p.runCacheDir(key)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read run cache: %w", err)
	}
	newest, newestTime := "", int64(0)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // left by a process that was killed while it wrote an entry
		}
		if info, err := e.Info(); err == nil && (newest == "" || info.ModTime().UnixNano() > newestTime) {
			newest, newestTime = e.Name(), info.ModTime().UnixNano()
		}
	}
	if newest == "" {
		return nil, nil
	}
	return p.readRunCache(filepath.Join(dir, newest))
}

// readRunCache reads an entry; nil where another process has just removed it, or
// where it is broken.
func (p *Project) readRunCache(name string) (*dvcfile.StageLock, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read run cache: %w", err)
	}
	v, err := dvcfile.ParseYAML(name, data)
	var entry *dvcfile.StageLock
	if err == nil {
		entry, err = dvcfile.ParseStageLock(errs.Pos{File: name}, v)
	}
	if err != nil {
		p.Warn("corrupted cache file '%s'.", name)
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, nil
	}
	return entry, nil
}

// saveRunCache enters a finished run. An entry that is already there stays.
func (p *Project) saveRunCache(entry *dvcfile.StageLock) error {
	key, value := entry.RunCacheKeys()
	name := filepath.Join(p.runCacheDir(key), value)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return fmt.Errorf("write run cache: %w", err)
	}
	// An entry that a power cut emptied is found broken, and dropped, by whoever
	// reads it; flushing each would cost more than many a stage.
	return fsx.WriteFileAs(name, dvcfile.EmitYAML(entry.Value()), 0o666, fsx.Fast)
}
