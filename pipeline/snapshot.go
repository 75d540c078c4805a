package pipeline

import (
	"context"

	"ctrx/pipeline/dvcfile"
)

// Snapshot is what a source says of its parameters, results and data, as
// `exp show` compares them.
type Snapshot struct {
	Params, Metrics []FileValues
	Deps            []RecordedPath // files and folders only: no parameters, no URLs of imports
	Outs            []RecordedOutput
}

// RecordedPath is a path with what dvc.lock or a .dvc file recorded of it.
type RecordedPath struct {
	Path     string         // rel path, or as written for what lies elsewhere
	Recorded *dvcfile.Entry // nil when nothing
}

// RecordedOutput is an output that is neither a metrics nor a plots file.
type RecordedOutput struct {
	RecordedPath
	Cached bool // DVC keeps the content
	Source bool // the output of a .dvc file
}

// Snapshot reads what an index's source holds. Files that cannot be read are
// listed with their errors. With paramDeps only the parameters that stages
// depend on are read.
func (p *Project) Snapshot(ctx context.Context, ix *Index, paramDeps bool) (Snapshot, error) {
	var s Snapshot
	var err error
	if s.Params, err = p.Params(ctx, ix, ParamsOptions{DepsOnly: paramDeps, Nested: true}); err != nil {
		return s, err
	}
	if s.Metrics, err = p.Metrics(ctx, ix, nil); err != nil {
		return s, err
	}
	deps, outs := map[string]int{}, map[string]int{}
	for _, stage := range ix.Stages {
		for _, d := range stage.Deps {
			if d.fromElsewhere() {
				continue
			}
			path := d.Rel
			if path == "" {
				path = d.Path
			}
			put(&s.Deps, deps, path, RecordedPath{path, d.Recorded})
		}
		for _, o := range stage.Outs {
			if o.Kind == dvcfile.Metric || o.Kind == dvcfile.Plot {
				continue
			}
			put(&s.Outs, outs, o.Rel, RecordedOutput{RecordedPath{o.Rel, o.Recorded}, o.Cache, stage.IsData()})
		}
	}
	return s, nil
}

// put sets what a path says; the later of two wins and keeps the earlier's
// place, as in a Python dictionary.
func put[T any](list *[]T, at map[string]int, path string, v T) {
	if i, ok := at[path]; ok {
		(*list)[i] = v
		return
	}
	at[path] = len(*list)
	*list = append(*list, v)
}

// fromElsewhere tells whether the dependency is one of another repository, a
// dataset or a database.
func (d *Dependency) fromElsewhere() bool {
	if d.Recorded == nil {
		return false
	}
	for _, key := range []string{"repo", "dataset", "db"} {
		if _, ok := d.Recorded.Extra.Get(key); ok {
			return true
		}
	}
	return false
}
