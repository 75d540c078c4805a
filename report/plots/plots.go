// Package plots makes plots of what revisions say of them: it joins the
// definitions and the data of several revisions into one [Plot] for each id,
// fills DVC's templates, and gives the result as DVC's JSON, as a page (folder
// page) or as SVG (folder svg).
//
// The way through the package: [Join] groups definitions by id (this file) and
// turns each file's content into rows (points.go); [Template] is a Vega-Lite
// spec with anchors such as <DVC_METRIC_X> in it (template.go, builtin.go);
// [Plot.Spec] fills it (fill.go); [JSON], [Plot.Page] and [Plot.Chart] print.
package plots

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// Revision is one side of a comparison of plots.
type Revision struct {
	Name string // as the user wrote it; "workspace" is the work tree
	Set  pipeline.PlotSet
	Err  error // the whole revision could not be read
}

// Plot is one plot over all revisions.
type Plot struct {
	// ID is the plot's name or the path of its file. Where several dvc.yaml
	// files define one id it is "<dvc.yaml>::<id>".
	ID     string
	Images []Image // of an image plot, one for each revision that has it; nil else

	// Of a plot that is drawn from data:
	Revs   []string       // revisions that have data, in the order given
	Points []*dvcfile.Map // rows of all revisions; each has rev, filename and field besides its own keys
	X, Y   string         // keys of Points; empty where there is no data
	Props  *dvcfile.Map   // as in pipeline.PlotDef, without x and y; title, x_label, y_label are set
	Lines  []Line         // the sources of Y, in order

	Errors []Error
}

// Line is a source of a plot's y values: a field of a file.
type Line struct {
	File  string // shortened by what all files of the plot have in common
	Field string
}

// Image is an image plot's file in one revision.
type Image struct {
	Rev  string
	File string // path as seen from where the user stands
	Data []byte
}

// Error says what of a plot could not be shown.
type Error struct {
	Plot   string // the plot's ID; empty for a whole revision
	Rev    string
	Source string // path of the file that could not be read; empty for what is wrong with the definition
	Rel    string // the same relative to the project
	Err    error
}

// definition is what one revision says of a plot.
type definition struct {
	rev   Revision
	id    string // as defined
	props *dvcfile.Map
}

// Join makes the plots of the revisions, in the order in which they are first
// defined. What cannot be read or drawn is told in Plot.Errors; revisions with
// an Err have no plots.
func Join(revs []Revision) []*Plot {
	var order []string
	groups := map[string][]definition{}
	for _, r := range revs {
		for _, d := range byID(r) {
			if groups[d.full] == nil {
				order = append(order, d.full)
			}
			groups[d.full] = append(groups[d.full], definition{r, d.id, d.props})
		}
	}
	all := make([]*Plot, 0, len(order))
	for _, id := range order {
		all = append(all, join(id, groups[id]))
	}
	return all
}

type identified struct {
	full, id string
	props    *dvcfile.Map
}

// byID lists the plots of a revision. An id that stands in more than one file
// is made unique by the file's name.
func byID(r Revision) []identified {
	files := map[string]int{}
	for _, f := range r.Set.Files {
		for _, d := range f.Plots {
			files[d.ID]++
		}
	}
	var all []identified
	done := map[string]bool{}
	for _, f := range r.Set.Files {
		for _, d := range f.Plots {
			if done[d.ID] {
				continue
			}
			done[d.ID] = true
			if files[d.ID] == 1 {
				all = append(all, identified{d.ID, d.ID, d.Props})
				continue
			}
			for _, other := range r.Set.Files {
				for _, o := range other.Plots {
					if o.ID != d.ID {
						continue
					}
					full := o.ID
					if other.Path != "" {
						full = other.Path + "::" + o.ID
					}
					all = append(all, identified{full, o.ID, o.Props})
				}
			}
		}
	}
	return all
}

func join(id string, defs []definition) *Plot {
	p := &Plot{ID: id}
	// An earlier revision's properties win over those of later ones.
	props := &dvcfile.Map{}
	for _, d := range slices.Backward(defs) {
		for i := range d.props.Len() {
			key, v := d.props.At(i)
			props.Set(key, v)
		}
	}
	for _, d := range defs {
		def := pipeline.PlotDef{ID: d.id, Props: d.props}
		for _, src := range pipeline.PlotSources(def) {
			if data := d.rev.Set.Data[src]; data.Err != nil {
				p.Errors = append(p.Errors, Error{Plot: id, Rev: d.rev.Name, Source: src, Rel: data.Rel, Err: data.Err})
			}
		}
		if pipeline.IsImage(d.id) {
			p.ID = d.id
			if data := d.rev.Set.Data[d.id]; data.Err == nil && len(data.Image) > 0 {
				p.Images = append(p.Images, Image{d.rev.Name, d.id, data.Image})
			}
			continue
		}
		if err := p.addPoints(d, props); err != nil {
			p.Errors = append(p.Errors, Error{Plot: id, Rev: d.rev.Name, Err: err})
		}
	}
	if p.Props == nil {
		p.Props = &dvcfile.Map{}
	}
	if _, titled := p.Props.Get("title"); !titled {
		p.Props.Set("title", p.ID)
	}
	return p
}

// addPoints adds the rows of a revision.
func (p *Plot) addPoints(d definition, props *dvcfile.Map) error {
	rows, err := collect(d.rev.Name, d.id, props, d.rev.Set.Data, pipeline.PlotSources(pipeline.PlotDef{ID: d.id, Props: d.props}))
	if err != nil || len(rows.points) == 0 {
		return err
	}
	if !slices.Contains(p.Revs, d.rev.Name) {
		p.Revs = append(p.Revs, d.rev.Name)
	}
	if p.Props == nil {
		p.Props, p.X, p.Y, p.Lines = rows.props, rows.x, rows.y, rows.lines
	}
	p.Points = append(p.Points, rows.points...)
	return nil
}

// text gives a property that is a text.
func (p *Plot) text(key string) string {
	v, _ := p.Props.Get(key)
	if v == nil {
		return ""
	}
	return dvcfile.PyStr(v)
}

// Template is the name of the template that the plot asks for; empty where it
// asks for none.
func (p *Plot) Template() string { return p.text("template") }

// HasData tells whether there is something to show.
func (p *Plot) HasData() bool { return len(p.Points) > 0 || len(p.Images) > 0 }

// FileName is the name of a file for the plot, without a suffix: its id with
// everything that a file system could object to replaced.
func (p *Plot) FileName() string {
	name := fileName(p.ID)
	if ext := path.Ext(name); ext != "" && slices.Contains(append(dvcfile.PlotFormats(), pipeline.ImageFormats()...), ext) {
		name = strings.TrimSuffix(name, ext)
	}
	if name = strings.TrimLeft(name, "."); name == "" {
		name = "plot"
	}
	return name
}

// fileName replaces in a text everything that a file system could object to.
func fileName(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, text)
}

func (e Error) Error() string {
	where := e.Rev
	if e.Plot != "" {
		where = fmt.Sprintf("%s, plot %s", e.Rev, e.Plot)
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

func (e Error) Unwrap() error { return e.Err }
