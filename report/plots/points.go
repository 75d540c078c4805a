package plots

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// Names that rows get.
const (
	stepField = "step"                 // number of a row, where no x is named
	inferredX = "dvc_inferred_x_value" // x of rows whose files call it differently
	inferredY = "dvc_inferred_y_value"
)

// FieldError is a field that a file does not have.
type FieldError struct {
	Field string
	Found []string // fields that it has
}

func (e FieldError) Error() string {
	return fmt.Sprintf("Could not find provided field ('%s') in data fields ('%s').", e.Field, strings.Join(e.Found, ", "))
}

// dataError says in DVC's words why data cannot be drawn.
type dataError string

func (e dataError) Error() string { return string(e) }

// rows is the data of one plot in one revision.
type rows struct {
	points []*dvcfile.Map
	x, y   string
	lines  []Line
	props  *dvcfile.Map
}

// field is a column of a file.
type field struct{ file, name string }

// collect makes the rows of a plot: those of the first source of y, then those
// of the next, each with its x. A plot without data gives none.
func collect(rev, id string, props *dvcfile.Map, data map[string]pipeline.PlotData, sources []string) (rows, error) {
	tables := map[string][]*dvcfile.Map{}
	for _, src := range sources {
		if d := data[src]; d.Err == nil && !empty(d.Value) {
			tables[src] = table(d.Value)
		}
	}
	xs, ys := axes(id, props, tables, data)
	for _, f := range slices.Concat(xs, ys) {
		if t, ok := tables[f.file]; ok {
			if len(t) == 0 {
				return rows{}, dataError(fmt.Sprintf("'%s' has no list of records with equal keys.", f.file))
			}
			if _, has := t[0].Get(f.name); !has {
				return rows{}, FieldError{f.name, t[0].Keys()}
			}
		}
	}
	if len(xs) > 1 && len(xs) != len(ys) {
		return rows{}, dataError(fmt.Sprintf("Cannot have different number of x and y data sources. Found %d x and %d y data sources.", len(xs), len(ys)))
	}
	r := rows{x: nameOf(xs, inferredX), y: nameOf(ys, inferredY), props: labelled(props, xs, ys)}
	if len(xs) == 0 {
		r.x = stepField
	}
	if len(xs) == 1 { // one x for all y
		xs = slices.Repeat(xs, len(ys))
	}
	short := shortNames(ys)
	for i, y := range ys {
		r.lines = append(r.lines, Line{short[y.file], y.name})
		line := copies(tables[y.file])
		if r.y == inferredY {
			setColumn(line, inferredY, line, y.name)
		}
		if len(xs) == 0 {
			for n, point := range line {
				point.Set(stepField, dvcfile.NewInt(int64(n)))
			}
		} else if from := tables[xs[i].file]; len(from) != len(line) {
			return rows{}, dataError(fmt.Sprintf("Cannot join '%s' from '%s' and '%s' from '%s'. They have to have same length.",
				xs[i].name, xs[i].file, y.name, y.file))
		} else {
			setColumn(line, r.x, from, xs[i].name)
		}
		for _, point := range line {
			point.Set("rev", rev)
			point.Set("filename", short[y.file])
			point.Set("field", y.name)
		}
		r.points = append(r.points, line...)
	}
	return r, nil
}

// axes gives the columns of x (none: rows are numbered) and y. Where y is not
// said, it is the last column of the first list of the plot's file.
func axes(id string, props *dvcfile.Map, tables map[string][]*dvcfile.Map, data map[string]pipeline.PlotData) (xs, ys []field) {
	switch y := prop(props, "y").(type) {
	case *dvcfile.Map:
		ys = fieldsOf(y)
	case nil:
		for _, list := range lists(data[id].Value) {
			if first, ok := firstRecord(list); ok && tables[id] != nil && first.Len() > 0 {
				ys = []field{{id, first.Keys()[first.Len()-1]}}
				break
			}
		}
	default:
		ys = fieldsOf(dvcfile.NewMap(id, y))
	}
	switch x := prop(props, "x").(type) {
	case *dvcfile.Map:
		xs = fieldsOf(x)
	case string:
		if _, many := prop(props, "y").(*dvcfile.Map); !many {
			return []field{{id, x}}, ys
		}
		for _, y := range ys {
			xs = append(xs, field{y.file, x})
		}
	}
	return xs, ys
}

func prop(props *dvcfile.Map, key string) dvcfile.Value {
	v, _ := props.Get(key)
	return v
}

// fieldsOf reads a mapping of files to a field or a list of fields.
func fieldsOf(axis *dvcfile.Map) []field {
	var all []field
	for i := range axis.Len() {
		file, v := axis.At(i)
		names, ok := v.([]dvcfile.Value)
		if !ok {
			names = []dvcfile.Value{v}
		}
		for _, n := range names {
			all = append(all, field{file, dvcfile.PyStr(n)})
		}
	}
	return all
}

// nameOf is the key of an axis in the rows: the name that all fields have, else
// a made-up one.
func nameOf(fields []field, inferred string) string {
	switch name := commonName(fields); {
	case name == "" && len(fields) > 0:
		return inferred
	default:
		return name
	}
}

// commonName is the name of all fields, or "" where they differ.
func commonName(fields []field) string {
	for _, f := range fields {
		if f.name != fields[0].name {
			return ""
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return fields[0].name
}

// labelled is the properties with the labels of the axes.
func labelled(props *dvcfile.Map, xs, ys []field) *dvcfile.Map {
	m := &dvcfile.Map{}
	for i := range props.Len() {
		if key, v := props.At(i); key != "x" && key != "y" {
			m.Set(key, v)
		}
	}
	label := func(key string, fields []field, other string) {
		if prop(m, key) != nil {
			return
		}
		if name := commonName(fields); name != "" {
			other = name
		}
		m.Set(key, other)
	}
	label("y_label", ys, "y")
	if len(xs) == 0 {
		label("x_label", nil, stepField)
	} else {
		label("x_label", xs, "x")
	}
	return m
}

// shortNames drops from the files of y the folder that all of them are in.
func shortNames(ys []field) map[string]string {
	short := map[string]string{}
	var common []string
	for i, y := range ys {
		parts := strings.Split(path.Clean(y.file), "/")
		if i == 0 {
			common = parts
		}
		n := 0
		for n < min(len(parts), len(common)) && parts[n] == common[n] {
			n++
		}
		common = common[:n]
		short[y.file] = y.file
	}
	if len(short) > 1 {
		for file := range short {
			short[file] = strings.Trim(file[len(strings.Join(common, "/")):], `/\`)
		}
	}
	return short
}

func empty(v dvcfile.Value) bool {
	switch v := v.(type) {
	case []dvcfile.Value:
		return len(v) == 0
	case *dvcfile.Map:
		return v.Len() == 0
	}
	return v == nil
}

// lists gives the lists of a file: the file itself, or those in its mappings at
// any depth.
func lists(v dvcfile.Value) [][]dvcfile.Value {
	switch v := v.(type) {
	case []dvcfile.Value:
		return [][]dvcfile.Value{v}
	case *dvcfile.Map:
		var all [][]dvcfile.Value
		for i := range v.Len() {
			_, item := v.At(i)
			all = append(all, lists(item)...)
		}
		return all
	}
	return nil
}

// firstRecord gives the first element of a list of mappings; false where it is
// none, or empty.
func firstRecord(list []dvcfile.Value) (*dvcfile.Map, bool) {
	for _, item := range list {
		if _, ok := item.(*dvcfile.Map); !ok {
			return nil, false
		}
	}
	if len(list) == 0 {
		return nil, false
	}
	return list[0].(*dvcfile.Map), true
}

// table makes rows of the lists of records in a file. The n-th row has the keys
// of the n-th records of all lists. A list whose records have different keys is
// left out.
func table(v dvcfile.Value) []*dvcfile.Map {
	var points []*dvcfile.Map
	for _, list := range lists(v) {
		first, ok := firstRecord(list)
		if !ok || !sameKeys(first, list) {
			continue
		}
		for i, item := range list {
			if i == len(points) {
				points = append(points, &dvcfile.Map{})
			}
			record := item.(*dvcfile.Map)
			for n := range record.Len() {
				key, value := record.At(n)
				points[i].Set(key, value)
			}
		}
	}
	return points
}

// sameKeys tells whether the first record has every key that another one has.
func sameKeys(first *dvcfile.Map, list []dvcfile.Value) bool {
	for _, item := range list {
		for _, key := range item.(*dvcfile.Map).Keys() {
			if _, ok := first.Get(key); !ok {
				return false
			}
		}
	}
	return true
}

func copies(points []*dvcfile.Map) []*dvcfile.Map {
	out := make([]*dvcfile.Map, len(points))
	for i, p := range points {
		out[i] = &dvcfile.Map{}
		for n := range p.Len() {
			key, v := p.At(n)
			out[i].Set(key, v)
		}
	}
	return out
}

// setColumn sets a key of each row to a field of the row beside it. The two
// have one length.
func setColumn(points []*dvcfile.Map, key string, from []*dvcfile.Map, name string) {
	for i, p := range points {
		if v, ok := from[i].Get(name); ok {
			p.Set(key, v)
		}
	}
}
