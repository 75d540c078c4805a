package report

import "strings"

// Style is how a part of a table stands out.
type Style int

// The styles.
const (
	Normal    Style = iota
	Strong          // rows of baselines
	LabelHead       // the heads of columns by their kinds
	MetricHead
	ParamHead
	DepHead
	Good // states
	Bad
	Busy
)

// Paint makes a text stand out; nil leaves it as it is.
type Paint func(Style, string) string

// Plain is the table as columns two blanks apart, metrics to the right of
// theirs, with a line end behind each line. A table without columns is nothing.
func (t ExpTable) Plain(paint Paint) string {
	if len(t.Columns) == 0 {
		return ""
	}
	if paint == nil {
		paint = func(_ Style, text string) string { return text }
	}
	widths := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = c.width()
	}
	var b strings.Builder
	for row := -1; row < len(t.Rows); row++ {
		line := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			text, style := c.Title, headStyle(c.Kind)
			if row >= 0 {
				text, style = oneLine(c.Cells[row]), t.Rows[row].style(c)
			}
			blanks := strings.Repeat(" ", max(0, widths[i]-width(text)))
			if text = paint(style, text); c.Kind == Metric {
				line[i] = blanks + text
			} else {
				line[i] = text + blanks
			}
		}
		b.WriteString(strings.TrimRight(strings.Join(line, "  "), " ") + "\n")
	}
	return b.String()
}

func headStyle(k ColumnKind) Style {
	return map[ColumnKind]Style{Label: LabelHead, Metric: MetricHead, Param: ParamHead, Dep: DepHead}[k]
}

func (r ExpRow) style(c ExpColumn) Style {
	switch {
	case r.Baseline:
		return Strong
	case c.Title != colState:
		return Normal
	}
	return map[string]Style{"Failed": Bad, "Success": Good, "Running": Busy}[r.State]
}

func (c ExpColumn) width() int {
	w := width(c.Title)
	for _, cell := range c.Cells {
		w = max(w, width(oneLine(cell)))
	}
	return w
}

// oneLine shows line ends, which would break the table, as blanks.
func oneLine(s string) string {
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
}
