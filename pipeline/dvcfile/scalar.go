package dvcfile

import (
	"strconv"
	"strings"
)

// Tags of the YAML type repository, short form.
const (
	tagNull      = "!!null"
	tagBool      = "!!bool"
	tagInt       = "!!int"
	tagFloat     = "!!float"
	tagTimestamp = "!!timestamp"
	tagMerge     = "!!merge"
	tagValue     = "!!value"
	tagStr       = "!!str"
	tagSeq       = "!!seq"
	tagMap       = "!!map"
)

// resolvePlain gives the tag of a plain scalar under the rules DVC reads YAML
// with: YAML 1.2 with the extensions of the ruamel library (numbers may have
// underscores, 0o17 is octal and 017 is seventeen, dates are timestamps,
// = and << have types of their own). The same rules decide when a string must
// be quoted on writing.
func resolvePlain(s string) string {
	if s == "" {
		return tagNull
	}
	switch c := s[0]; {
	case c == '~' || c == 'n' || c == 'N':
		if s == "~" || s == "null" || s == "Null" || s == "NULL" {
			return tagNull
		}
	case c == 't' || c == 'T' || c == 'f' || c == 'F':
		switch s {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			return tagBool
		}
	case c == '<':
		if s == "<<" {
			return tagMerge
		}
	case c == '=':
		if s == "=" {
			return tagValue
		}
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return resolveNumber(s)
	}
	return tagStr
}

func resolveNumber(s string) string {
	switch {
	case isFloat(s):
		return tagFloat
	case isInt(s):
		return tagInt
	}
	if s[0] >= '0' && s[0] <= '9' {
		if _, ok := splitTimestamp(s); ok {
			return tagTimestamp
		}
	}
	return tagStr
}

func unsigned(s string) string {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[1:]
	}
	return s
}

// isFloat: 1. 1.5e3 1e-5 .5 .5e+1 .inf -.Inf .nan; the exponent of a number
// that begins with the point needs a sign.
func isFloat(s string) bool {
	switch s {
	case ".nan", ".NaN", ".NAN":
		return true
	}
	u := unsigned(s)
	switch u {
	case ".inf", ".Inf", ".INF", "":
		return u != ""
	}
	if u[0] == '.' {
		frac, exp := spanNumber(u[1:])
		return frac != "" && (exp == "" || exponent(exp, true))
	}
	if u[0] < '0' || u[0] > '9' {
		return false
	}
	_, rest := spanNumber(u)
	if rest == "" {
		return false
	}
	if rest[0] == '.' {
		_, rest = spanNumber(rest[1:])
		return rest == "" || exponent(rest, false)
	}
	return exponent(rest, false)
}

// spanNumber cuts off leading digits and underscores.
func spanNumber(s string) (head, rest string) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
		i++
	}
	return s[:i], s[i:]
}

func exponent(s string, needSign bool) bool {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return false
	}
	u := unsigned(s[1:])
	if needSign && len(u) == len(s)-1 {
		return false
	}
	return allDigits(u)
}

func isInt(s string) bool {
	u := unsigned(s)
	if u == "" {
		return false
	}
	if head, rest := spanNumber(u); head != "" && rest == "" {
		return true
	}
	if len(u) < 3 || u[0] != '0' {
		return false
	}
	in := ""
	switch u[1] {
	case 'b':
		in = "01_"
	case 'o':
		in = "01234567_"
	case 'x':
		in = "0123456789abcdefABCDEF_"
	default:
		return false
	}
	return strings.Trim(u[2:], in) == ""
}

// intOf reads a scalar of type int; ok is false for text such as 0x_ that has
// the form and no digits.
func intOf(s string) (Int, bool) {
	s = strings.ReplaceAll(s, "_", "")
	u := unsigned(s)
	base := 10
	switch {
	case strings.HasPrefix(u, "0b"):
		base = 2
	case strings.HasPrefix(u, "0o"):
		base = 8
	case strings.HasPrefix(u, "0x"):
		base = 16
	}
	if base != 10 {
		u = u[2:]
	}
	if u == "" || u[0] == '+' || u[0] == '-' {
		return Int{}, false
	}
	if s[0] == '-' {
		u = "-" + u
	}
	return parseIntBase(u, base)
}

// floatOf reads a scalar of type float.
func floatOf(s string) (Float, bool) {
	s = strings.ToLower(strings.ReplaceAll(s, "_", ""))
	switch unsigned(s) {
	case ".inf", ".nan":
		s = strings.Replace(s, ".", "", 1)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 { // a range error gives an infinity, as in Python
		return 0, false
	}
	return Float(f), true
}
