package plots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Template is a Vega-Lite spec in which a text <DVC_METRIC_...> stands for what
// is filled in.
type Template struct {
	Name   string
	Spec   *dvcfile.Map
	custom bool
}

// anchor is the text that stands for a value in a template.
func anchor(name string) string { return "<DVC_METRIC_" + strings.ToUpper(name) + ">" }

// Templates finds templates by name: files of the project first, then those
// that are built in.
type Templates struct {
	Dirs []string // folders with NAME or NAME.json: .dvc/plots, and where the user stands
}

// DefaultTemplate is the template of a plot that names none.
const DefaultTemplate = "linear"

// Get finds a template; "" is the default one.
func (t Templates) Get(name string) (Template, error) {
	if name == "" {
		name = DefaultTemplate
	}
	for i, dir := range t.Dirs {
		for _, suffix := range []string{"", ".json"} {
			if suffix != "" && i > 0 {
				continue // only in the first folder the suffix may be left out
			}
			file := filepath.Join(dir, name+suffix)
			if filepath.IsAbs(name) {
				file = name
			}
			data, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) || isFolder(file) {
				continue
			}
			if err != nil {
				return Template{}, fmt.Errorf("read the plot template %s: %w", name, err)
			}
			return customTemplate(name, file, data)
		}
	}
	for _, b := range builtin() {
		if b.name == name {
			return Template{Name: name, Spec: b.spec()}, nil
		}
	}
	return Template{}, TemplateError{name}
}

func isFolder(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.IsDir()
}

func customTemplate(name, file string, data []byte) (Template, error) {
	v, err := dvcfile.ParseJSON(file, data)
	if err != nil {
		return Template{}, err
	}
	spec, ok := v.(*dvcfile.Map)
	if !ok || spec.Len() == 0 {
		return Template{}, errs.At(errs.Pos{File: file}, "a plot template is a JSON object, a Vega-Lite spec")
	}
	return Template{Name: name, Spec: spec, custom: true}, nil
}

// TemplateError is a template that is not there.
type TemplateError struct{ Name string }

func (e TemplateError) Error() string { return fmt.Sprintf("Template '%s' not found.", e.Name) }

// Kind is that of things not found.
func (e TemplateError) Kind() errs.Kind { return errs.NotFound }

// Hint names the templates that there are.
func (e TemplateError) Hint() string {
	return "a template is one of " + strings.Join(BuiltinNames(), ", ") + ", or a file in .dvc/plots"
}

// BuiltinNames lists the templates that are built in, in DVC's order.
func BuiltinNames() []string {
	var names []string
	for _, b := range builtin() {
		names = append(names, b.name)
	}
	return names
}

// Builtin gives a built-in template by name.
func Builtin(name string) (*dvcfile.Map, error) {
	for _, b := range builtin() {
		if b.name == name {
			return b.spec(), nil
		}
	}
	return nil, TemplateError{name}
}

// optionalAnchors are those that a template need not have, and that are filled
// only where it does.
func optionalAnchors() []string {
	return []string{"color", "column", "group_by_x", "group_by_y", "group_by", "pivot_field", "plot_height",
		"plot_width", "row", "shape", "stroke_dash", "tooltip", "zoom_and_pan"}
}

// splitAnchors are those that stay in a template which an editor fills itself.
func splitAnchors() []string {
	return []string{"color", "data", "plot_height", "plot_width", "shape", "stroke_dash", "title", "tooltip", "x_label", "y_label", "zoom_and_pan"}
}

// has tells whether an anchor stands somewhere in a spec as a whole text.
func has(v dvcfile.Value, text string) bool {
	switch v := v.(type) {
	case string:
		return v == text
	case []dvcfile.Value:
		return slices.ContainsFunc(v, func(item dvcfile.Value) bool { return has(item, text) })
	case *dvcfile.Map:
		for i := range v.Len() {
			if _, item := v.At(i); has(item, text) {
				return true
			}
		}
	}
	return false
}

// replaced gives a spec with an anchor replaced: a text that is the anchor by
// the value, and in a mapping a text that contains it by the text with the
// value in it, where that is a text.
func replaced(v dvcfile.Value, name string, value dvcfile.Value) dvcfile.Value {
	switch v := v.(type) {
	case string:
		if v == name {
			return value
		}
	case []dvcfile.Value:
		list := make([]dvcfile.Value, len(v))
		for i, item := range v {
			list[i] = replaced(item, name, value)
		}
		return list
	case *dvcfile.Map:
		m := &dvcfile.Map{}
		for i := range v.Len() {
			key, item := v.At(i)
			text, isText := item.(string)
			with, ok := value.(string)
			if isText && ok && text != name && strings.Contains(text, name) {
				m.Set(key, strings.ReplaceAll(text, name, with))
				continue
			}
			m.Set(key, replaced(item, name, value))
		}
		return m
	}
	return v
}
