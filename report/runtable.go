package report

import (
	"slices"
	"time"

	"ctrx/pipeline/dvcfile"
)

// Run is a run under way, or one that has ended, with its last metrics.
type Run struct {
	Name, State, Where string
	Took               time.Duration // since it began; 0 for unknown
	Metrics            *dvcfile.Map
}

// RunTable lays runs out, a row for each, with a column for each metric.
func RunTable(runs []Run) ExpTable {
	t := ExpTable{Columns: []ExpColumn{{Title: colExperiment}, {Title: colState}, {Title: "Where"}, {Title: "Time"}}}
	var keys []string
	for _, r := range runs {
		for _, key := range r.Metrics.Keys() {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		t.Columns = append(t.Columns, ExpColumn{Title: key, Kind: Metric})
	}
	for _, r := range runs {
		t.Rows = append(t.Rows, ExpRow{Name: r.Name, State: capitalized(r.State)})
		took := "-"
		if r.Took > 0 {
			took = r.Took.Round(time.Second).String()
		}
		cells := []string{r.Name, capitalized(r.State), r.Where, took}
		for _, key := range keys {
			v, ok := r.Metrics.Get(key)
			if !ok {
				cells = append(cells, "-")
				continue
			}
			cells = append(cells, Number(v))
		}
		for i, cell := range cells {
			t.Columns[i].Cells = append(t.Columns[i].Cells, cell)
		}
	}
	return t
}

// Number writes a value with as many digits as tables show.
func Number(v dvcfile.Value) string { return expCell(v, DefaultPrecision) }
