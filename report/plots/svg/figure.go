package svg

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// figure is a document: a title, panels in a grid, and a legend below them.
type figure struct {
	title   string
	columns int          // panels side by side
	panels  []*plot.Plot // nil leaves a place empty
	width   vg.Length    // of one panel
	height  vg.Length
	legend  []entry
}

// size is that of the whole document.
func (f *figure) size() (width, height vg.Length) {
	columns, rows := f.grid()
	width = 2*margin + vg.Length(columns)*f.width + vg.Length(columns-1)*gap
	height = 2*margin + vg.Length(rows)*f.height + vg.Length(rows-1)*gap
	height += f.titleHeight(width-2*margin) + legendHeight(f.legend, width-2*margin)
	return width, height
}

func (f *figure) grid() (columns, rows int) {
	columns = max(1, min(f.columns, len(f.panels)))
	return columns, max(1, (len(f.panels)+columns-1)/columns)
}

func (f *figure) titleHeight(width vg.Length) vg.Length {
	if f.title == "" {
		return 0
	}
	sty := textStyle(titleSize)
	return sty.Height(wrap(sty, f.title, width, 3)) + 10
}

func (f *figure) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	width := c.Max.X - c.Min.X
	if f.title != "" {
		sty := textStyle(titleSize)
		sty.XAlign, sty.YAlign = draw.XCenter, draw.YTop
		c.FillText(sty, vg.Point{X: c.Center().X, Y: c.Max.Y}, wrap(sty, f.title, width, 3))
	}
	top := c.Max.Y - f.titleHeight(width)
	columns, _ := f.grid()
	for i, p := range f.panels {
		if p == nil {
			continue
		}
		x := c.Min.X + vg.Length(i%columns)*(f.width+gap)
		y := top - vg.Length(i/columns)*(f.height+gap)
		p.Draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x, Y: y - f.height},
			Max: vg.Point{X: x + f.width, Y: y},
		}})
	}
	drawLegend(c, f.legend)
}

// The colours of lines and bars are those of DVC's own plots; a report then has
// the same revision in the same colour.
func seriesColour(i int) color.Color {
	return []color.Color{
		color.RGBA{0x94, 0x5d, 0xd6, 0xff},
		color.RGBA{0x13, 0xad, 0xc7, 0xff},
		color.RGBA{0xf4, 0x68, 0x37, 0xff},
		color.RGBA{0x48, 0xbb, 0x78, 0xff},
		color.RGBA{0x42, 0x99, 0xe1, 0xff},
		color.RGBA{0xed, 0x89, 0x36, 0xff},
		color.RGBA{0xf5, 0x65, 0x65, 0xff},
	}[i%7]
}

func dashes(i int) []vg.Length {
	return [][]vg.Length{nil, {6, 6}, {6, 3}, {3, 3}, {3, 1.5}, {1.5, 0.75}, {0.75, 0.75}}[i%7]
}

func shape(i int) draw.GlyphDrawer {
	return []draw.GlyphDrawer{draw.RingGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}}[i%4]
}

func ink() color.Color  { return color.Gray{0x30} }
func soft() color.Color { return color.Gray{0x90} }
func rule() color.Color { return color.Gray{0xe4} }

// The sizes of text.
const (
	titleSize = vg.Length(13)
	panelSize = vg.Length(11) // of a panel's own title
	labelSize = vg.Length(10) // of axes and the legend
	tickSize  = vg.Length(9)
)

func textStyle(size vg.Length) text.Style {
	return text.Style{
		Color:   ink(),
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
		YAlign:  draw.YCenter,
	}
}

// newPanel is an empty plot in the house's style.
func newPanel(title, xLabel, yLabel string, width, height vg.Length) *plot.Plot {
	p := plot.New()
	sty := textStyle(panelSize)
	sty.XAlign, sty.YAlign = draw.XCenter, draw.YTop
	p.Title.TextStyle, p.Title.Padding = sty, 4
	p.Title.Text = shorten(sty, title, width)
	for _, a := range []struct {
		axis  *plot.Axis
		label string
		room  vg.Length
	}{{&p.X, xLabel, width * 0.8}, {&p.Y, yLabel, height * 0.8}} {
		a.axis.Label.TextStyle.Font = textStyle(labelSize).Font
		a.axis.Label.TextStyle.Color = ink()
		a.axis.Label.Padding = 3
		a.axis.Label.Text = shorten(textStyle(labelSize), a.label, a.room)
		a.axis.Tick.Label.Font = textStyle(tickSize).Font
		a.axis.Tick.Label.Color = ink()
		a.axis.Tick.Length = 4
		a.axis.Tick.Color = soft()
		a.axis.Color = soft()
		a.axis.Padding = 0
	}
	return p
}
