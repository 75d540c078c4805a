package exppage

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ctrx/report"
)

// chart is parallel coordinates: an axis for each column that differs, a line
// for each row that has a value on one of them.
type chart struct {
	Width, Height int
	Axes          []axis
	Lines         []line
	rows          []int // of the table, by line
}

type axis struct {
	Title, Class string
	X            int
	Ticks        []tick
}

type tick struct {
	Y    float64
	Text string
}

type line struct {
	Name   string
	Path   string // of an SVG path
	Colour string
	Ys     string // place on each axis, "-" for none
}

// Sizes in pixels.
const (
	top, bottom = 44, 20
	inner       = 320
	side, step  = 90, 130
)

// mostWords is the number of different texts up to which a column of texts is
// worth an axis.
const mostWords = 20

func newChart(t report.ExpTable) chart {
	c := chart{Height: top + inner + bottom}
	var places [][]float64 // of each axis: for each row 0 (bottom) to 1, NaN for none
	colours := -1
	for _, col := range t.Columns {
		if col.Kind != report.Metric && col.Kind != report.Param {
			continue
		}
		place, ticks := spread(col)
		if place == nil {
			continue
		}
		if col.Kind == report.Metric && colours < 0 {
			colours = len(places)
		}
		c.Axes = append(c.Axes, axis{Title: col.Title, Class: className(col.Kind), X: side + step*len(places), Ticks: ticks})
		places = append(places, place)
	}
	c.Width = 2*side + step*max(0, len(places)-1)
	if len(places) == 0 {
		return c
	}
	for i, r := range t.Rows {
		l := line{Name: r.Rev, Colour: colour(math.NaN())}
		if r.Name != "" {
			l.Name = r.Name
		}
		if colours >= 0 {
			l.Colour = colour(places[colours][i])
		}
		if l.Path, l.Ys = c.path(places, i); l.Path != "" {
			c.Lines = append(c.Lines, l)
			c.rows = append(c.rows, i)
		}
	}
	return c
}

// lineOf gives the line of a row of the table, -1 for none.
func (c chart) lineOf(row int) int { return slices.Index(c.rows, row) }

// spread places the values of a column between 0 and 1; nil when there is
// nothing to compare.
func spread(col report.ExpColumn) ([]float64, []tick) {
	lowest, highest := math.Inf(1), math.Inf(-1)
	var words []string
	for i, x := range col.Numbers {
		switch {
		case x != nil && !math.IsNaN(*x) && !math.IsInf(*x, 0):
			lowest, highest = min(lowest, *x), max(highest, *x)
		case x == nil && !missing(col.Cells[i]) && !slices.Contains(words, col.Cells[i]):
			words = append(words, col.Cells[i])
		}
	}
	place := make([]float64, len(col.Cells))
	for i := range place {
		place[i] = math.NaN()
	}
	if len(words) > 0 {
		return spreadWords(col, place)
	}
	if !(highest > lowest) {
		return nil, nil
	}
	for i, x := range col.Numbers {
		if x != nil && !math.IsInf(*x, 0) {
			place[i] = *x/(highest-lowest) - lowest/(highest-lowest)
		}
	}
	var ticks []tick
	for n := range 5 {
		at := float64(n) / 4
		ticks = append(ticks, tick{yOf(at), strconv.FormatFloat(lowest*(1-at)+highest*at, 'g', 4, 64)})
	}
	return place, ticks
}

// spreadWords gives each text of a column a place of its own.
func spreadWords(col report.ExpColumn, place []float64) ([]float64, []tick) {
	var words []string
	for _, cell := range col.Cells {
		if !missing(cell) && !slices.Contains(words, cell) {
			words = append(words, cell)
		}
	}
	if len(words) < 2 || len(words) > mostWords {
		return nil, nil
	}
	slices.Sort(words)
	var ticks []tick
	for i, w := range words {
		ticks = append(ticks, tick{yOf(float64(i) / float64(len(words)-1)), shortened(w)})
	}
	for i, cell := range col.Cells {
		if n := slices.Index(words, cell); n >= 0 {
			place[i] = float64(n) / float64(len(words)-1)
		}
	}
	return place, ticks
}

func missing(cell string) bool { return cell == "-" || cell == "" || cell == "!" }

func shortened(text string) string {
	if runes := []rune(text); len(runes) > 16 {
		return string(runes[:15]) + "…"
	}
	return text
}

func yOf(place float64) float64 { return math.Round((top+inner*(1-place))*10) / 10 }

// path draws a row; where a value is missing the line is broken.
func (c chart) path(places [][]float64, row int) (path, ys string) {
	var b strings.Builder
	var all []string
	verb := "M"
	points := 0
	for i, place := range places {
		if math.IsNaN(place[row]) {
			verb = "M"
			all = append(all, "-")
			continue
		}
		y := yOf(place[row])
		fmt.Fprintf(&b, "%s%d %g", verb, c.Axes[i].X, y)
		if verb == "M" {
			fmt.Fprintf(&b, "h0") // a lone value is a dot
		}
		verb = "L"
		points++
		all = append(all, fmt.Sprint(y))
	}
	if points == 0 {
		return "", ""
	}
	return b.String(), strings.Join(all, " ")
}

// colour goes from blue to orange; what has no value is grey.
func colour(place float64) string {
	if math.IsNaN(place) {
		return "#888888"
	}
	from, to := [3]float64{49, 104, 189}, [3]float64{230, 120, 23}
	mix := func(i int) int { return int(math.Round(from[i] + (to[i]-from[i])*place)) }
	return fmt.Sprintf("#%02x%02x%02x", mix(0), mix(1), mix(2))
}
