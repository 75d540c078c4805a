package cli

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// oneLine makes a text that others wrote fit for a cell: line breaks and tabs
// become spaces, other control characters, which a terminal would obey, a sign
// that something stood there.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cell is oneLine for a table that may be Markdown, where | ends a cell.
func cell(s string, markdown bool) string {
	if markdown {
		s = strings.ReplaceAll(s, "|", `\|`)
	}
	return oneLine(s)
}

// table lays rows out in left-aligned columns two spaces apart. The first row
// is not special; trailing blanks are cut, so that the text pipes well.
func (a *app) table(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i] = oneLine(row[i])
			cell := row[i]
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
