package dvcfile

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// CanonicalJSON is the JSON whose hash DVC uses for run-cache keys and stage
// checksums: Python's json.dumps with sorted keys. Floats are as Python writes
// them, everything outside ASCII is escaped, separators are ", " and ": ".
//
// Keys sort by code point; keys that are not strings sort by their number.
// (Python refuses a mapping that has both; here numbers come first.)
func CanonicalJSON(v Value) []byte { return (&jsonWriter{sorted: true}).value(v).out }

// JSON is Python's json.dumps with the keys in their own order.
func JSON(v Value) []byte { return (&jsonWriter{}).value(v).out }

// RawJSON is a value that is written already, as JSON writes it.
type RawJSON []byte

type jsonWriter struct {
	out    []byte
	sorted bool
	skip   func(key string) bool // entries to leave out, at every depth
}

func (w *jsonWriter) value(v Value) *jsonWriter {
	switch v := v.(type) {
	case nil:
		w.text("null")
	case bool:
		if v {
			w.text("true")
		} else {
			w.text("false")
		}
	case Int:
		w.text(v.String())
	case Float:
		w.text(v.json())
	case string:
		w.out = appendJSONString(w.out, v)
	case Timestamp: // Python refuses it; its text is the most useful thing to say
		w.out = appendJSONString(w.out, v.Text)
	case RawJSON:
		w.out = append(w.out, v...)
	case []Value:
		w.text("[")
		for i, e := range v {
			if i > 0 {
				w.text(", ")
			}
			w.value(e)
		}
		w.text("]")
	case *Map:
		w.object(v)
	}
	return w
}

func (w *jsonWriter) text(s string) { w.out = append(w.out, s...) }

func (w *jsonWriter) object(m *Map) {
	w.text("{")
	order := make([]int, 0, m.Len())
	for i, k := range m.Keys() {
		if w.skip == nil || !w.skip(k) {
			order = append(order, i)
		}
	}
	if w.sorted {
		slices.SortStableFunc(order, func(a, b int) int { return compareKeys(m.KeyValue(m.keys[a]), m.KeyValue(m.keys[b])) })
	}
	for n, i := range order {
		if n > 0 {
			w.text(", ")
		}
		w.out = appendJSONString(w.out, jsonKey(m.KeyValue(m.keys[i])))
		w.text(": ")
		w.value(m.values[i])
	}
	w.text("}")
}

// compareKeys orders as Python does: text by code point (which is the order of
// UTF-8 bytes), numbers and booleans by value.
func compareKeys(a, b Value) int {
	as, aText := a.(string)
	bs, bText := b.(string)
	if aText && bText {
		switch {
		case as < bs:
			return -1
		case as > bs:
			return 1
		}
		return 0
	}
	an, aNum := numberOf(a)
	bn, bNum := numberOf(b)
	if aNum && bNum {
		c, _ := an.cmp(bn)
		return c
	}
	rank := func(num, text bool) int {
		switch {
		case num:
			return 0
		case text:
			return 2
		}
		return 1
	}
	return rank(aNum, aText) - rank(bNum, bText)
}

// jsonKey is the text of a key: true, null, 1.5.
func jsonKey(k Value) string {
	switch k := k.(type) {
	case string:
		return k
	case Float:
		return k.json()
	case Timestamp:
		return k.Text
	}
	return string(JSON(k))
}

// json is the number as Python's json module writes it.
func (f Float) json() string {
	switch x := float64(f); {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	return f.String()
}

func appendJSONString(out []byte, s string) []byte {
	out = append(out, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch r {
		case '"', '\\':
			out = append(out, '\\', byte(r))
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		case '\b':
			out = append(out, `\b`...)
		case '\f':
			out = append(out, `\f`...)
		default:
			if r >= 0x10000 {
				r -= 0x10000
				out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		}
	}
	return append(out, '"')
}
