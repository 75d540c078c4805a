package dvcfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// EmitYAML11 writes a value the way OmegaConf.to_yaml does (PyYAML's dumper:
// YAML 1.1, block style, width 80), which is how DVC writes a params.yaml that
// Hydra composed. Null is null, floats are 1.0e-05, and a string that reads as
// another type, in YAML 1.1 or by Python's int() and float(), is quoted.
// Timestamps are not among OmegaConf's values.
func EmitYAML11(v Value) []byte {
	e := pyEmitter{newEmitter()}
	e.node(v, place{root: true})
	e.writeIndent()
	return e.out
}

// pyEmitter makes the decisions of PyYAML where they differ from those of the
// dumper that DVC uses for its own files.
type pyEmitter struct{ *emitter }

func (e pyEmitter) node(v Value, ctx place) {
	e.ctx = ctx
	switch v := v.(type) {
	case []Value:
		e.list(v)
	case *Map:
		e.mapping(v)
	default:
		e.push(true, false, false)
		e.scalar(v)
		e.pop()
	}
}

func (e pyEmitter) list(v []Value) {
	if len(v) == 0 {
		e.indicator("[]", true, false, false)
		return
	}
	e.push(false, true, e.ctx.mapping && !e.indention)
	for _, item := range v {
		e.writeIndent()
		e.indicator("-", true, false, true)
		e.node(item, place{sequence: true})
	}
	e.pop()
}

func (e pyEmitter) mapping(m *Map) {
	if m.Len() == 0 {
		e.indicator("{}", true, false, false)
		return
	}
	e.push(false, false, false)
	for i := range m.Len() {
		name, value := m.At(i)
		key := m.KeyValue(name)
		e.writeIndent()
		text, tag, _ := scalar11(key)
		if text != "" && utf8.RuneCountInString(text)+len(tag) < maxKey && !strings.ContainsFunc(text, isBreak) {
			e.node(key, place{mapping: true, simpleKey: true})
			e.indicator(":", false, false, false)
		} else {
			e.indicator("?", true, false, true)
			e.node(key, place{mapping: true})
			e.writeIndent()
			e.indicator(":", true, false, true)
		}
		e.node(value, place{mapping: true})
	}
	e.pop()
}

// scalar11 gives the text and type of a scalar, and whether OmegaConf asks for
// quotes.
func scalar11(v Value) (text, tag string, quoted bool) {
	switch v := v.(type) {
	case nil:
		return "null", tagNull, false
	case bool:
		return strconv.FormatBool(v), tagBool, false
	case Int:
		return v.String(), tagInt, false
	case Float:
		return v.yaml11(), tagFloat, false
	case Timestamp:
		return v.Text, tagTimestamp, false
	}
	text = v.(string)
	return text, tagStr, readsAsOther(text)
}

// yaml11 is the number as PyYAML writes it: a point stands before an exponent.
func (f Float) yaml11() string {
	s := f.yaml()
	if mantissa, exp, ok := strings.Cut(s, "e"); ok && !strings.Contains(mantissa, ".") {
		return mantissa + ".0e" + exp
	}
	return s
}

// readsAsOther tells whether OmegaConf quotes a string: the booleans of YAML
// 1.1, and what Python's int() or float() accept.
func readsAsOther(s string) bool {
	if _, ok := bool11(s); ok {
		return true
	}
	switch s {
	case "y", "Y", "n", "N":
		return true
	}
	t := strings.TrimFunc(s, pySpace)
	if t == "" {
		return false
	}
	if _, ok := ParseInt(t); ok {
		return true
	}
	_, ok := parsePyFloat(t)
	return ok
}

// pySpace are the characters that Python's strip() takes off.
func pySpace(r rune) bool {
	switch {
	case r >= 9 && r <= 13, r >= 0x1c && r <= 0x20, r == 0x85, r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a,
		r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

func (e pyEmitter) scalar(v Value) {
	text, tag, quoted := scalar11(v)
	a := analyze(text)
	split := !e.ctx.simpleKey
	switch {
	case !quoted && a.blockPlain && resolvePlain11(text, false) == tag && !(e.ctx.simpleKey && (text == "" || a.multiline)):
		e.plain(text, split)
	case a.singleQuoted && !(e.ctx.simpleKey && a.multiline):
		e.singleQuoted(text, split)
	default:
		e.doubleQuoted(text, split)
	}
}

// plain breaks the line at a single blank that is met past the width.
func (e pyEmitter) plain(text string, split bool) {
	if text == "" {
		return
	}
	if !e.whitespace {
		e.write(" ")
	}
	e.whitespace, e.indention = false, false
	for text != "" {
		n := strings.IndexByte(text, ' ')
		if n < 0 {
			n = len(text)
		}
		e.write(text[:n])
		text = text[n:]
		blanks := len(text) - len(strings.TrimLeft(text, " "))
		switch {
		case blanks == 1 && e.column > width && split:
			e.writeIndent()
			e.whitespace, e.indention = false, false
		case blanks > 0:
			e.write(text[:blanks])
		}
		text = text[blanks:]
	}
}

func (e pyEmitter) doubleQuoted(s string, split bool) {
	e.indicator(`"`, true, false, false)
	text := []rune(s)
	start := 0
	for end := 0; end <= len(text); end++ {
		if end == len(text) || escaped(text[end]) || text[end] > 0xffff {
			if start < end {
				e.write(string(text[start:end]))
				start = end
			}
			if end < len(text) {
				e.write(escape(text[end]))
				start = end + 1
			}
		}
		if end == 0 || end >= len(text)-1 || text[end] != ' ' && start < end || !split || e.column+end-start <= width {
			continue
		}
		part := ""
		if start < end { // an escape just written may have moved start past end
			part = string(text[start:end])
			start = end
		}
		e.write(part + `\`)
		e.writeIndent()
		e.whitespace, e.indention = false, false
		if text[start] == ' ' {
			e.write(`\`)
		}
	}
	e.indicator(`"`, false, false, false)
}
