package dvcfile

import (
	"fmt"
	"strings"
)

// renderTOML writes a value as it stands behind an equals sign, in the form
// that tomlkit gives to new values. TOML knows no null.
func renderTOML(v Value) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "true"
		}
		return "false"
	case Int:
		return v.String()
	case Float:
		return v.String()
	case Timestamp:
		return strings.Replace(v.Text, " ", "T", 1)
	case string:
		return quoteTOML(v)
	case []Value:
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = renderTOML(e)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case *Map:
		texts := make([]string, v.Len())
		for i := range texts {
			k, e := v.At(i)
			texts[i] = tomlKey(k) + " = " + renderTOML(e)
		}
		return "{" + strings.Join(texts, ", ") + "}"
	}
	return `""`
}

// tomlKey writes a key, in quotes only where it needs them.
func tomlKey(k string) string {
	for _, r := range k {
		if !(r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return quoteTOML(k)
		}
	}
	if k == "" {
		return `""`
	}
	return k
}

func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if i := strings.IndexRune("\"\\\b\t\n\f\r", r); i >= 0 && r < 0x80 {
			b.WriteByte('\\')
			b.WriteByte("\"\\btnfr"[i])
			continue
		}
		if r < 0x20 || r == 0x7f {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}
