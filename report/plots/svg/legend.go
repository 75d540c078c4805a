package svg

import (
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// entry is a line of the legend: a sample of a series, and its name.
type entry struct {
	label  string
	colour color.Color
	sample sample
	dashes []vg.Length
	glyph  draw.GlyphDrawer
}

// sample is what a series looks like.
type sample int

const (
	lineSample sample = iota
	glyphSample
	barSample
)

const (
	sampleWidth  = vg.Length(20)
	legendRow    = vg.Length(15)
	legendBetwen = vg.Length(16)
)

// placed is an entry with its place, from the legend's upper left corner.
type placed struct {
	entry
	text string
	x, y vg.Length
}

// layOut puts the entries side by side, as many in a row as there is room for.
func layOut(entries []entry, width vg.Length) []placed {
	sty := textStyle(labelSize)
	var out []placed
	var x, y vg.Length
	for _, e := range entries {
		s := shorten(sty, e.label, width-sampleWidth-6)
		w := sampleWidth + 6 + sty.Width(s)
		if x > 0 && x+w > width {
			x, y = 0, y+legendRow
		}
		out = append(out, placed{entry: e, text: s, x: x, y: y})
		x += w + legendBetwen
	}
	return out
}

func legendHeight(entries []entry, width vg.Length) vg.Length {
	all := layOut(entries, width)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].y + legendRow + 10
}

// drawLegend draws along the lower edge of the canvas.
func drawLegend(c draw.Canvas, entries []entry) {
	width := c.Max.X - c.Min.X
	top := c.Min.Y + legendHeight(entries, width) - 10
	for _, e := range layOut(entries, width) {
		x, y := c.Min.X+e.x, top-e.y-legendRow/2
		switch e.sample {
		case lineSample:
			c.StrokeLine2(draw.LineStyle{Color: e.colour, Width: 1.5, Dashes: e.dashes}, x, y, x+sampleWidth, y)
		case glyphSample:
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: e.colour, Radius: 3, Shape: e.glyph}, vg.Point{X: x + sampleWidth/2, Y: y})
		case barSample:
			c.FillPolygon(e.colour, rectangle(x+6, y-4, x+sampleWidth, y+4))
		}
		c.FillText(textStyle(labelSize), vg.Point{X: x + sampleWidth + 6, Y: y}, e.text)
	}
}

func rectangle(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}
