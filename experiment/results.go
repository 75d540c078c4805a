package experiment

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
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
			visit(k, v)
		}
	}
	return nil
}

// metrics gives the last values of all metrics files and the histories of the
// plots files that have a step column.
func (t *tracker) metrics(ctx context.Context, ix *pipeline.Index, now time.Time) ([]tracking.Metric, error) {
	files, err := t.project.Metrics(ctx, ix, nil)
	if err != nil {
		return nil, err
	}
	var all []tracking.Metric
	err = eachValue(files, func(key string, v dvcfile.Value) {
		if f, ok := number(v); ok {
			all = append(all, tracking.Metric{Key: key, Value: f, Time: now})
		}
	})
	if err != nil {
		return nil, err
	}
	plots, err := t.project.PlotFiles(ctx, ix)
	if err != nil {
		return nil, err
	}
	for _, rel := range plots {
		all = append(all, t.history(rel, now)...)
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

// history reads the step column of a table of plot points; every other numeric
// column is the history of one metric. DVCLive's files, plots/metrics/a/b.tsv,
// hold the metric a/b.
func (t *tracker) history(rel string, now time.Time) []tracking.Metric {
	rows, err := readTable(t.project.Abs(rel))
	if err != nil || len(rows) == 0 {
		return nil // a plots file of another form, or none: the stage's own matter
	}
	header := rows[0]
	step := slices.Index(header, "step")
	if step < 0 {
		return nil
	}
	stamp := slices.Index(header, "timestamp")
	var all []tracking.Metric
	for _, row := range rows[1:] {
		n, err := strconv.ParseFloat(row[step], 64)
		if err != nil || n != math.Trunc(n) {
			continue
		}
		at := now
		if stamp >= 0 {
			if ms, err := strconv.ParseInt(row[stamp], 10, 64); err == nil {
				at = time.UnixMilli(ms)
			}
		}
		for i, cell := range row {
			if i == step || i == stamp {
				continue
			}
			if v, err := strconv.ParseFloat(cell, 64); err == nil {
				all = append(all, tracking.Metric{Key: historyKey(rel, header[i], len(header)), Value: v, Step: int64(n), Time: at})
			}
		}
	}
	return all
}

// historyKey names the metric of a column.
func historyKey(rel, column string, columns int) string {
	if _, metric, ok := strings.Cut(strings.TrimSuffix(rel, path.Ext(rel)), "plots/metrics/"); ok && columns <= 3 {
		return metric
	}
	return column
}

// readTable reads a CSV or TSV file of equal rows.
func readTable(name string) ([][]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	switch path.Ext(name) {
	case ".tsv":
		r.Comma = '\t'
	case ".csv":
	default:
		return nil, fmt.Errorf("%s is not a table", name)
	}
	return r.ReadAll()
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
