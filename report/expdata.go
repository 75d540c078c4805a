package report

import (
	"errors"
	"time"

	"ctrx/pipeline/dvcfile"
)

// ExpData is what a revision holds, with when it was made. It has the content,
// or the JSON of it, or both: a listing as JSON does not take apart what is
// kept as JSON. It is for one goroutine.
type ExpData struct {
	Rev  string    // of the files: "workspace" for a run that is under way
	Time time.Time // of the commit; zero for the work tree

	content *ExpContent
	text    []byte
}

// NewExpData is data with a content.
func NewExpData(c ExpContent) *ExpData { return &ExpData{content: &c} }

// KeptExpData is data whose content is a text that Text gave.
func KeptExpData(text []byte) *ExpData { return &ExpData{text: text} }

// Text is the content as JSON, in the form that `exp show` prints.
func (d *ExpData) Text() []byte {
	if d.text == nil {
		deps, outs := &dvcfile.Map{}, &dvcfile.Map{}
		for _, dep := range d.content.Deps {
			deps.Set(dep.Path, dep.value())
		}
		for _, out := range d.content.Outs {
			v := out.value()
			v.Set("use_cache", out.Cached)
			v.Set("is_data_source", out.Source)
			outs.Set(out.Path, v)
		}
		d.text = dvcfile.JSON(dvcfile.NewMap("params", filesValue(d.content.Params), "metrics", filesValue(d.content.Metrics),
			"deps", deps, "outs", outs, "meta", &dvcfile.Map{}))
	}
	return d.text
}

// Content is the content. What cannot be read of a text is missing in it.
func (d *ExpData) Content() ExpContent {
	if d.content == nil {
		d.content = &ExpContent{}
		v, _ := dvcfile.ReadData("content.json", d.text)
		if m, ok := v.(*dvcfile.Map); ok {
			*d.content = contentOf(m)
		}
	}
	return *d.content
}

// WithoutMetrics is a copy without the metrics.
func (d *ExpData) WithoutMetrics() *ExpData {
	c := d.Content()
	c.Metrics = nil
	return &ExpData{Rev: d.Rev, Time: d.Time, content: &c}
}

// naiveTime is ISO 8601 without a zone, as Python writes a datetime of whole
// seconds.
const naiveTime = "2006-01-02T15:04:05"

// json is the text with revision and time in front.
func (d *ExpData) json(place *time.Location) dvcfile.RawJSON {
	var when dvcfile.Value
	if !d.Time.IsZero() {
		when = d.Time.In(place).Format(naiveTime)
	}
	head := dvcfile.JSON(dvcfile.NewMap("rev", d.Rev, "timestamp", when))
	out := append(head[:len(head)-1], ", "...)
	return append(out, d.Text()[1:]...)
}

// contentOf takes a content apart that Text wrote.
func contentOf(m *dvcfile.Map) ExpContent {
	c := ExpContent{Params: filesIn(m, "params"), Metrics: filesIn(m, "metrics")}
	deps := mapIn(m, "deps")
	for i := range deps.Len() {
		name, v := deps.At(i)
		c.Deps = append(c.Deps, depOf(name, v))
	}
	outs := mapIn(m, "outs")
	for i := range outs.Len() {
		name, v := outs.At(i)
		fields, _ := v.(*dvcfile.Map)
		cached, _ := fields.Get("use_cache")
		source, _ := fields.Get("is_data_source")
		c.Outs = append(c.Outs, ExpOut{ExpDep: depOf(name, v), Cached: cached == true, Source: source == true})
	}
	return c
}

func mapIn(m *dvcfile.Map, key string) *dvcfile.Map {
	v, _ := m.Get(key)
	below, _ := v.(*dvcfile.Map)
	return below
}

func filesIn(m *dvcfile.Map, key string) []File {
	var files []File
	all := mapIn(m, key)
	for i := range all.Len() {
		name, v := all.At(i)
		f := File{Path: name, Rel: name}
		fields, _ := v.(*dvcfile.Map)
		if failed := mapIn(fields, "error"); failed != nil {
			kind, _ := failed.Get("type")
			text, _ := failed.Get("msg")
			f.Err = keptError{dvcfile.PyStr(kind), dvcfile.PyStr(text)}
		} else {
			f.Data, _ = fields.Get("data")
		}
		files = append(files, f)
	}
	return files
}

func depOf(name string, v dvcfile.Value) ExpDep {
	fields, _ := v.(*dvcfile.Map)
	d := ExpDep{Path: name}
	hash, _ := fields.Get("hash")
	d.Hash, _ = hash.(string)
	number := func(key string) *int64 {
		v, _ := fields.Get(key)
		i, isInt := v.(dvcfile.Int)
		n, small := i.Int64()
		if !isInt || !small {
			return nil
		}
		return &n
	}
	d.Size, d.NFiles = number("size"), number("nfiles")
	return d
}

// keptError is an error as JSON describes it.
type keptError struct{ kind, text string }

func (e keptError) Error() string { return e.text }

// kept gives back the JSON of an error that was read from JSON.
func kept(err error) (*dvcfile.Map, bool) {
	var e keptError
	if !errors.As(err, &e) {
		return nil, false
	}
	return dvcfile.NewMap("type", e.kind, "msg", e.text), true
}
