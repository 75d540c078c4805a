package pipeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// FileValues is the content of one metrics or params file.
type FileValues struct {
	Path string // rel path
	// Values is a mapping in nearly all files; a metrics file may be any value.
	// It is nil when Err is set.
	Values dvcfile.Value
	Err    error
}

// Metrics reads every metrics file of an index: metrics outputs of stages and
// the files listed at the top of a dvc.yaml. With targets, only those files.
func (p *Project) Metrics(ctx context.Context, ix *Index, targets []string) ([]FileValues, error) {
	var files []string
	seen := map[string]bool{}
	add := func(rel string) {
		if !seen[rel] {
			seen[rel] = true
			files = append(files, rel)
		}
	}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Kind == dvcfile.Metric {
				add(o.Rel)
			}
		}
	}
	for _, pl := range ix.Pipelines {
		for _, m := range pl.Metrics {
			add(path.Join(path.Dir(pl.File), m))
		}
	}
	if len(targets) > 0 {
		files = nil
		for _, t := range targets {
			rel, err := p.Rel(t)
			if err != nil {
				return nil, err
			}
			files = append(files, rel)
		}
	}
	return p.readAll(ctx, ix, files, readAnything), nil
}

// readContent reads the content of member, which is a listed file or one in a
// listed folder.
type readContent func(listed, member string, data []byte) (dvcfile.Value, error)

func readAnything(_, member string, data []byte) (dvcfile.Value, error) {
	return dvcfile.ReadData(member, data)
}

// readParams reads files of parameters. keys narrows what is taken of a listed
// file; one that it does not name is taken whole.
func readParams(keys map[string][]string, nested bool) readContent {
	return func(listed, member string, data []byte) (dvcfile.Value, error) {
		values, err := dvcfile.ReadParams(member, data)
		if err != nil {
			return nil, err
		}
		if wanted := keys[listed]; len(wanted) > 0 {
			values = selectKeys(values, wanted, nested)
		}
		return values, nil
	}
}

// readAll reads files, and of a folder every file in it.
func (p *Project) readAll(ctx context.Context, ix *Index, files []string, read readContent) []FileValues {
	var all []FileValues
	for _, rel := range files {
		members, err := p.membersOf(ctx, ix, rel)
		if err != nil {
			all = append(all, FileValues{Path: rel, Err: err})
			continue
		}
		for _, m := range members {
			all = append(all, p.readValues(ctx, ix, rel, m, read))
		}
	}
	return all
}

// ParamsOptions narrows what Params reads.
type ParamsOptions struct {
	// Targets are files to read whole, whoever declares them. Like DVC's they
	// are relative to the project root; where there is no such file, to the
	// current folder.
	Targets  []string
	DepsOnly bool // without Targets: only what stages depend on
	// Nested keeps selected keys where they are in the file ({"a": {"b": 1}}
	// instead of {"a.b": 1}).
	Nested bool
}

// Params reads the parameters of an index: those that stages depend on and,
// without DepsOnly, whole files: those listed at the top of a dvc.yaml and
// params.yaml of the project root. Of other files come, last, the values that
// templates of a dvc.yaml use.
func (p *Project) Params(ctx context.Context, ix *Index, o ParamsOptions) ([]FileValues, error) {
	if len(o.Targets) > 0 {
		files, err := p.paramsTargets(ix, o.Targets)
		return p.readAll(ctx, ix, files, readParams(nil, o.Nested)), err
	}
	keys := map[string][]string{} // nil slice: the whole file
	var order []string
	add := func(rel string, ks []string) {
		old, seen := keys[rel]
		switch {
		case !seen:
			order = append(order, rel)
			keys[rel] = ks
		case len(old) > 0 && len(ks) > 0:
			keys[rel] = append(old, ks...)
		default:
			keys[rel] = nil
		}
	}
	for _, s := range ix.Stages {
		for _, pd := range s.Params {
			add(pd.Rel, pd.Keys)
		}
	}
	if !o.DepsOnly {
		for _, pl := range ix.Pipelines {
			for _, f := range pl.Params {
				add(path.Join(path.Dir(pl.File), f), nil)
			}
		}
		if _, err := ix.Source.ReadFile(dvcfile.DefaultParamsFile); err == nil {
			add(dvcfile.DefaultParamsFile, nil)
		}
	}
	return append(p.readAll(ctx, ix, order, readParams(keys, o.Nested)), usedVars(ix, keys)...), nil
}

func (p *Project) paramsTargets(ix *Index, targets []string) ([]string, error) {
	var files []string
	for _, t := range targets {
		rel, err := p.Rel(t)
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(t) {
			fromRoot := strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(t)), "/")
			if fromRoot == "" {
				fromRoot = "."
			}
			if there, err := exists(ix.Source, rel); err != nil {
				return nil, err
			} else if atRoot, err := exists(ix.Source, fromRoot); err != nil {
				return nil, err
			} else if atRoot || !there {
				rel = fromRoot
			}
		}
		files = append(files, rel)
	}
	return files, nil
}

func exists(src Source, rel string) (bool, error) {
	_, err := src.Files(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// usedVars gives the values of files that the templates of stages use, without
// the files that are read anyway.
func usedVars(ix *Index, read map[string][]string) []FileValues {
	var all []FileValues
	at := map[string]int{}
	for _, s := range ix.Stages {
		for _, rel := range s.Vars.Keys() {
			if _, ok := read[rel]; ok {
				continue
			}
			i, seen := at[rel]
			if !seen {
				i = len(all)
				at[rel] = i
				all = append(all, FileValues{Path: rel, Values: &dvcfile.Map{}})
			}
			used, _ := s.Vars.Get(rel)
			values, into := used.(*dvcfile.Map), all[i].Values.(*dvcfile.Map)
			for n := range values.Len() {
				into.Set(values.At(n))
			}
		}
	}
	return all
}

// selectKeys picks parameters by their dotted paths.
func selectKeys(values *dvcfile.Map, keys []string, nested bool) *dvcfile.Map {
	selected := &dvcfile.Map{}
	for _, k := range keys {
		v, ok := dvcfile.Lookup(values, k)
		switch {
		case !ok:
		case nested:
			setNested(selected, k, v)
		default:
			selected.Set(k, v)
		}
	}
	return selected
}

// setNested sets a value below the mappings that its dotted path names. One
// that is there is completed where both are mappings.
func setNested(m *dvcfile.Map, key string, v dvcfile.Value) {
	first, rest, deeper := strings.Cut(key, ".")
	old, _ := m.Get(first)
	below, isMap := old.(*dvcfile.Map)
	if !deeper {
		if more, ok := v.(*dvcfile.Map); ok && isMap {
			for i := range more.Len() {
				k, item := more.At(i)
				below.Set(k, item)
			}
			return
		}
		m.Set(first, dvcfile.Clone(v))
		return
	}
	if !isMap {
		below = &dvcfile.Map{}
		m.Set(first, below)
	}
	setNested(below, rest, v)
}

func (p *Project) readValues(ctx context.Context, ix *Index, listed, member string, read readContent) FileValues {
	fv := FileValues{Path: member}
	data, err := p.readTracked(ctx, ix, member)
	if err == nil {
		fv.Values, err = read(listed, member, data)
	}
	if fv.Err = err; err != nil {
		fv.Values = nil
	}
	return fv
}

// readTracked reads a file of the source, or from the cache where DVC holds the
// content of it.
func (p *Project) readTracked(ctx context.Context, ix *Index, rel string) ([]byte, error) {
	data, err := ix.Source.ReadFile(rel)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	f, err := p.openRecorded(ctx, ix, rel)
	if err != nil {
		return nil, p.unreadable(ix, rel, err)
	}
	defer f.Close()
	return io.ReadAll(f)
}

// unreadable says why a file of an index cannot be read. What DVC holds is missing
// data; other files do not exist.
func (p *Project) unreadable(ix *Index, rel string, err error) error {
	_, live := ix.Source.(workTree)
	switch {
	case !errors.Is(err, fs.ErrNotExist) && errs.KindOf(err) != errs.NotFound:
		return err
	case !ix.IsCachedOutput(rel) && live:
		return errs.New(errs.NotFound, "%s does not exist", p.Show(rel))
	case !ix.IsCachedOutput(rel):
		return errs.New(errs.NotFound, "%s does not exist in that revision", p.Show(rel))
	case live:
		return errs.New(errs.DataMissing, "%s does not exist", p.Show(rel))
	}
	return errs.Hint(errs.New(errs.DataMissing, "%s of that revision is not in the cache", p.Show(rel)), "ctrx fetch --all-commits")
}

// openRecorded opens the cached content of a file that is an output or lies in
// one.
func (p *Project) openRecorded(ctx context.Context, ix *Index, rel string) (*os.File, error) {
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Recorded == nil || !o.Cache || !inside(rel, o.Rel) {
				continue
			}
			cache := p.cacheOf(o.Recorded)
			if rel == o.Rel {
				return cache.Open(o.Recorded.Digest)
			}
			dir, err := cache.ReadDir(ctx, o.Recorded.Digest)
			if err != nil {
				return nil, err
			}
			digest, err := dir.Find(relFrom(o.Rel, rel))
			if err != nil {
				return nil, err
			}
			return cache.Open(digest)
		}
	}
	return nil, fs.ErrNotExist
}

// membersOf gives the files of a folder that is listed as metrics or params, or
// the file itself. Of a folder that is an output they are also those that are
// recorded and not in the tree.
func (p *Project) membersOf(ctx context.Context, ix *Index, rel string) ([]string, error) {
	if path.IsAbs(rel) || strings.HasPrefix(rel, "../") {
		return []string{rel}, nil
	}
	files, err := ix.Source.Files(rel)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(files) == 1 && files[0] == rel {
		return files, nil
	}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if !inside(rel, o.Rel) || !o.Cache || o.Recorded == nil || !o.Recorded.Digest.IsDir() {
				continue
			}
			dir, dirErr := p.recordedDir(ctx, o)
			if dirErr != nil {
				break
			}
			for _, e := range dir {
				if member := path.Join(o.Rel, e.RelPath); inside(member, rel) {
					files = append(files, member)
				}
			}
		}
	}
	if files == nil && err != nil {
		return []string{rel}, nil
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
