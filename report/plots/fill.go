package plots

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// separator stands between the parts of a made-up key: filename::field.
const separator = "::"

// colours, dashes and shapes tell revisions and sources apart, in DVC's order.
func colours() []dvcfile.Value {
	return list("#945dd6", "#13adc7", "#f46837", "#48bb78", "#4299e1", "#ed8936", "#f56565")
}

func dashes() []dvcfile.Value {
	var all []dvcfile.Value
	for _, d := range [][2]int64{{1, 0}, {8, 8}, {8, 4}, {4, 4}, {4, 2}, {2, 1}, {1, 1}} {
		all = append(all, list(number(d[0]), number(d[1])))
	}
	return all
}

func shapes() []dvcfile.Value { return list("circle", "square", "triangle", "diamond") }

// Spec fills a template with the plot: a Vega-Lite spec with its data inline.
func (p *Plot) Spec(t Template) (*dvcfile.Map, error) {
	spec, _, err := p.fill(t, nil)
	return spec, err
}

// SplitSpec leaves in the template what an editor fills itself, and gives the
// values for that by anchor.
func (p *Plot) SplitSpec(t Template) (spec, anchors *dvcfile.Map, err error) {
	return p.fill(t, splitAnchors())
}

// filler is one filling of a template.
type filler struct {
	spec    *dvcfile.Map
	open    []string // optional anchors of the template that are not filled yet
	split   []string
	anchors *dvcfile.Map // values of split anchors
}

func (p *Plot) fill(t Template, split []string) (spec, anchors *dvcfile.Map, err error) {
	if !has(t.Spec, anchor("data")) {
		return nil, nil, errs.New(errs.ProjectFile, "Template '%s' is not using '%s' anchor", t.Name, anchor("data"))
	}
	f := &filler{spec: t.Spec, split: split, anchors: obj()}
	for _, name := range optionalAnchors() {
		if has(t.Spec, anchor(name)) {
			f.open = append(f.open, name)
		}
	}
	points := p.Points
	if len(f.open) > 0 {
		varied := p.varied()
		p.fillOptional(f, varied)
		points = p.keyed(varied)
	}
	data := make([]dvcfile.Value, len(points))
	for i, point := range points {
		data[i] = point
	}
	f.required("title", p.text("title"))
	f.required("x", escaped(p.X))
	f.required("y", escaped(p.Y))
	f.required("x_label", p.text("x_label"))
	f.required("y_label", p.text("y_label"))
	f.required("data", data)
	return f.spec, f.anchors, nil
}

// escaped makes a field's name that Vega does not read as a path.
func escaped(name string) string {
	return strings.NewReplacer(".", `\.`, "[", `\[`, "]", `\]`).Replace(name)
}

func (f *filler) required(name string, v dvcfile.Value) {
	if slices.Contains(f.split, name) {
		f.anchors.Set(anchor(name), v)
		return
	}
	f.spec = replaced(f.spec, anchor(name), v).(*dvcfile.Map)
}

// optional fills an anchor where the template has it.
func (f *filler) optional(name string, v dvcfile.Value) {
	i := slices.Index(f.open, name)
	if i < 0 {
		return
	}
	f.open = slices.Delete(f.open, i, i+1)
	f.required(name, v)
}

// varied names what tells the plot's lines apart: filename, field, or both.
// Nothing does where there is one line.
func (p *Plot) varied() []string {
	if len(p.Lines) <= 1 {
		return nil
	}
	var keys []string
	if slices.ContainsFunc(p.Lines, func(l Line) bool { return l.File != p.Lines[0].File }) {
		keys = append(keys, "filename")
	}
	if slices.ContainsFunc(p.Lines, func(l Line) bool { return l.Field != p.Lines[0].Field }) {
		keys = append(keys, "field")
	}
	return keys
}

func (p *Plot) fillOptional(f *filler, varied []string) {
	revs := make([]string, len(p.Revs))
	copy(revs, p.Revs)
	f.optional("color", mapping("rev", revs, colours(), false))
	f.optional("zoom_and_pan", obj("name", "grid", "select", "interval", "bind", "scales"))
	f.optional("plot_height", number(300))
	f.optional("plot_width", number(300))
	source := strings.Join(varied, separator)
	groups, pivot := list("rev"), "datum.rev"
	fields := []string{"rev", p.X, p.Y}
	if len(p.Lines) > 1 {
		groups = append(groups, source)
		fields = append(fields, source)
		pivot = "datum." + strings.Join(append([]string{"rev"}, varied...), " + '"+separator+"' + datum.")
	}
	f.optional("group_by", groups)
	f.optional("group_by_x", append(slices.Clone(groups), p.X))
	f.optional("group_by_y", append(slices.Clone(groups), p.Y))
	f.optional("pivot_field", pivot)
	if len(p.Lines) > 1 {
		f.optional("row", obj("field", source, "sort", list()))
		f.optional("column", obj("field", source, "sort", list()))
	}
	var tooltip []dvcfile.Value
	for _, name := range fields {
		tooltip = append(tooltip, obj("field", name))
	}
	f.optional("tooltip", tooltip)
	if len(p.Lines) > 1 {
		f.optional("stroke_dash", mapping(source, p.sources(varied), dashes(), true))
		f.optional("shape", mapping(source, p.sources(varied), shapes(), true))
	}
	for _, name := range f.open { // what tells apart where there is nothing to
		f.spec = replaced(f.spec, anchor(name), obj()).(*dvcfile.Map)
	}
}

// sources lists the values of the key that tells lines apart, sorted.
func (p *Plot) sources(varied []string) []string {
	var all []string
	for _, l := range p.Lines {
		if s := l.source(varied); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return all
}

func (l Line) source(varied []string) string {
	switch {
	case len(varied) == 2:
		return l.File + separator + l.Field
	case len(varied) == 0:
		return ""
	case varied[0] == "filename":
		return l.File
	}
	return l.Field
}

// mapping encodes a key by colour, dash or shape.
func mapping(key string, domain []string, values []dvcfile.Value, plainLegend bool) *dvcfile.Map {
	var names, picked []dvcfile.Value
	for i, name := range domain {
		names = append(names, name)
		picked = append(picked, values[i%len(values)])
	}
	m := obj("field", key, "scale", obj("domain", names, "range", picked))
	if plainLegend {
		m.Set("legend", obj("symbolFillColor", "transparent", "symbolStrokeColor", "grey"))
	}
	return m
}

// keyed gives the rows with the key that tells lines apart, and without what
// does not.
func (p *Plot) keyed(varied []string) []*dvcfile.Map {
	points := copies(p.Points)
	for _, point := range points {
		file, _ := point.Get("filename")
		field, _ := point.Get("field")
		if len(varied) == 2 {
			point.Set(strings.Join(varied, separator), dvcfile.PyStr(file)+separator+dvcfile.PyStr(field))
		}
		for _, key := range []string{"filename", "field"} {
			if len(varied) == 2 || !slices.Contains(varied, key) {
				point.Delete(key)
			}
		}
	}
	return points
}
