package svg

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// defaultBandwidth is where the slider of DVC's template stands at first.
const defaultBandwidth = 0.001

// addXY adds the one panel of lines or points.
func (f *figure) addXY(c Chart) error {
	f.width, f.height, f.columns = panelWidth, panelHeight, 1
	p := newPanel("", c.XLabel, c.YLabel, f.width, f.height)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = rule(), rule()
	p.Add(grid)
	f.panels = append(f.panels, p)

	var revs, sources names
	empty := true
	for _, s := range c.Series {
		e := entry{label: s.label(), colour: seriesColour(revs.index(s.Rev)), sample: lineSample}
		source := sources.index(s.Source)
		e.dashes, e.glyph = dashes(source), shape(source)
		runs := runsOf(s)
		for _, run := range runs {
			empty = false
			var err error
			switch c.Kind {
			case Line:
				err = addLine(p, run, e.colour, e.dashes)
			case Smooth: // what was measured, below the smooth line
				err = addLine(p, run, pale(e.colour), e.dashes)
			case Scatter:
				e.sample = glyphSample
				err = addPoints(p, run, e)
			}
			if err != nil {
				return err
			}
		}
		if c.Kind == Smooth && len(runs) > 0 {
			if err := addLine(p, loess(slices.Concat(runs...), cmp.Or(c.Bandwidth, defaultBandwidth)), e.colour, e.dashes); err != nil {
				return err
			}
		}
		if e.label != "" {
			f.legend = append(f.legend, e)
		}
	}
	if empty {
		addNothing(p)
		return nil
	}
	niceTicks(&p.X, f.width-60, true)
	niceTicks(&p.Y, f.height-40, false)
	return nil
}

// names gives each text a number, in the order in which they are first seen.
type names []string

func (n *names) index(s string) int {
	i := slices.Index(*n, s)
	if i < 0 {
		i = len(*n)
		*n = append(*n, s)
	}
	return i
}

// runsOf orders a series by X and splits it where a value is missing.
func runsOf(s Series) []plotter.XYs {
	var all plotter.XYs
	for i := range s.X {
		if finite(s.X[i]) {
			all = append(all, plotter.XY{X: s.X[i], Y: s.Y[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	var runs []plotter.XYs
	var run plotter.XYs
	for _, xy := range all {
		if finite(xy.Y) {
			run = append(run, xy)
		} else if run != nil {
			runs, run = append(runs, run), nil
		}
	}
	if run != nil {
		runs = append(runs, run)
	}
	return runs
}

// finite tells whether a value can be drawn. The bound keeps the length of an
// axis within what a float64 holds.
func finite(f float64) bool { return math.Abs(f) <= 1e300 }

func addLine(p *plot.Plot, run plotter.XYs, colour color.Color, dashes []vg.Length) error {
	if len(run) == 1 { // a line of one point would not be seen
		return addPoints(p, run, entry{colour: colour, glyph: draw.CircleGlyph{}})
	}
	line, err := plotter.NewLine(thinLine(run))
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: colour, Width: 1.5, Dashes: dashes}
	p.Add(line)
	return nil
}

// pale is the colour at a quarter of its strength.
func pale(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	return color.NRGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 0x40}
}

func addPoints(p *plot.Plot, run plotter.XYs, e entry) error {
	points, err := plotter.NewScatter(thinPoints(run))
	if err != nil {
		return err
	}
	points.GlyphStyle = draw.GlyphStyle{Color: e.colour, Radius: 2.5, Shape: e.glyph}
	p.Add(points)
	return nil
}

// addNothing says that there is no data.
func addNothing(p *plot.Plot) {
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks{}, plot.ConstantTicks{}
	p.Add(note("no data"))
}

// note is a text in the middle of a panel.
type note string

// Plot draws the note.
func (n note) Plot(c draw.Canvas, _ *plot.Plot) {
	sty := textStyle(panelSize)
	sty.XAlign, sty.Color = draw.XCenter, soft()
	c.FillText(sty, c.Center(), string(n))
}
