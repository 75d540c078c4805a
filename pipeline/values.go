package pipeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// FileValues is the content of one metrics or params file.
type FileValues struct {
	Path   string       // rel path
	Values *dvcfile.Map // nil when Err is set
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
}

// Params reads the parameters of an index: those that stages depend on and,
// without DepsOnly, whole files: params.yaml of the project root and those
// listed at the top of a dvc.yaml.
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
	if !o.DepsOnly {
		if _, err := ix.Source.ReadFile("params.yaml"); err == nil {
			add("params.yaml", nil)
		}
		for _, pl := range ix.Pipelines {
			for _, f := range pl.Params {
				add(path.Join(path.Dir(pl.File), f), nil)
			}
		}
	}
	for _, s := range ix.Stages {
		for _, pd := range s.Params {
			add(pd.Rel, pd.Keys)
		}
	}
	files, err := p.pick(order, o.Targets)
	if err != nil {
		return nil, err
	}
	all := make([]FileValues, 0, len(files))
	for _, rel := range files {
		fv := p.readValues(ctx, ix, rel)
		if wanted := keys[rel]; fv.Err == nil && len(wanted) > 0 {
			fv.Values = selectKeys(fv.Values, wanted)
		}
		all = append(all, fv)
	}
	return all, nil
}

func selectKeys(values *dvcfile.Map, keys []string) *dvcfile.Map {
	selected := &dvcfile.Map{}
	for _, k := range keys {
		if v, ok := dvcfile.Lookup(values, k); ok {
			selected.Set(k, v)
		}
	}
	return selected
}

func (p *Project) readValues(ctx context.Context, ix *Index, rel string) FileValues {
	fv := FileValues{Path: rel}
	data, err := p.readTracked(ctx, ix, rel)
	if err != nil {
		fv.Err = err
		return fv
	}
	fv.Values, fv.Err = dvcfile.ReadParams(rel, data)
	return fv
}

// readTracked reads a file of the source, or what was recorded of it from the
// cache.
func (p *Project) readTracked(ctx context.Context, ix *Index, rel string) ([]byte, error) {
	data, err := ix.Source.ReadFile(rel)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	f, err := p.openRecorded(ctx, ix, rel)
	if _, live := ix.Source.(workTree); live && err != nil {
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
// the file itself. A folder that is not there has the members that were
// recorded.
func (p *Project) membersOf(ctx context.Context, ix *Index, rel string) ([]string, error) {
	files, err := p.filesOf(ctx, ix.Source, rel)
	if err != nil || len(files) > 0 {
		return files, err
	}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Recorded == nil || !o.Cache || !o.Recorded.Digest.IsDir() || !inside(rel, o.Rel) {
				continue
			}
			dir, err := p.recordedDir(ctx, o)
			if err != nil {
				return nil, err
			}
			for _, e := range dir {
				if member := path.Join(o.Rel, e.RelPath); inside(member, rel) {
					files = append(files, member)
				}
			}
		}
	}
	if len(files) == 0 {
		files = []string{rel}
	}
	return files, nil
}

// filesOf is Files of a source for any rel path. Outside the project there is
// the path itself.
func (p *Project) filesOf(ctx context.Context, src Source, rel string) ([]string, error) {
	if !insideProject(rel) {
		return []string{rel}, nil
	}
	return src.Files(ctx, rel)
}
