package dvcfile

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// stageBuilder makes a Stage of a definition whose templates are filled in.
type stageBuilder struct {
	stage *Stage
	def   *Node // the definition, for positions
}

// fail is about the i-th item of a field, or about the field where i < 0.
func (b *stageBuilder) fail(field string, i int, format string, args ...any) error {
	return errs.At(b.pos(field, i), "stage '%s': "+format, append([]any{b.stage.Name}, args...)...)
}

func (b *stageBuilder) pos(field string, i int) errs.Pos {
	n := b.def.Get(field)
	if n == nil {
		return b.def.Pos
	}
	if i >= 0 && i < len(n.Items) {
		n = n.Items[i]
	}
	return n.Pos
}

func (b *stageBuilder) build(filled *Map) error {
	s := b.stage
	for i := range filled.Len() {
		field, v := filled.At(i)
		var err error
		switch field {
		case "cmd":
			err = b.cmd(v)
		case "wdir":
			if v != nil {
				s.WDir, err = b.str(field, v)
			}
		case "desc":
			if v != nil {
				s.Desc = PyStr(v) // DVC does not mind a number here
			}
		case "meta":
			s.Meta = v
		case "frozen":
			s.Frozen, _ = v.(bool)
		case "always_changed":
			s.AlwaysChanged, _ = v.(bool)
		case "deps":
			s.Deps, err = b.strings(field, v)
			for i := range s.Deps {
				s.DepPos = append(s.DepPos, b.pos(field, i))
			}
		case "params":
			err = b.params(v)
		}
		if err != nil {
			return err
		}
	}
	for _, kind := range []Kind{Out, Metric, Plot} {
		if v, ok := filled.Get(kind.String()); ok {
			if err := b.outputs(kind, v.([]Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *stageBuilder) str(field string, v Value) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", b.fail(field, -1, "'%s' resolves to %s, expected a string", field, typeName(v))
	}
	return s, nil
}

func (b *stageBuilder) strings(field string, v Value) ([]string, error) {
	list := v.([]Value)
	out := make([]string, len(list))
	for i, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, b.fail(field, i, "an item of '%s' resolves to %s, expected a string", field, typeName(item))
		}
		out[i] = s
	}
	return out, nil
}

// cmd sets the command as it is compared and as it is run. An empty one is
// read, as DVC reads it: only the stage that has it cannot be run.
func (b *stageBuilder) cmd(v Value) error {
	b.stage.Cmd, b.stage.CmdPos = v, b.pos("cmd", -1)
	switch v := v.(type) {
	case string:
		b.stage.Commands = splitLines(v)
		return nil
	case []Value:
		var err error
		b.stage.Commands, err = b.strings("cmd", v)
		return err
	case *Map:
		return errs.Hint(b.fail("cmd", -1, "'cmd' resolves to a mapping, expected a command"),
			"put the program before it: cmd: python train.py ${...}")
	}
	return b.fail("cmd", -1, "'cmd' resolves to %s, expected a string or a list", typeName(v))
}

// splitLines cuts a text at all the line breaks that Python's splitlines
// knows; a break at the end makes no empty line.
func splitLines(s string) []string {
	var lines []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			return append(lines, s)
		}
		lines = append(lines, s[:i])
		switch {
		case strings.HasPrefix(s[i:], "\r\n"), s[i] == 0xc2:
			i += 2
		case s[i] == 0xe2:
			i += 3
		default:
			i++
		}
		s = s[i:]
	}
	return lines
}

// params groups the params of a stage by file, each file where it is first
// named. A file named without keys is tracked whole, whatever else names it.
func (b *stageBuilder) params(v Value) error {
	list := v.([]Value)
	whole := map[string]bool{}
	for _, item := range list {
		if m, ok := item.(*Map); ok {
			for i := range m.Len() {
				if file, keys := m.At(i); !truthy(keys) {
					whole[file] = true
				}
			}
		}
	}
	add := func(pos func(n int) errs.Pos, file string, keys ...string) {
		i := slices.IndexFunc(b.stage.Params, func(d ParamsDep) bool { return d.File == file })
		if i < 0 {
			i = len(b.stage.Params)
			b.stage.Params = append(b.stage.Params, ParamsDep{File: file, Pos: pos(-1), keyPos: map[string]errs.Pos{}})
		}
		if whole[file] {
			return
		}
		d := &b.stage.Params[i]
		for n, k := range keys {
			if !slices.Contains(d.Keys, k) {
				d.Keys = append(d.Keys, k)
				d.keyPos[k] = pos(n)
			}
		}
	}
	for i, item := range list {
		at := func(int) errs.Pos { return b.pos("params", i) }
		switch item := item.(type) {
		case string:
			if !whole[DefaultParamsFile] {
				add(at, DefaultParamsFile, item)
			}
		case *Map:
			for j := range item.Len() {
				file, v := item.At(j)
				keys, ok := v.([]Value)
				if !ok && truthy(v) {
					return b.fail("params", i, "expected a list of params for the file '%s', got %s", file, typeName(v))
				}
				texts := make([]string, len(keys))
				for n, k := range keys {
					texts[n] = PyStr(k)
				}
				add(b.keyPlaces(i, j), file, texts...)
			}
		default:
			return b.fail("params", i, "an item of 'params' resolves to %s, expected a key or a mapping", typeName(item))
		}
	}
	return nil
}

// keyPlaces gives the places of the keys of the j-th file in the i-th item of
// params, and for -1 that of the file.
func (b *stageBuilder) keyPlaces(i, j int) func(n int) errs.Pos {
	return func(n int) errs.Pos {
		params := b.def.Get("params")
		if params == nil || i >= len(params.Items) {
			return b.def.Pos
		}
		item := params.Items[i]
		switch {
		case j >= len(item.Keys):
			return item.Pos
		case n < 0 || n >= len(item.Items[j].Items):
			return item.Keys[j].Pos
		}
		return item.Items[j].Items[n].Pos
	}
}

// outputs adds the outputs of one list; a path given twice has the flags of
// both entries.
func (b *stageBuilder) outputs(kind Kind, list []Value) error {
	flags := &Map{}
	first := map[string]int{}
	merge := func(path string, more *Map, i int) {
		if _, ok := flags.Get(path); !ok {
			flags.Set(path, &Map{})
			first[path] = i
		}
		v, _ := flags.Get(path)
		for j := range more.Len() {
			key, flag := more.At(j)
			v.(*Map).Set(key, flag)
		}
	}
	for i, item := range list {
		switch item := item.(type) {
		case string:
			merge(item, nil, i)
		case *Map:
			for j := range item.Len() {
				path, v := item.At(j)
				more, ok := v.(*Map)
				if !ok {
					return b.fail(kind.String(), i, "expected a mapping of flags for '%s', got %s", path, typeName(v))
				}
				merge(path, more, i)
			}
		default:
			return b.fail(kind.String(), i, "an item of '%s' resolves to %s, expected a path", kind, typeName(item))
		}
	}
	for j := range flags.Len() {
		path, v := flags.At(j)
		b.stage.Outs = append(b.stage.Outs, newOutput(path, kind, v.(*Map), b.pos(kind.String(), first[path])))
	}
	return nil
}

func newOutput(path string, kind Kind, flags *Map, pos errs.Pos) Output {
	boolean := func(key string, missing bool) bool {
		v, ok := flags.Get(key)
		if b, isBool := v.(bool); ok && isBool {
			return b
		}
		return missing
	}
	text := func(key string) string {
		v, ok := flags.Get(key)
		if !ok || v == nil {
			return ""
		}
		return PyStr(v)
	}
	o := Output{Path: path, Kind: kind, Pos: pos, Cache: boolean("cache", true), Persist: boolean("persist", false),
		Push: boolean("push", true), Remote: text("remote"), Desc: text("desc"), Type: text("type")}
	o.Meta, _ = flags.Get("meta")
	if v, ok := flags.Get("labels"); ok {
		for _, l := range v.([]Value) {
			o.Labels = append(o.Labels, PyStr(l))
		}
	}
	if kind != Plot {
		return o
	}
	p := PlotProps{Template: text("template"), X: text("x"), Y: text("y"), XLabel: text("x_label"),
		YLabel: text("y_label"), Title: text("title")}
	if header, ok := flags.Get("header"); ok {
		b, _ := header.(bool)
		p.Header = &b
	}
	if p != (PlotProps{}) {
		o.Plot = &p
	}
	return o
}
