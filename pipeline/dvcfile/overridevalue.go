package dvcfile

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// The value of an override while it is read is one of: a scalar Value, a
// quotedText, a []any, a *hydraMap, or a sweep.

// quotedText is a string that stood in quotes; it keeps them in its canonical
// form, so that "1" stays a string.
type quotedText struct {
	text  string
	quote byte
}

// hydraMap is a mapping in the grammar; its keys are scalars of any kind.
type hydraMap struct {
	keys   []Value
	values []any
}

func (m *hydraMap) set(key Value, v any) {
	for i, k := range m.keys {
		if Equal(k, key) {
			m.values[i] = v
			return
		}
	}
	m.keys = append(m.keys, key)
	m.values = append(m.values, v)
}

// plainHydra gives the value itself.
func plainHydra(v any) Value {
	switch v := v.(type) {
	case quotedText:
		return v.text
	case []any:
		out := make([]Value, len(v))
		for i, e := range v {
			out[i] = plainHydra(e)
		}
		return out
	case *hydraMap:
		m := &Map{}
		for i, k := range v.keys {
			m.SetKey(k, plainHydra(v.values[i]))
		}
		return m
	}
	return v
}

var errSweepInside = errors.New("a sweep cannot stand inside another value")

// hydraText writes a value as Hydra does when it expands a sweep.
func hydraText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case quotedText:
		return v.withQuotes(), nil
	case string:
		return escapeHydra(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			text, err := hydraText(e)
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return "[" + strings.Join(parts, ",") + "]", nil
	case *hydraMap:
		parts := make([]string, len(v.keys))
		for i, k := range v.keys {
			key, err := hydraText(k)
			if err != nil {
				return "", err
			}
			text, err := hydraText(v.values[i])
			if err != nil {
				return "", err
			}
			parts[i] = key + ":" + text
		}
		return "{" + strings.Join(parts, ",") + "}", nil
	case sweep:
		return "", errSweepInside
	}
	return PyStr(v), nil
}

// escapeHydra escapes each special character of a plain string.
func escapeHydra(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte("\\()[]{}:=, \t", s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// withQuotes puts the quotes back: a quote inside gets a backslash, and the
// backslashes before any quote are doubled.
func (q quotedText) withQuotes() string {
	var b strings.Builder
	b.WriteByte(q.quote)
	slashes := 0
	for i := 0; i < len(q.text); i++ {
		c := q.text[i]
		if c == '\\' {
			slashes++
			continue
		}
		if c == q.quote {
			b.WriteString(strings.Repeat(`\`, 2*slashes+1))
		} else {
			b.WriteString(strings.Repeat(`\`, slashes))
		}
		b.WriteByte(c)
		slashes = 0
	}
	b.WriteString(strings.Repeat(`\`, 2*slashes))
	b.WriteByte(q.quote)
	return b.String()
}

// parsePyFloat reads a float as Python's float() does: underscores between
// digits, inf and nan in any case, too large is infinite.
func parsePyFloat(s string) (Float, bool) {
	s = strings.TrimSpace(s)
	u := strings.ToLower(unsigned(s))
	switch u {
	case "inf", "infinity":
		return Float(math.Inf(map[bool]int{true: -1, false: 1}[s[0] == '-'])), true
	case "nan":
		return Float(math.NaN()), true
	}
	for i, c := range u {
		switch {
		case c == '_':
			if i == 0 || i == len(u)-1 || !isDigit(u[i-1]) || !isDigit(u[i+1]) {
				return 0, false
			}
		case !(c >= '0' && c <= '9') && c != '.' && c != 'e' && c != '+' && c != '-':
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return Float(f), true
}
