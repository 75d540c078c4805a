package experiment

import (
	"encoding/csv"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

// points turns metrics and plots files into points of metrics, and knows which
// of them were logged already, so that a file that is read while a stage writes
// it and once more at the end gives each point once.
type points struct {
	tables map[string]*tableRows  // by rel path
	latest map[string]*fileValues // by rel path
}

func newPoints() *points {
	return &points{tables: map[string]*tableRows{}, latest: map[string]*fileValues{}}
}

// tableRows are the hashes of the rows of a table that were logged, by their
// place in the file.
type tableRows struct{ sent []uint64 }

// mostRows bounds what is remembered of one table. A longer one is followed up
// to there, and the rest is logged at the end.
const mostRows = 1 << 20

// isNew tells whether the row at place i was not logged yet with these cells,
// and remembers it.
func (t *tableRows) isNew(i int, row []string) bool {
	h := fnv.New64a()
	for _, cell := range row {
		_, _ = h.Write([]byte(cell))
		_, _ = h.Write([]byte{0})
	}
	sum := h.Sum64()
	switch {
	case i < len(t.sent) && t.sent[i] == sum:
		return false
	case i < len(t.sent):
		t.sent[i] = sum
	case i == len(t.sent) && i < mostRows:
		t.sent = append(t.sent, sum)
	}
	return true
}

func (p *points) rows(rel string) *tableRows {
	if p.tables[rel] == nil {
		p.tables[rel] = &tableRows{}
	}
	return p.tables[rel]
}

// fileValues are what was logged of a metrics file last.
type fileValues struct {
	values map[string]float64
	step   int64
}

// values gives the values of metrics files that are not logged yet. Their step
// is what the file itself says under the key "step", as DVCLive's does; else it
// counts the changes that were seen, from 0.
func (p *points) values(files []pipeline.FileValues, now time.Time) ([]tracking.Metric, error) {
	found := map[string]map[string]float64{}
	steps := map[string]int64{}
	err := eachFileValue(files, func(file, key string, v dvcfile.Value) {
		f, ok := number(v)
		if !ok {
			return
		}
		if found[file] == nil {
			found[file] = map[string]float64{}
		}
		found[file][key] = f
		if n, isInt := v.(dvcfile.Int); isInt && (key == "step" || key == file+":step") {
			if step, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
				steps[file] = step
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var all []tracking.Metric
	for _, file := range slices.Sorted(maps.Keys(found)) {
		own, has := steps[file]
		if !has {
			own = -1
		}
		all = append(all, p.changed(file, found[file], own, now)...)
	}
	return all, nil
}

// changed gives those values of a file that differ from what was logged last.
// step is -1 where the file has none of its own.
func (p *points) changed(file string, values map[string]float64, step int64, now time.Time) []tracking.Metric {
	last := p.latest[file]
	if last == nil {
		last = &fileValues{step: -1}
		p.latest[file] = last
	}
	moved := step >= 0 && step != last.step
	var all []tracking.Metric
	for _, key := range slices.Sorted(maps.Keys(values)) {
		old, known := last.values[key]
		same := known && (old == values[key] || math.IsNaN(old) && math.IsNaN(values[key]))
		if !same || moved {
			all = append(all, tracking.Metric{Key: key, Value: values[key], Time: now})
		}
	}
	if len(all) == 0 {
		return nil
	}
	if step < 0 {
		step = last.step + 1
	}
	for i := range all {
		all[i].Step = step
	}
	last.values, last.step = values, step
	return all
}

// table reads a table of plot points and gives those that are not logged yet.
// Without a step column, and in another form, a file has none: that is the
// stage's own matter.
func (p *points) table(name, rel string, now time.Time) []tracking.Metric {
	rows, err := readTable(name)
	if err != nil || len(rows) == 0 {
		return nil
	}
	head, ok := newTableHead(rel, rows[0])
	if !ok {
		return nil
	}
	var all []tracking.Metric
	seen := p.rows(rel)
	for i, row := range rows[1:] {
		if seen.isNew(i, row) {
			all = append(all, head.metrics(row, now)...)
		}
	}
	return all
}

// tableHead is the first row of a table. Every numeric column but step and
// timestamp is the history of one metric. DVCLive's files, plots/metrics/a/b.tsv,
// hold the metric a/b.
type tableHead struct {
	names       []string // of the metrics; "" for step and timestamp
	step, stamp int
}

func newTableHead(rel string, header []string) (tableHead, bool) {
	h := tableHead{step: -1, stamp: slices.Index(header, "timestamp")}
	for _, name := range []string{"step", "epoch", "iteration"} {
		if h.step = slices.Index(header, name); h.step >= 0 {
			break
		}
	}
	for i, column := range header {
		if i == h.step || i == h.stamp {
			column = ""
		} else {
			column = historyKey(rel, column, len(header))
		}
		h.names = append(h.names, column)
	}
	return h, h.step >= 0
}

// historyKey names the metric of a column.
func historyKey(rel, column string, columns int) string {
	if _, metric, ok := strings.Cut(strings.TrimSuffix(rel, path.Ext(rel)), "plots/metrics/"); ok && columns <= 3 {
		return metric
	}
	return column
}

func (h tableHead) metrics(row []string, now time.Time) []tracking.Metric {
	if len(row) != len(h.names) {
		return nil
	}
	n, err := strconv.ParseFloat(row[h.step], 64)
	if err != nil || n != math.Trunc(n) {
		return nil
	}
	at := now
	if h.stamp >= 0 {
		if ms, err := strconv.ParseInt(row[h.stamp], 10, 64); err == nil {
			at = time.UnixMilli(ms)
		}
	}
	var all []tracking.Metric
	for i, cell := range row {
		if h.names[i] == "" {
			continue
		}
		if v, err := strconv.ParseFloat(cell, 64); err == nil {
			all = append(all, tracking.Metric{Key: h.names[i], Value: v, Step: int64(n), Time: at})
		}
	}
	return all
}

// delimiter is that of a table's format, or 0.
func delimiter(name string) rune {
	switch path.Ext(name) {
	case ".tsv":
		return '\t'
	case ".csv":
		return ','
	}
	return 0
}

// mostPlotData bounds, in bytes, a plots file that is not read line by line.
const mostPlotData = 32 << 20

// readTable reads a file of equal rows: CSV, TSV, or the first list of mappings
// in a JSON or YAML file.
func readTable(name string) ([][]string, error) {
	if comma := delimiter(name); comma != 0 {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.Comma = comma
		return r.ReadAll()
	}
	switch path.Ext(name) {
	case ".json", ".yaml", ".yml":
	default:
		return nil, fmt.Errorf("%s is not a table", name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > mostPlotData {
		return nil, fmt.Errorf("%s is too large", name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	value, err := dvcfile.ReadData(name, data)
	if err != nil {
		return nil, err
	}
	return listRows(value), nil
}

// listRows makes a table of a list of mappings, whose columns are those of the
// first one.
func listRows(value dvcfile.Value) [][]string {
	switch v := value.(type) {
	case *dvcfile.Map:
		for i := range v.Len() {
			_, inner := v.At(i)
			if rows := listRows(inner); rows != nil {
				return rows
			}
		}
	case []dvcfile.Value:
		var rows [][]string
		for _, item := range v {
			m, ok := item.(*dvcfile.Map)
			if !ok {
				return nil
			}
			if rows == nil {
				rows = append(rows, m.Keys())
			}
			row := make([]string, len(rows[0]))
			for i, key := range rows[0] {
				if cell, ok := m.Get(key); ok {
					row[i] = paramText(cell)
				}
			}
			rows = append(rows, row)
		}
		return rows
	}
	return nil
}
