package pipeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
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
	files, err := p.pick(files, targets)
	if err != nil {
		return nil, err
	}
	var all []FileValues
	for _, rel := range files {
		members, err := p.membersOf(ctx, ix, rel)
		if err != nil {
			all = append(all, FileValues{Path: rel, Err: err})
			continue
		}
		for _, m := range members {
			all = append(all, p.readValues(ctx, ix, m))
		}
	}
	return all, nil
}

// pick narrows files to the targets of the command line, which may also name
// files that no stage declares.
func (p *Project) pick(files, targets []string) ([]string, error) {
	if len(targets) == 0 {
		return files, nil
	}
	var picked []string
	for _, t := range targets {
		rel, err := p.Rel(t)
		if err != nil {
			return nil, err
		}
		picked = append(picked, rel)
	}
	return picked, nil
}

// ParamsOptions narrows what Params reads.
type ParamsOptions struct {
	Targets  []string
	DepsOnly bool // only what stages depend on
	// Nested keeps selected keys where they are in the file ({"a": {"b": 1}}
	// instead of {"a.b": 1}).
	Nested bool
}

// Params reads the parameters of an index: those that stages depend on and,
// without DepsOnly, whole files: those listed at the top of a dvc.yaml and
// params.yaml of the project root. Values that ${} took from other files come
// last.
func (p *Project) Params(ctx context.Context, ix *Index, o ParamsOptions) ([]FileValues, error) {
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
	files, err := p.pick(order, o.Targets)
	if err != nil {
		return nil, err
	}
	all := make([]FileValues, 0, len(files))
	for _, rel := range files {
		fv := FileValues{Path: rel}
		data, err := p.readTracked(ctx, ix, rel)
		if err == nil {
			var values *dvcfile.Map
			if values, err = dvcfile.ReadParams(rel, data); err == nil {
				if wanted := keys[rel]; len(wanted) > 0 {
					values = selectKeys(values, wanted, o.Nested)
				}
				fv.Values = values
			}
		}
		fv.Err = err
		all = append(all, fv)
	}
	if len(o.Targets) == 0 && o.Nested {
		all = append(all, trackedVars(ix, keys)...)
	}
	return all, nil
}

// trackedVars gives the values that ${} took from files which are not listed
// otherwise.
func trackedVars(ix *Index, listed map[string][]string) []FileValues {
	var all []FileValues
	for _, s := range ix.Stages {
		for i := range s.Vars.Len() {
			rel, used := s.Vars.At(i)
			if _, ok := listed[rel]; ok {
				continue
			}
			at := slices.IndexFunc(all, func(f FileValues) bool { return f.Path == rel })
			if at < 0 {
				at = len(all)
				all = append(all, FileValues{Path: rel, Values: &dvcfile.Map{}})
			}
			values, _ := used.(*dvcfile.Map)
			for j := range values.Len() {
				key, v := values.At(j)
				all[at].Values.(*dvcfile.Map).Set(key, v)
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

func (p *Project) readValues(ctx context.Context, ix *Index, rel string) FileValues {
	fv := FileValues{Path: rel}
	data, err := p.readTracked(ctx, ix, rel)
	if err == nil {
		fv.Values, err = dvcfile.ReadData(rel, data)
	}
	if fv.Err = err; err != nil {
		fv.Values = nil
	}
	return fv
}

// readTracked reads a file of the source, or from the cache where the source
// lacks it and DVC holds the content.
func (p *Project) readTracked(ctx context.Context, ix *Index, rel string) ([]byte, error) {
	data, err := ix.Source.ReadFile(rel)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	_, live := ix.Source.(workTree)
	f, err := p.openRecorded(ctx, ix, rel)
	if live && errs.KindOf(err) == errs.NotFound {
		return nil, errs.New(errs.NotFound, "%s does not exist", p.Show(rel))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.New(errs.DataMissing, "%s of that revision is not in the cache", p.Show(rel)), "ctrx fetch --all-commits")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
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
	return nil, errs.New(errs.NotFound, "%s does not exist in that revision", p.Show(rel))
}

// membersOf gives the files of a folder that is listed as metrics or plots, or
// the file itself.
func (p *Project) membersOf(ctx context.Context, ix *Index, rel string) ([]string, error) {
	if _, live := ix.Source.(workTree); live {
		return p.workFiles(ctx, rel)
	}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Rel == rel && o.Recorded != nil && o.Recorded.Digest.IsDir() {
				dir, err := p.recordedDir(ctx, o)
				if err != nil {
					return nil, err
				}
				var files []string
				for _, e := range dir {
					files = append(files, path.Join(rel, e.RelPath))
				}
				return files, nil
			}
		}
	}
	return []string{rel}, nil
}

// workFiles lists the regular files at or below a rel path of the work tree.
func (p *Project) workFiles(ctx context.Context, rel string) ([]string, error) {
	info, err := os.Stat(p.Abs(rel))
	if err != nil || !info.IsDir() {
		return []string{rel}, nil
	}
	var files []string
	err = fs.WalkDir(os.DirFS(p.Abs(rel)), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !isStageFile(d.Name()) && d.Name() != "dvc.lock" {
			files = append(files, path.Join(rel, name))
		}
		return errors.Join(err, ctx.Err())
	})
	return files, err
}
