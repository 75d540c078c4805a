package dvcfile

import (
	"path"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// DefaultParamsFile is the params file of a stage that names none.
const DefaultParamsFile = "params.yaml"

// ReadData reads a params, metrics or plots file of any supported format. The
// suffix of file decides, as in DVC: .json, .toml, .py (literal assignments),
// anything else is YAML. An empty document is an empty mapping.
func ReadData(file string, data []byte) (Value, error) {
	var v Value
	var err error
	switch strings.ToLower(path.Ext(file)) {
	case ".json":
		v, err = ParseJSON(file, data)
	case ".toml":
		v, err = parseTOML(file, data)
	case ".py":
		v, err = parsePython(file, data)
	default:
		v, err = ParseYAML(file, data)
	}
	if err != nil {
		return nil, err
	}
	if !fits(v) {
		return nil, errs.At(errs.Pos{File: file}, "the file has more than %d values with its aliases written out", mostValues)
	}
	if !truthy(v) {
		return &Map{}, nil
	}
	return v, nil
}

// mostValues bounds what aliases can blow a small file up to.
const mostValues = 20_000_000

// fits tells whether a value with all aliases written out is of a size that
// can be worked with.
func fits(v Value) bool {
	left := mostValues
	var walk func(v Value) bool
	walk = func(v Value) bool {
		if left--; left < 0 {
			return false
		}
		switch v := v.(type) {
		case []Value:
			for _, e := range v {
				if !walk(e) {
					return false
				}
			}
		case *Map:
			for i := range v.Len() {
				if _, e := v.At(i); !walk(e) {
					return false
				}
			}
		}
		return true
	}
	return walk(v)
}

// ReadParams is ReadData for files whose top level must be a mapping.
func ReadParams(file string, data []byte) (*Map, error) {
	v, err := ReadData(file, data)
	if err != nil {
		return nil, err
	}
	m, ok := v.(*Map)
	if !ok {
		return nil, errs.At(errs.Pos{File: file}, "expected a mapping of parameters, got %s", typeName(v))
	}
	return m, nil
}

// truthy tells whether Python takes a value for true.
func truthy(v Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case Int:
		n, small := v.Int64()
		return !small || n != 0
	case Float:
		return v != 0
	case string:
		return v != ""
	case []Value:
		return len(v) > 0
	case *Map:
		return v.Len() > 0
	}
	return true
}

// typeName names the type of a value for an error message.
func typeName(v Value) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case Int:
		return "an integer"
	case Float:
		return "a float"
	case string:
		return "a string"
	case []Value:
		return "a list"
	case *Map:
		return "a mapping"
	case Timestamp:
		return "a date"
	}
	return "an unknown value"
}

// pyTypeName is typeName in the words of Python, for the messages that DVC's
// users know.
func pyTypeName(v Value) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case Int:
		return "int"
	case Float:
		return "float"
	case string:
		return "str"
	case []Value:
		return "list"
	case *Map:
		return "dict"
	}
	return "datetime"
}

// Lookup finds a parameter by its dotted path: `train.layers.0`. A segment of
// digits (or a negative number) indexes a list, a segment may be a glob as in
// shells (`**` for any depth) when it matches exactly one value. A key that
// itself contains a dot cannot be addressed.
func Lookup(m *Map, key string) (Value, bool) {
	if key == "" {
		return m, true
	}
	segments := strings.Split(strings.TrimLeft(key, "."), ".")
	if strings.ContainsAny(key, "*?[") {
		var found []Value
		globLookup(m, segments, &found)
		if len(found) != 1 {
			return nil, false
		}
		return found[0], true
	}
	var v Value = m
	for _, s := range segments {
		child, ok := descend(v, s)
		if !ok {
			return nil, false
		}
		v = child
	}
	return v, true
}

// descend gives one element of a mapping or list by a segment of a path.
func descend(v Value, segment string) (Value, bool) {
	switch v := v.(type) {
	case *Map:
		return v.Get(segment)
	case []Value:
		i, err := strconv.Atoi(segment)
		if err == nil && i < 0 {
			i += len(v)
		}
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// globLookup collects at most two of the values whose path matches.
func globLookup(v Value, segments []string, found *[]Value) {
	if len(*found) > 1 {
		return
	}
	if len(segments) == 0 {
		*found = append(*found, v)
		return
	}
	head, rest := segments[0], segments[1:]
	if head == "**" {
		if len(rest) > 0 {
			globLookup(v, rest, found)
		}
		eachChild(v, func(_ string, child Value) {
			if len(rest) == 0 {
				*found = append(*found, child)
			}
			globLookup(child, segments, found)
		})
		return
	}
	eachChild(v, func(name string, child Value) {
		if fnmatch(head, name) {
			globLookup(child, rest, found)
		}
	})
}

func eachChild(v Value, visit func(name string, child Value)) {
	switch v := v.(type) {
	case *Map:
		for i := range v.Len() {
			visit(v.At(i))
		}
	case []Value:
		for i, child := range v {
			visit(strconv.Itoa(i), child)
		}
	}
}

// fnmatch matches a name against a shell pattern of *, ? and [seq], [!seq].
// Unlike in path.Match no character is special in the name.
func fnmatch(pattern, name string) bool {
	p, n := []rune(pattern), []rune(name)
	return fnmatchRunes(p, n)
}

func fnmatchRunes(p, n []rune) bool {
	for len(p) > 0 {
		switch p[0] {
		case '*':
			for len(p) > 0 && p[0] == '*' {
				p = p[1:]
			}
			for i := 0; i <= len(n); i++ {
				if fnmatchRunes(p, n[i:]) {
					return true
				}
			}
			return false
		case '[':
			rest, negate, ok, class := fnmatchClass(p)
			if !class {
				if len(n) == 0 || n[0] != '[' {
					return false
				}
				p = p[1:]
				break
			}
			if len(n) == 0 || ok(n[0]) == negate {
				return false
			}
			p = rest
		case '?':
			if len(n) == 0 {
				return false
			}
			p = p[1:]
		default:
			if len(n) == 0 || n[0] != p[0] {
				return false
			}
			p = p[1:]
		}
		n = n[1:]
	}
	return len(n) == 0
}

// fnmatchClass reads [seq] at the start of p. class is false when the bracket
// is never closed and so stands for itself.
func fnmatchClass(p []rune) (rest []rune, negate bool, member func(rune) bool, class bool) {
	i := 1
	if i < len(p) && p[i] == '!' {
		negate = true
		i++
	}
	start := i
	if i < len(p) && p[i] == ']' {
		i++
	}
	for i < len(p) && p[i] != ']' {
		i++
	}
	if i >= len(p) {
		return nil, false, nil, false
	}
	set := p[start:i]
	return p[i+1:], negate, func(r rune) bool {
		for j := 0; j < len(set); j++ {
			if j+2 < len(set) && set[j+1] == '-' {
				if set[j] <= r && r <= set[j+2] {
					return true
				}
				j += 2
			} else if set[j] == r {
				return true
			}
		}
		return false
	}, true
}

// Flatten gives the leaves of a value under dotted keys, in order. Lists are
// leaves, empty mappings disappear. A value that is no mapping has the single
// key "".
func Flatten(v Value) *Map {
	out := &Map{}
	m, ok := v.(*Map)
	if !ok {
		out.Set("", v)
		return out
	}
	flattenInto(out, "", m)
	return out
}

func flattenInto(out *Map, prefix string, m *Map) {
	for i := range m.Len() {
		key, v := m.At(i)
		path := key
		if prefix != "" {
			path = prefix + "." + key
		}
		sub, ok := v.(*Map)
		switch {
		case ok:
			flattenInto(out, path, sub)
		case prefix == "":
			out.SetKey(m.KeyValue(key), v)
		default:
			out.Set(path, v)
		}
	}
}
