package report

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// DefaultPrecision is the number of digits that floats are rounded to where
// the user gives none (or 0).
const DefaultPrecision = 5

// Rounding says how a float is written into a cell.
type Rounding int

const (
	// Exact writes all digits.
	Exact Rounding = iota
	// Decimals rounds to a number of digits behind the point, as `metrics
	// show` and `metrics diff` do.
	Decimals
	// Significant keeps a number of digits, as `exp diff` does for metrics.
	Significant
)

// Layout says what a table shows.
type Layout struct {
	Title     string // of the column of keys: "Metric" or "Param"
	Old, New  string // of the columns of values: revisions as the user typed them
	NoPath    bool   // leave the column of files out
	NoChange  bool   // leave the column of differences out
	NoDiff    string // what stands for a missing difference; "" for "-"
	Rounding  Rounding
	Precision int // 0 for DefaultPrecision
}

// MetricsLayout is the table of `metrics diff`.
func MetricsLayout(old, new string) Layout {
	return Layout{Title: "Metric", Old: old, New: new, Rounding: Decimals}
}

// ParamsLayout is the table of `params diff`.
func ParamsLayout(old, new string) Layout {
	return Layout{Title: "Param", Old: old, New: new, NoChange: true}
}

// ExpMetricsLayout and ExpParamsLayout are the two tables of `exp diff`,
// which are printed with an empty line between them.
func ExpMetricsLayout(old, new string) Layout {
	return Layout{Title: "Metric", Old: old, New: new, NoDiff: "diff not supported", Rounding: Significant}
}

// ExpParamsLayout is the second table of `exp diff`.
func ExpParamsLayout(old, new string) Layout {
	return Layout{Title: "Param", Old: old, New: new, NoDiff: "diff not supported"}
}

// Table is rows of cells below a header.
type Table struct {
	Header []string
	Rows   [][]string
}

// Table lays a diff out.
func (d Diff) Table(l Layout) Table {
	t := Table{Header: []string{"Path", l.Title, orDefault(l.Old, "HEAD"), orDefault(l.New, "workspace"), "Change"}}
	for _, f := range d.Files {
		for _, c := range f.Changes {
			change := orDefault(l.NoDiff, "-")
			if c.Diff != nil {
				change = l.cell(c.Diff)
			}
			t.Rows = append(t.Rows, []string{f.Path, c.Key, l.cell(c.Old), l.cell(c.New), change})
		}
	}
	if l.NoChange {
		t = t.without(4)
	}
	if l.NoPath {
		t = t.without(0)
	}
	return t
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (t Table) without(column int) Table {
	t.Header = slices.Delete(t.Header, column, column+1)
	for i := range t.Rows {
		t.Rows[i] = slices.Delete(t.Rows[i], column, column+1)
	}
	return t
}

// ShowTable is the table of `metrics show`: a row per file, a column per
// metric. With byRevision (-a, -T, -A) a first column names the revision.
func ShowTable(revs []Revision, byRevision bool, precision int) Table {
	l := Layout{Rounding: Decimals, Precision: precision}
	columns := map[string]bool{}
	type row struct {
		rev, path string
		cells     *dvcfile.Map
	}
	var rows []row
	for _, r := range revs {
		if r.Err != nil {
			continue
		}
		for _, f := range r.Files {
			cells := &dvcfile.Map{}
			if f.Err == nil {
				cells = dvcfile.Flatten(listsAsText(f.Data))
			}
			for _, key := range cells.Keys() {
				columns[key] = true
			}
			rows = append(rows, row{r.Name, f.Path, cells})
		}
	}
	var keys []string
	for key := range columns {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	t := Table{Header: append([]string{"Revision", "Path"}, keys...)}
	for _, r := range rows {
		cells := []string{r.rev, r.path}
		for _, key := range keys {
			v, ok := r.cells.Get(key)
			if !ok {
				cells = append(cells, "-")
				continue
			}
			cells = append(cells, l.shown(v))
		}
		t.Rows = append(t.Rows, cells)
	}
	if !byRevision {
		t = t.without(0)
	}
	return t
}

// cell writes a value, "-" for none.
func (l Layout) cell(v dvcfile.Value) string {
	if v == nil {
		return "-"
	}
	return l.shown(v)
}

func (l Layout) shown(v dvcfile.Value) string {
	f, ok := v.(dvcfile.Float)
	if !ok {
		return dvcfile.PyStr(v)
	}
	precision := l.Precision
	if precision == 0 {
		precision = DefaultPrecision
	}
	switch l.Rounding {
	case Decimals:
		return dvcfile.Float(round(float64(f), precision)).String()
	case Significant:
		return significant(float64(f), precision)
	}
	return f.String()
}

// round rounds the exact value of x, ties to even, to a number of decimals,
// which may be negative.
func round(x float64, decimals int) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	if decimals < 0 {
		unit := math.Pow10(-decimals)
		if math.IsInf(unit, 0) {
			return math.Copysign(0, x)
		}
		return math.RoundToEven(x/unit) * unit
	}
	// No double has digits further behind the point than that.
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', min(decimals, 1100), 64), 64)
	if err != nil {
		return x
	}
	return rounded
}

// significant is Python's format(x, ".<precision>g").
func significant(x float64, precision int) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(x, 'e', max(precision, 1)-1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exponent)
	if e >= -4 && e < max(precision, 1) {
		return trimZeros(strconv.FormatFloat(x, 'f', max(precision, 1)-1-e, 64))
	}
	return trimZeros(mantissa) + "e" + exponent
}

func trimZeros(s string) string {
	if strings.Contains(s, ".") {
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Plain is the table as columns two blanks apart, with a line end behind each
// line; a table without rows is nothing.
func (t Table) Plain() string {
	if len(t.Rows) == 0 {
		return ""
	}
	widths, rows := t.measure()
	var b strings.Builder
	for _, row := range rows {
		for _, line := range row {
			cells := make([]string, len(line))
			for i, c := range line {
				cells[i] = pad(c, widths[i])
			}
			b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
		}
	}
	return b.String()
}

// Markdown is the table in GitHub's notation, followed by an empty line.
func (t Table) Markdown() string {
	widths, rows := t.measure()
	var b strings.Builder
	for n, row := range rows {
		for _, line := range row {
			for i, c := range line {
				b.WriteString("| " + pad(c, widths[i]) + " ")
			}
			b.WriteString("|\n")
		}
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String() + "\n"
}

// measure gives the width of each column (a header takes two more than it
// has) and the rows, header first, as lines of cells.
func (t Table) measure() ([]int, [][][]string) {
	widths := make([]int, len(t.Header))
	for i, h := range t.Header {
		widths[i] = width(h) + 2
	}
	var rows [][][]string
	for n, row := range append([][]string{t.Header}, t.Rows...) {
		lines := [][]string{make([]string, len(row))}
		for i, cell := range row {
			for j, text := range splitLines(strings.TrimSpace(cell)) {
				if j == len(lines) {
					lines = append(lines, make([]string, len(row)))
				}
				lines[j][i] = text
				if n > 0 {
					widths[i] = max(widths[i], width(text))
				}
			}
		}
		rows = append(rows, lines)
	}
	return widths, rows
}

func splitLines(s string) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s), "\n")
}

func pad(s string, to int) string {
	return s + strings.Repeat(" ", max(0, to-width(s)))
}
