package svg

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	barHeight  = vg.Length(14) // of one bar
	labelWidth = vg.Length(160)
)

// addBars adds a panel for each source, with the bars of all revisions side by
// side in each category. The panels have the same axes.
func (f *figure) addBars(c Chart) {
	all := newBars(c)
	for i, rev := range all.revs {
		if rev != "" {
			f.legend = append(f.legend, entry{label: rev, colour: seriesColour(i), sample: barSample})
		}
	}
	f.columns, f.width = 2, panelWidth
	each := barHeight*vg.Length(len(all.revs)) + 8
	f.height = max(120, vg.Length(len(all.categories))*each+60)
	for _, source := range all.sources {
		p := newPanel(source, c.XLabel, c.YLabel, f.width, f.height)
		bars{barChart: all, source: source}.addTo(p)
		f.panels = append(f.panels, p)
	}
	if len(all.categories) == 0 {
		f.panels = []*plot.Plot{newPanel("", c.XLabel, c.YLabel, f.width, f.height)}
		addNothing(f.panels[0])
	}
}

// barChart is what all panels of bars share.
type barChart struct {
	revs, sources names
	categories    []string // from the top
	lengths       map[barKey]float64
}

type barKey struct{ source, rev, category string }

func newBars(c Chart) barChart {
	b := barChart{lengths: map[barKey]float64{}}
	total := map[string]float64{}
	for _, s := range c.Series {
		b.revs.index(s.Rev)
		b.sources.index(s.Source)
		for i, category := range s.YNames {
			if !finite(s.X[i]) {
				continue
			}
			if _, seen := total[category]; !seen {
				b.categories = append(b.categories, category)
			}
			total[category] += s.X[i]
			// As in DVC's plots, what has the same name is one bar.
			b.lengths[barKey{s.Source, s.Rev, category}] += s.X[i]
		}
	}
	slices.SortFunc(b.categories, func(x, y string) int {
		if c.Kind == BarSorted {
			return cmp.Or(cmp.Compare(total[y], total[x]), cmp.Compare(x, y))
		}
		return cmp.Compare(x, y)
	})
	return b
}

// bars are those of one source.
type bars struct {
	barChart
	source string
}

func (b bars) addTo(p *plot.Plot) {
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, rule()
	p.Add(grid, b)
	var marks plot.ConstantTicks
	for i, category := range b.categories {
		marks = append(marks, plot.Tick{Value: -float64(i), Label: shorten(textStyle(tickSize), category, labelWidth)})
	}
	p.Y.Tick.Marker, p.Y.Tick.Length = marks, 0
	p.Y.Min, p.Y.Max = -float64(len(b.categories))+0.5, 0.5
	niceTicks(&p.X, panelWidth-labelWidth, true)
}

// DataRange is that of all panels. The axis of lengths has zero in it: a bar's
// length is its value.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, length := range b.lengths {
		xmin, xmax = math.Min(xmin, length), math.Max(xmax, length)
	}
	return xmin, xmax, -float64(len(b.categories)) + 0.5, 0.5
}

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	share := 0.8 / float64(len(b.revs))
	for i, category := range b.categories {
		for r, rev := range b.revs {
			length, there := b.lengths[barKey{b.source, rev, category}]
			if !there {
				continue
			}
			top := -float64(i) + 0.4 - float64(r)*share
			c.FillPolygon(seriesColour(r), rectangle(x(0), y(top-share), x(length), y(top)))
		}
	}
}
