package dvcfile

import (
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// Equal compares two values as Python's == does, which is what decides
// whether a parameter changed: 1 equals 1.0, true equals 1, NaN equals nothing
// (not even itself), and the order of keys does not count.
func Equal(a, b Value) bool {
	if an, ok := numberOf(a); ok {
		bn, ok := numberOf(b)
		return ok && an.equal(bn)
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && a == s
	case Timestamp:
		t, ok := b.(Timestamp)
		return ok && a == t
	case []Value:
		l, ok := b.([]Value)
		if !ok || len(a) != len(l) {
			return false
		}
		for i := range a {
			if !Equal(a[i], l[i]) {
				return false
			}
		}
		return true
	case *Map:
		m, ok := b.(*Map)
		return ok && equalMaps(a, m)
	}
	return false
}

func equalMaps(a, b *Map) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i, k := range a.Keys() {
		name, ok := b.nameOf(a.KeyValue(k))
		if !ok {
			return false
		}
		v, _ := b.Get(name)
		if !Equal(a.values[i], v) {
			return false
		}
	}
	return true
}

// number is an Int, Float or bool; bool counts as 0 or 1, as in Python.
type number struct {
	n     Int
	f     float64
	float bool
}

func numberOf(v Value) (number, bool) {
	switch v := v.(type) {
	case Int:
		return number{n: v}, true
	case Float:
		return number{f: float64(v), float: true}, true
	case bool:
		if v {
			return number{n: NewInt(1)}, true
		}
		return number{}, true
	}
	return number{}, false
}

func (a number) equal(b number) bool {
	if a.float && b.float {
		return a.f == b.f
	}
	c, ok := a.cmp(b)
	return ok && c == 0
}

// cmp compares exactly; ok is false where one side is NaN.
func (a number) cmp(b number) (c int, ok bool) {
	switch {
	case !a.float && !b.float:
		return a.n.Cmp(b.n), true
	case a.float && a.f != a.f, b.float && b.f != b.f:
		return 0, false
	case a.float && b.float:
		switch {
		case a.f < b.f:
			return -1, true
		case a.f > b.f:
			return 1, true
		}
		return 0, true
	}
	return a.exact().Cmp(b.exact()), true
}

func (a number) exact() *big.Float {
	if a.float {
		return big.NewFloat(a.f)
	}
	return new(big.Float).SetInt(a.n.Big())
}

// PyStr is the text Python's str() gives: what ${} interpolation and the
// names of generated stages use. A string is itself, null is None, true is
// True, a list or mapping is its repr.
func PyStr(v Value) string {
	if s, ok := v.(string); ok {
		return s
	}
	if t, ok := v.(Timestamp); ok {
		return t.Text
	}
	return PyRepr(v)
}

// PyRepr is the text Python's repr() gives.
func PyRepr(v Value) string {
	var b strings.Builder
	writeRepr(&b, v)
	return b.String()
}

func writeRepr(b *strings.Builder, v Value) {
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case Int:
		b.WriteString(v.String())
	case Float:
		b.WriteString(v.String())
	case string:
		reprString(b, v)
	case Timestamp:
		b.WriteString(v.repr())
	case []Value:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, e)
		}
		b.WriteByte(']')
	case *Map:
		b.WriteByte('{')
		for i, k := range v.Keys() {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, v.KeyValue(k))
			b.WriteString(": ")
			writeRepr(b, v.values[i])
		}
		b.WriteByte('}')
	default:
		fmt.Fprint(b, v)
	}
}

// reprString quotes with ' unless the text has a ' and no ", and escapes what
// does not print.
func reprString(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == '\\' || r == rune(quote):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteByte(quote)
}

// repr is datetime.date(2020, 1, 31) or datetime.datetime(2020, 1, 31, 10, 0).
// Zones are left out: nothing that DVC prints shows them.
func (t Timestamp) repr() string {
	f, ok := splitTimestamp(t.Text)
	if !ok {
		return t.Text
	}
	parts := f.date[:]
	kind := "date"
	if f.hasTime {
		kind = "datetime"
		parts = append(parts, f.clock[0], f.clock[1])
		if strings.Trim(f.clock[2]+f.fraction, "0") != "" {
			parts = append(parts, f.clock[2])
		}
		if f.fraction != "" {
			parts = append(parts, f.fraction)
		}
	}
	for i, p := range parts {
		parts[i] = strings.TrimLeft(p, "0")
		if parts[i] == "" {
			parts[i] = "0"
		}
	}
	return "datetime." + kind + "(" + strings.Join(parts, ", ") + ")"
}
