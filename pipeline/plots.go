package pipeline

import (
	"context"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// PlotSet is what one revision says of plots, and the data they are drawn from.
type PlotSet struct {
	Files []PlotFile
	Data  map[string]PlotData // by path, as seen from where the user stands
}

// PlotFile is the plots of one dvc.yaml, or of all stages together.
type PlotFile struct {
	Path  string // of the dvc.yaml, as seen from where the user stands; "" for plots of stages and bare files
	Plots []PlotDef
}

// PlotDef is a plot: a file, or a name with the files that its axes are read
// from.
type PlotDef struct {
	ID string // the path of the file, or the name
	// Props may have template, title, x_label, y_label (texts), header (a
	// boolean), x (a text, or a mapping of one path to a field) and y (a text, a
	// list of texts, or a mapping of paths to a field or a list of fields).
	Props *dvcfile.Map
}

// PlotData is the content of one file.
type PlotData struct {
	Value dvcfile.Value // rows, or whatever lists the file has; nil for an image
	Image []byte        // the bytes of an image; nil for data
	Rel   string
	Err   error // the file is not there or cannot be read
}

// PlotsOptions selects plots and overrides how they are drawn.
type PlotsOptions struct {
	Targets []string     // ids, patterns for the beginning of ids, or files; none means all
	Props   *dvcfile.Map // as in PlotDef, over what is defined; may be nil
}

// ImageFormats are the suffixes of images that can be plots.
func ImageFormats() []string { return []string{".png", ".jpg", ".jpeg", ".gif", ".svg"} }

// IsImage tells whether a plot of this path is an image.
func IsImage(file string) bool { return slices.Contains(ImageFormats(), path.Ext(file)) }

// Plots collects the plots of an index: those at the top of each dvc.yaml, then
// plots outputs of stages, then targets that are files. A folder stands for the
// files in it.
func (p *Project) Plots(ctx context.Context, ix *Index, o PlotsOptions) (PlotSet, error) {
	c := plotCollector{p: p, ctx: ctx, ix: ix, o: o}
	if err := c.compile(); err != nil {
		return PlotSet{}, err
	}
	for _, pl := range ix.Pipelines {
		if len(pl.Plots) > 0 {
			if err := c.topLevel(pl); err != nil {
				return PlotSet{}, err
			}
		}
	}
	if err := c.stages(); err != nil {
		return PlotSet{}, err
	}
	if err := c.targets(); err != nil {
		return PlotSet{}, err
	}
	c.readAll()
	return c.set, ctx.Err()
}

type plotCollector struct {
	p        *Project
	ctx      context.Context
	ix       *Index
	o        PlotsOptions
	patterns []*regexp.Regexp
	set      PlotSet
}

// compile reads targets as DVC does: as patterns for the beginning of an id.
// What is no pattern in Go's syntax stands for itself.
func (c *plotCollector) compile() error {
	for _, t := range c.o.Targets {
		if t == "" {
			return errs.New(errs.Usage, "a target of plots is empty")
		}
		re, err := regexp.Compile("^(?:" + t + ")")
		if err != nil {
			re = regexp.MustCompile("^" + regexp.QuoteMeta(t))
		}
		c.patterns = append(c.patterns, re)
	}
	return nil
}

// wanted tells whether a plot of a dvc.yaml (shown path) is selected.
func (c *plotCollector) wanted(file, id string) bool {
	full := file + "::" + id
	return len(c.patterns) == 0 || slices.ContainsFunc(c.patterns, func(re *regexp.Regexp) bool {
		return re.MatchString(id) || re.MatchString(full)
	})
}

// add puts a plot into a file's list, or its properties over those of the same
// id.
func (f *PlotFile) add(id string, props *dvcfile.Map) {
	for _, old := range f.Plots {
		if old.ID == id {
			over(old.Props, props)
			return
		}
	}
	f.Plots = append(f.Plots, PlotDef{ID: id, Props: props})
}

// over sets the properties of b in a.
func over(a, b *dvcfile.Map) {
	for i := range b.Len() {
		key, v := b.At(i)
		a.Set(key, v)
	}
}

func (c *plotCollector) withOptions(props *dvcfile.Map) *dvcfile.Map {
	m := &dvcfile.Map{}
	over(m, props)
	over(m, c.o.Props)
	return m
}

// topLevel collects the plots at the top of a dvc.yaml. Where folders and files
// in them are both listed, a file belongs to the nearest of them.
func (c *plotCollector) topLevel(pl *dvcfile.Pipeline) error {
	dir, file := path.Dir(pl.File), PlotFile{Path: c.p.Show(pl.File)}
	var roots []string
	for _, spec := range pl.Plots {
		roots = append(roots, path.Join(dir, spec.ID))
	}
	for _, spec := range pl.Plots {
		if !c.wanted(file.Path, spec.ID) {
			continue
		}
		props := specProps(spec)
		if _, named := spec.Y.(*dvcfile.Map); named {
			for _, axis := range []string{"x", "y"} {
				if m, ok := axisOf(props, axis).(*dvcfile.Map); ok {
					props.Set(axis, c.shown(dir, m))
				}
			}
			file.add(spec.ID, c.withOptions(props))
			continue
		}
		root := path.Join(dir, spec.ID)
		members, err := c.p.membersOf(c.ctx, c.ix, root)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m == root || nearest(m, roots) == root {
				file.add(c.p.Show(m), c.withOptions(props))
			}
		}
	}
	c.set.Files = append(c.set.Files, file)
	return nil
}

// nearest is the deepest of the roots that a path lies in.
func nearest(rel string, roots []string) string {
	best := ""
	for _, r := range roots {
		if inside(rel, r) && len(r) > len(best) {
			best = r
		}
	}
	return best
}

// shown makes the paths of an axis, which are relative to the dvc.yaml, those
// that the user sees.
func (c *plotCollector) shown(dir string, axis *dvcfile.Map) *dvcfile.Map {
	m := &dvcfile.Map{}
	for i := range axis.Len() {
		file, field := axis.At(i)
		m.Set(c.p.Show(path.Join(dir, file)), field)
	}
	return m
}

func axisOf(props *dvcfile.Map, axis string) dvcfile.Value {
	v, _ := props.Get(axis)
	return v
}

func specProps(s dvcfile.PlotSpec) *dvcfile.Map {
	m := &dvcfile.Map{}
	for _, axis := range []struct {
		key   string
		value dvcfile.Value
	}{{"x", s.X}, {"y", s.Y}} {
		if axis.value != nil {
			m.Set(axis.key, axis.value)
		}
	}
	setTexts(m, "x_label", s.XLabel, "y_label", s.YLabel, "title", s.Title, "template", s.Template)
	return m
}

func outputProps(o *Output) *dvcfile.Map {
	m := &dvcfile.Map{}
	if o.Plot == nil {
		return m
	}
	setTexts(m, "template", o.Plot.Template, "x", o.Plot.X, "y", o.Plot.Y,
		"x_label", o.Plot.XLabel, "y_label", o.Plot.YLabel, "title", o.Plot.Title)
	if o.Plot.Header != nil {
		m.Set("header", *o.Plot.Header)
	}
	return m
}

// setTexts sets each key of alternating keys and texts whose text is not empty.
func setTexts(m *dvcfile.Map, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m.Set(pairs[i], pairs[i+1])
		}
	}
}

func (c *plotCollector) stages() error {
	var file PlotFile
	for _, s := range c.ix.Stages {
		for _, o := range s.Outs {
			if o.Kind != dvcfile.Plot || !c.wanted(c.p.Show(s.File), c.p.Show(o.Rel)) {
				continue
			}
			members, err := c.p.membersOf(c.ctx, c.ix, o.Rel)
			if err != nil {
				return err
			}
			for _, m := range members {
				file.add(c.p.Show(m), c.withOptions(outputProps(o)))
			}
		}
	}
	c.set.Files = append(c.set.Files, file)
	return nil
}

// targets adds targets that are files or folders, whether a dvc.yaml lists them
// or not.
func (c *plotCollector) targets() error {
	last := &c.set.Files[len(c.set.Files)-1]
	for _, t := range c.o.Targets {
		rel, err := c.p.Rel(t)
		if err != nil {
			continue // a pattern need not be a path
		}
		members, err := c.p.membersOf(c.ctx, c.ix, rel)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m != rel || c.exists(rel) {
				last.add(c.p.Show(m), c.withOptions(nil))
			}
		}
	}
	return nil
}

func (c *plotCollector) exists(rel string) bool {
	data := c.read(rel, nil)
	return data.Err == nil || errs.KindOf(data.Err) == errs.ProjectFile
}

// PlotSources gives the paths of the files that a plot is drawn from.
func PlotSources(d PlotDef) []string {
	sources := []string{d.ID}
	if y, ok := axisOf(d.Props, "y").(*dvcfile.Map); ok {
		sources = slices.Clone(y.Keys())
	}
	if x, ok := axisOf(d.Props, "x").(*dvcfile.Map); ok && x.Len() > 0 && !slices.Contains(sources, x.Keys()[0]) {
		sources = append(sources, x.Keys()[0])
	}
	return sources
}

// readAll reads what the collected plots are drawn from.
func (c *plotCollector) readAll() {
	c.set.Data = map[string]PlotData{}
	for _, f := range c.set.Files {
		for _, d := range f.Plots {
			for _, shown := range PlotSources(d) {
				if _, done := c.set.Data[shown]; !done && c.ctx.Err() == nil {
					rel := path.Join(c.p.Dir, shown)
					if filepath.IsAbs(shown) {
						rel = shown
					}
					c.set.Data[shown] = c.read(rel, c.header(rel))
				}
			}
		}
	}
}

// header tells whether a table has a header: what the options say, else what
// the output says that the file is; nil means it has.
func (c *plotCollector) header(rel string) *bool {
	if v, ok := c.o.Props.Get("header"); ok {
		b, _ := v.(bool)
		return &b
	}
	for _, s := range c.ix.Stages {
		for _, o := range s.Outs {
			if o.Rel == rel && o.Plot != nil {
				return o.Plot.Header
			}
		}
	}
	return nil
}

func (c *plotCollector) read(rel string, header *bool) PlotData {
	d := PlotData{Rel: rel}
	data, err := c.p.readTracked(c.ctx, c.ix, rel)
	if err != nil {
		d.Err = err
		return d
	}
	if IsImage(rel) {
		d.Image = data
		return d
	}
	d.Value, d.Err = dvcfile.ReadPlotData(strings.TrimPrefix(rel, "./"), data, header == nil || *header)
	return d
}
