package experiment

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/tracking"
)

// RunRow is one thing that runs are compared by.
type RunRow struct {
	Section string // "run", "code", "metrics", "params", "data" or "outputs"
	Key     string
	Values  []RunValue // one for each run
}

// RunValue is what one run has.
type RunValue struct {
	Text   string
	Number *float64 // of a metric
	There  bool
}

// Changed tells whether the runs differ.
func (r RunRow) Changed() bool {
	return slices.ContainsFunc(r.Values, func(v RunValue) bool {
		return v.There != r.Values[0].There || v.Text != r.Values[0].Text
	})
}

// The sections of a comparison, in its order.
const (
	SectionRun     = "run"
	SectionCode    = "code"
	SectionMetrics = "metrics"
	SectionParams  = "params"
	SectionData    = "data"
	SectionOutputs = "outputs"
)

// CompareRuns puts runs side by side: status and time, code, metrics, parameters,
// the digests of the data that they read and of the outputs. Rows of a section
// are sorted by key. With changedOnly, rows in which all are equal are left out.
func CompareRuns(runs []tracking.RunRecord, changedOnly bool) []RunRow {
	var all []RunRow
	for _, section := range []struct {
		name string
		of   func(tracking.RunRecord) map[string]RunValue
	}{
		{SectionRun, runFacts}, {SectionCode, codeFacts}, {SectionMetrics, metricFacts}, {SectionParams, paramFacts},
		{SectionData, dataFacts}, {SectionOutputs, outputFacts},
	} {
		facts := make([]map[string]RunValue, len(runs))
		var keys []string
		for i, r := range runs {
			facts[i] = section.of(r)
			for k := range facts[i] {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, key := range slices.Compact(keys) {
			row := RunRow{Section: section.name, Key: key}
			for i := range runs {
				row.Values = append(row.Values, facts[i][key])
			}
			if !changedOnly || row.Changed() {
				all = append(all, row)
			}
		}
	}
	return all
}

func fact(text string) RunValue { return RunValue{Text: text, There: true} }

func runFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{"status": fact(string(r.Status)), "user": fact(r.User)}
	if !r.StartTime.IsZero() {
		m["started"] = fact(r.StartTime.UTC().Format(time.RFC3339))
	}
	if !r.StartTime.IsZero() && !r.EndTime.IsZero() {
		m["duration"] = fact(r.EndTime.Sub(r.StartTime).Round(time.Millisecond).String())
	}
	return m
}

func codeFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{}
	for key, tag := range map[string]string{
		"commit": baseTag, "branch": "mlflow.source.git.branch", "uncommitted changes": "mlflow.source.git.dirty", "tree": treeTag, "dvc.lock": lockTag,
	} {
		if v := r.Tag(tag); v != "" {
			m[key] = fact(v)
		}
	}
	return m
}

func metricFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{}
	for _, v := range r.Metrics {
		m[v.Key] = RunValue{Text: strconv.FormatFloat(v.Value, 'g', -1, 64), Number: &v.Value, There: true}
	}
	return m
}

func paramFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{}
	for _, v := range r.Params {
		m[v.Key] = fact(v.Value)
	}
	return m
}

func dataFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{}
	for _, d := range r.Datasets {
		if d.Context != contextMade {
			m[d.Name] = fact(d.Digest)
		}
	}
	return m
}

func outputFacts(r tracking.RunRecord) map[string]RunValue {
	m := map[string]RunValue{}
	for _, t := range r.Tags {
		if rel, ok := strings.CutPrefix(t.Key, outputTag); ok {
			m[rel] = fact(t.Value)
		}
	}
	return m
}

// RunsByCommit gives the ids of the MLflow runs that made experiment commits, by
// commit; of several the newest.
func RunsByCommit(ctx context.Context, client *tracking.Client, experiment string) (map[string]string, error) {
	found := map[string]string{}
	exp, err := client.ExperimentByName(ctx, experiment)
	if errs.KindOf(err) == errs.NotFound {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	q := tracking.RunQuery{Experiments: []string{exp.ID}, Filter: "tags.`" + commitTag + "` != ''"}
	for {
		page, err := client.SearchRuns(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Runs {
			if commit := r.Tag(commitTag); found[commit] == "" {
				found[commit] = r.ID
			}
		}
		if q.Page = page.Next; q.Page == "" {
			return found, nil
		}
	}
}
