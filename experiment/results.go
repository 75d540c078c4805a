package experiment

import (
	"context"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

// params flattens the parameters files. A key that two files have is written
// file:key, as DVC's own listings do.
func (t *tracker) params(ctx context.Context) ([]tracking.Param, error) {
	files, err := t.project.Params(ctx, t.index, pipeline.ParamsOptions{})
	if err != nil {
		return nil, err
	}
	var all []tracking.Param
	err = eachValue(files, func(key string, v dvcfile.Value) {
		all = append(all, tracking.Param{Key: key, Value: paramText(v)})
	})
	return all, err
}

// paramText writes a value as Python's str does, which is what MLflow's own
// client logs.
func paramText(v dvcfile.Value) string {
	if s, ok := v.(string); ok {
		return s
	}
	return dvcfile.PyStr(v)
}

// eachValue visits the flattened values of files; broken files are errors.
func eachValue(files []pipeline.FileValues, visit func(key string, v dvcfile.Value)) error {
	return eachFileValue(files, func(_, key string, v dvcfile.Value) { visit(key, v) })
}

// eachFileValue is eachValue that tells the file, too.
func eachFileValue(files []pipeline.FileValues, visit func(file, key string, v dvcfile.Value)) error {
	count := map[string]int{}
	flat := make([]*dvcfile.Map, len(files))
	for i, f := range files {
		if f.Err != nil {
			if errs.KindOf(f.Err) == errs.NotFound {
				continue // the stage that needs it says so
			}
			return f.Err
		}
		flat[i] = dvcfile.Flatten(f.Values)
		for _, k := range flat[i].Keys() {
			count[k]++
		}
	}
	for i, f := range files {
		for _, k := range flat[i].Keys() {
			v, _ := flat[i].Get(k)
			if k == "" { // a file that is a single value
				k = f.Path
			} else if count[k] > 1 {
				k = f.Path + ":" + k
			}
			visit(f.Path, k, v)
		}
	}
	return nil
}

// metrics gives the last values of all metrics files and the histories of the
// plots files that have a step column, but for what was logged while the stages
// ran. A metrics file that cannot be read is warned about and left out.
func (t *tracker) metrics(ctx context.Context, ix *pipeline.Index, now time.Time) ([]tracking.Metric, error) {
	files, err := t.project.Metrics(ctx, ix, nil)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f pipeline.FileValues) bool {
		broken := f.Err != nil && errs.KindOf(f.Err) != errs.NotFound
		if broken { // no reason to lose the rest of a run that has ended
			t.project.Warn("no metrics of this file are recorded in MLflow: %v", f.Err)
		}
		return broken
	})
	all, err := t.points.values(files, now)
	if err != nil {
		return nil, err
	}
	plots, err := t.project.PlotFiles(ctx, ix)
	if err != nil {
		return nil, err
	}
	for _, rel := range plots {
		all = append(all, t.points.table(t.project.Abs(rel), rel, now)...)
	}
	return all, nil
}

func number(v dvcfile.Value) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case dvcfile.Int:
		f, err := strconv.ParseFloat(v.String(), 64)
		return f, err == nil
	case dvcfile.Float:
		return float64(v), true
	}
	return 0, false
}

// artifactFiles lists the files kept with the run: stage files, locks, params
// and metrics files, and pictures among the plots.
func (t *tracker) artifactFiles(ctx context.Context) ([]string, error) {
	var rels []string
	for _, s := range t.index.Stages {
		if s.IsData() {
			continue
		}
		rels = append(rels, s.File, s.LockFile())
		for _, pd := range s.Params {
			rels = append(rels, pd.Rel)
		}
		for _, o := range s.Outs {
			if o.Kind == dvcfile.Metric {
				rels = append(rels, o.Rel)
			}
		}
	}
	for _, pl := range t.index.Pipelines {
		for _, f := range slices.Concat(pl.Params, pl.Metrics) {
			rels = append(rels, path.Join(path.Dir(pl.File), f))
		}
	}
	rels = append(rels, "params.yaml")
	plots, err := t.project.PlotFiles(ctx, t.index)
	if err != nil {
		return nil, err
	}
	for _, rel := range plots {
		switch strings.ToLower(path.Ext(rel)) {
		case ".png", ".jpg", ".jpeg", ".gif", ".svg":
			rels = append(rels, rel)
		}
	}
	slices.Sort(rels)
	return slices.DeleteFunc(slices.Compact(rels), func(rel string) bool {
		info, err := os.Stat(t.project.Abs(rel))
		return err != nil || !info.Mode().IsRegular()
	}), nil
}
