package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// drawLimit is how many nodes a connected part may have to be drawn in boxes; a
// larger one, which no terminal shows, is listed instead.
const drawLimit = 300

// Draw gives the graph as text: boxes in layers, dependencies above what reads
// them, lines of asterisks between them. A part of the graph with more than 300
// nodes is a list, one line a node, of what each one reads.
func (g Graph) Draw() string {
	var b strings.Builder
	for i, part := range g.parts() {
		if i > 0 {
			b.WriteByte('\n')
		}
		if len(part.nodes) > drawLimit {
			g.list(&b, part)
			continue
		}
		d := newDrawing(g, part)
		d.arrange()
		d.place()
		b.WriteString(d.paint())
	}
	return b.String()
}

// list writes a line for each node, what it reads after an arrow.
func (g Graph) list(b *strings.Builder, part *graphPart) {
	reads := map[int][]string{}
	for _, e := range part.edges {
		reads[e[1]] = append(reads[e[1]], g.Nodes[e[0]])
	}
	for _, n := range part.nodes {
		b.WriteString(g.Nodes[n])
		if len(reads[n]) > 0 {
			b.WriteString(" <- " + strings.Join(reads[n], ", "))
		}
		b.WriteByte('\n')
	}
}

// vertex is a box, or a point where an edge passes through a layer.
type vertex struct {
	label string // "" for a point
	layer int
	x     int // left end, in columns
	width int
	ups   []*vertex
	downs []*vertex
}

func (v *vertex) middle() int { return v.x + v.width/2 }

// drawing lays a connected part out by Sugiyama's method: layers by longest
// path, long edges cut into pieces by points, the order within a layer by the
// mean place of the neighbours.
type drawing struct {
	layers [][]*vertex
}

func newDrawing(g Graph, part *graphPart) *drawing {
	vertices := map[int]*vertex{}
	for _, n := range part.nodes {
		vertices[n] = &vertex{label: g.Nodes[n], width: utf8.RuneCountInString(g.Nodes[n]) + 4}
	}
	downs, waits := map[int][]int{}, map[int]int{}
	for _, e := range part.edges {
		downs[e[0]] = append(downs[e[0]], e[1])
		waits[e[1]]++
	}
	var ready []int
	for _, n := range part.nodes {
		if waits[n] == 0 {
			ready = append(ready, n)
		}
	}
	d := &drawing{}
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		v := vertices[n]
		d.add(v)
		for _, m := range downs[n] {
			vertices[m].layer = max(vertices[m].layer, v.layer+1)
			if waits[m]--; waits[m] == 0 {
				ready = append(ready, m)
			}
		}
	}
	for _, e := range part.edges {
		d.connect(vertices[e[0]], vertices[e[1]])
	}
	return d
}

func (d *drawing) add(v *vertex) {
	for len(d.layers) <= v.layer {
		d.layers = append(d.layers, nil)
	}
	d.layers[v.layer] = append(d.layers[v.layer], v)
}

func (d *drawing) connect(from, to *vertex) {
	for from.layer+1 < to.layer {
		point := &vertex{layer: from.layer + 1, width: 1}
		d.add(point)
		join(from, point)
		from = point
	}
	join(from, to)
}

func join(a, b *vertex) {
	a.downs = append(a.downs, b)
	b.ups = append(b.ups, a)
}

// sweeps is how often the layers are gone through, down and up, to bring
// connected vertices near each other.
const sweeps = 8

// arrange orders each layer so that few edges cross.
func (d *drawing) arrange() {
	for i := range sweeps {
		for j := range d.layers {
			if i%2 == 0 {
				sortByNeighbours(d.layers, j, j-1, func(v *vertex) []*vertex { return v.ups })
			} else {
				at := len(d.layers) - 1 - j
				sortByNeighbours(d.layers, at, at+1, func(v *vertex) []*vertex { return v.downs })
			}
		}
	}
}

func sortByNeighbours(layers [][]*vertex, at, beside int, neighbours func(*vertex) []*vertex) {
	if beside < 0 || beside >= len(layers) {
		return
	}
	place := map[*vertex]float64{}
	for i, v := range layers[beside] {
		place[v] = float64(i)
	}
	mean := map[*vertex]float64{}
	for i, v := range layers[at] {
		ns := neighbours(v)
		if len(ns) == 0 {
			mean[v] = float64(i)
			continue
		}
		for _, n := range ns {
			mean[v] += place[n] / float64(len(ns))
		}
	}
	slices.SortStableFunc(layers[at], func(a, b *vertex) int { return cmp.Compare(mean[a], mean[b]) })
}

// gap is the least distance between two boxes of a layer, in columns.
const gap = 3

// place gives every vertex its column: as near to the middle of its neighbours
// as the order in the layer allows.
func (d *drawing) place() {
	for _, layer := range d.layers {
		x := 0
		for _, v := range layer {
			v.x = x
			x += v.width + gap
		}
	}
	for i := range sweeps {
		for j := range d.layers {
			if i%2 == 0 {
				settle(d.layers[j], func(v *vertex) []*vertex { return v.ups })
			} else {
				settle(d.layers[len(d.layers)-1-j], func(v *vertex) []*vertex { return v.downs })
			}
		}
	}
	left := d.layers[0][0].x
	for _, layer := range d.layers {
		for _, v := range layer {
			left = min(left, v.x)
		}
	}
	for _, layer := range d.layers {
		for _, v := range layer {
			v.x -= left
		}
	}
}

// settle moves the vertices of a layer below or above the middle of their
// neighbours; where two want the same place both give way.
func settle(layer []*vertex, neighbours func(*vertex) []*vertex) {
	type group struct {
		first, last int // vertices
		x, width    int
		wish        float64 // sum of wished left ends, relative to the group's start
		count       int
	}
	var groups []group
	for i, v := range layer {
		g := group{first: i, last: i, width: v.width, wish: float64(v.x), count: 1}
		if ns := neighbours(v); len(ns) > 0 {
			sum := 0
			for _, n := range ns {
				sum += n.middle()
			}
			g.wish = float64(sum)/float64(len(ns)) - float64(v.width/2)
		}
		g.x = int(g.wish + 0.5)
		for len(groups) > 0 && groups[len(groups)-1].x+groups[len(groups)-1].width+gap > g.x {
			before := groups[len(groups)-1]
			groups = groups[:len(groups)-1]
			shift := before.width + gap
			g.wish += before.wish - float64(shift*g.count)
			g.count += before.count
			g.width += shift
			g.first = before.first
			g.x = int(g.wish/float64(g.count) + 0.5)
		}
		groups = append(groups, g)
	}
	for _, g := range groups {
		x := g.x
		for _, v := range layer[g.first : g.last+1] {
			v.x = x
			x += v.width + gap
		}
	}
}

// boxHeight is the number of lines of a box.
const boxHeight = 3

// paint writes boxes and lines.
func (d *drawing) paint() string {
	width, heights := 0, make([]int, len(d.layers)) // heights: free lines below each layer
	for i, layer := range d.layers {
		for _, v := range layer {
			width = max(width, v.x+v.width)
			for _, down := range v.downs {
				far := v.middle() - down.middle()
				heights[i] = max(heights[i], 3, min(max(far, -far)/4, 12))
			}
		}
	}
	tops := make([]int, len(d.layers)+1)
	for i, h := range heights {
		tops[i+1] = tops[i] + boxHeight + h
	}
	c := newCanvas(width, tops[len(d.layers)])
	for i, layer := range d.layers {
		for _, v := range layer {
			if v.label == "" {
				c.line(v.x, tops[i], v.x, tops[i]+boxHeight-1)
			}
			for _, down := range v.downs {
				c.line(v.middle(), tops[i]+boxHeight, down.middle(), tops[i+1]-1)
			}
		}
	}
	for i, layer := range d.layers {
		for _, v := range layer {
			if v.label != "" {
				c.box(v.x, tops[i], v.label)
			}
		}
	}
	return c.String()
}

type canvas struct{ rows [][]rune }

func newCanvas(width, height int) *canvas {
	c := &canvas{rows: make([][]rune, height)}
	for i := range c.rows {
		c.rows[i] = []rune(strings.Repeat(" ", width))
	}
	return c
}

func (c *canvas) set(x, y int, r rune) {
	if y >= 0 && y < len(c.rows) && x >= 0 && x < len(c.rows[y]) {
		c.rows[y][x] = r
	}
}

// line draws downwards from one point to another.
func (c *canvas) line(x0, y0, x1, y1 int) {
	for y := y0; y <= y1; y++ {
		at := 0.5
		if y1 > y0 {
			at = float64(y-y0) / float64(y1-y0)
		}
		c.set(x0+int(float64(x1-x0)*at+0.5*sign(x1-x0)), y, '*')
	}
}

func sign(n int) float64 {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

func (c *canvas) box(x, y int, label string) {
	edge := "+" + strings.Repeat("-", utf8.RuneCountInString(label)+2) + "+"
	for dy, text := range []string{edge, fmt.Sprintf("| %s |", label), edge} {
		for dx, r := range []rune(text) {
			c.set(x+dx, y+dy, r)
		}
	}
}

func (c *canvas) String() string {
	var b strings.Builder
	for _, row := range c.rows {
		b.WriteString(strings.TrimRight(string(row), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
