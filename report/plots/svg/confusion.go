package svg

import (
	"cmp"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	cellSize  = vg.Length(34)  // at least, of a cell of a small matrix
	mostCells = vg.Length(520) // of the cells of one side together
	fewCells  = 2500           // a larger matrix has no drawn cells of nothing
)

// addConfusion adds a matrix for each series: revisions side by side, sources
// below each other. All have the same classes and one scale of colours.
func (f *figure) addConfusion(c Chart) {
	var revs, sources names
	var xs, ys []string
	for _, s := range c.Series {
		revs.index(s.Rev)
		sources.index(s.Source)
		xs, ys = append(xs, s.XNames...), append(ys, s.YNames...)
	}
	xs, ys = classes(xs), classes(ys)
	turned := f.fitCells(xs, ys)
	f.columns = len(revs)
	if len(sources) == 1 {
		f.columns = min(3, f.columns)
	}
	f.panels = make([]*plot.Plot, max(1, len(revs)*len(sources)))
	var matrices []matrix
	most := 0.0
	for _, s := range c.Series {
		m := newMatrix(s, xs, ys, c.Kind == ConfusionNormalized)
		most = max(most, slices.Max(append(m.values, 0)))
		matrices = append(matrices, m)
	}
	if c.Kind == ConfusionNormalized {
		most = 1
	}
	for i, s := range c.Series {
		p := newPanel(s.label(), c.XLabel, c.YLabel, f.width, f.height)
		matrices[i].most = most
		matrices[i].addTo(p, turned)
		f.panels[sources.index(s.Source)*len(revs)+revs.index(s.Rev)] = p
	}
	if len(c.Series) == 0 {
		f.panels[0] = newPanel("", c.XLabel, c.YLabel, f.width, f.height)
		addNothing(f.panels[0])
	}
}

// fitCells sets the size of a panel by the number of its cells and the length
// of their names, and tells whether the names below the matrix must be turned.
func (f *figure) fitCells(xs, ys []string) (turned bool) {
	style := textStyle(tickSize)
	below := widest(style, xs)
	cell := min(cellSize, mostCells/vg.Length(max(1, len(xs), len(ys))))
	cells := max(220, cell*vg.Length(len(xs)))
	f.width = cells + widest(style, ys) + 40
	f.height = max(150, cell*vg.Length(len(ys))) + 60
	if turned = below+6 > cells/vg.Length(max(1, len(xs))); turned {
		f.height += below
	}
	return turned
}

// classes are the different names in order: as numbers where all are.
func classes(all []string) []string {
	out := slices.Clone(all)
	slices.Sort(out)
	out = slices.Compact(out)
	numbers := map[string]float64{}
	for _, s := range out {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) {
			return out
		}
		numbers[s] = f
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(numbers[a], numbers[b]) })
	return out
}

// matrix is one panel: how many rows of data have each pair of classes.
type matrix struct {
	xs, ys     []string
	values     []float64 // row by row
	normalized bool
	most       float64 // the value of the darkest cell
}

func newMatrix(s Series, xs, ys []string, normalized bool) matrix {
	m := matrix{xs: xs, ys: ys, values: make([]float64, len(xs)*len(ys)), normalized: normalized}
	column, row := numbered(xs), numbered(ys)
	for i := range s.XNames {
		m.values[row[s.YNames[i]]*len(xs)+column[s.XNames[i]]]++
	}
	if !normalized {
		return m
	}
	for row := range slices.Chunk(m.values, max(1, len(xs))) {
		sum := 0.0
		for _, v := range row {
			sum += v
		}
		for i := range row {
			if sum > 0 {
				row[i] /= sum
			}
		}
	}
	return m
}

func numbered(names []string) map[string]int {
	places := make(map[string]int, len(names))
	for i, name := range names {
		places[name] = i
	}
	return places
}

func (m matrix) addTo(p *plot.Plot, turned bool) {
	if len(m.values) == 0 {
		addNothing(p)
		return
	}
	// Of more classes than there is room for, every second or third is named.
	every := int(math.Ceil(float64(tickSize+2) * float64(max(len(m.xs), len(m.ys))) / float64(mostCells)))
	marks := func(names []string, sign float64) plot.ConstantTicks {
		var out plot.ConstantTicks
		for i := 0; i < len(names); i += every {
			out = append(out, plot.Tick{Value: sign * float64(i), Label: shorten(textStyle(tickSize), names[i], labelWidth)})
		}
		return out
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = marks(m.xs, 1), marks(m.ys, -1)
	p.X.Tick.Length, p.Y.Tick.Length = 3, 3
	if turned {
		p.X.Tick.Label.Rotation = math.Pi / 2
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
	p.Add(m)
	p.X.Min, p.X.Max = -0.5, float64(len(m.xs))-0.5
	p.Y.Min, p.Y.Max = 0.5-float64(len(m.ys)), 0.5
}

// Plot draws the cells with their values, where these have room.
func (m matrix) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	line := min(0.4, (x(1)-x(0))/20)
	sty := textStyle(tickSize)
	sty.XAlign = draw.XCenter
	few := len(m.values) <= fewCells
	if !few { // one rectangle for all that are empty
		c.FillPolygon(heat(0), rectangle(c.Min.X, c.Min.Y, c.Max.X, c.Max.Y))
	}
	for i, v := range m.values {
		if v == 0 && !few {
			continue
		}
		column, row := float64(i%len(m.xs)), -float64(i/len(m.xs))
		share := 0.0
		if m.most > 0 {
			share = v / m.most
		}
		// A little smaller than its place: a thin line of white is between cells.
		c.FillPolygon(heat(share), rectangle(x(column-0.5)+line, y(row-0.5)+line, x(column+0.5)-line, y(row+0.5)-line))
		label := strconv.FormatFloat(v, 'f', 0, 64)
		if m.normalized {
			label = strconv.FormatFloat(v, 'f', 2, 64)
		}
		sty.Color = ink()
		if share > 0.5 {
			sty.Color = color.White
		}
		if sty.Width(label)+4 <= x(1)-x(0) && sty.Height(label) <= y(1)-y(0) {
			c.FillText(sty, vg.Point{X: x(column), Y: y(row)}, label)
		}
	}
}

// heat is a colour between that of nothing and that of the most.
func heat(share float64) color.Color {
	stops := [][3]float64{{0xf7, 0xfb, 0xe8}, {0x3f, 0xae, 0xc4}, {0x0b, 0x2c, 0x6b}}
	at := max(0, min(1, share)) * float64(len(stops)-1)
	i := min(int(at), len(stops)-2)
	mix := func(k int) uint8 {
		return uint8(math.Round(stops[i][k] + (stops[i+1][k]-stops[i][k])*(at-float64(i))))
	}
	return color.RGBA{R: mix(0), G: mix(1), B: mix(2), A: 0xff}
}
