package dvcfile

import (
	"strconv"
)

// Value is a value of a YAML, JSON or TOML document: nil, bool, Int, Float,
// string, []Value, *Map, or Timestamp. Numbers keep their kind: 1 and 1.0 are
// equal for "did it change" but give different run-cache keys.
type Value any

// smallMap is the number of keys up to which looking through the list beats
// an index; most mappings of a dvc.lock are that small.
const smallMap = 8

// Map is a mapping that keeps the order of its keys. A nil *Map is empty.
//
// Nearly all keys are strings. A key of another kind (YAML allows `1: x`) is
// filed under its Python text ("1", "1.5", "True", "None"), so that dotted
// paths find it, and KeyValue gives it back with its kind.
type Map struct {
	keys   []string
	values []Value
	index  map[string]int   // nil while the map is small
	typed  map[string]Value // the keys that are not strings, by name
}

// NewMap makes a map of alternating keys and values.
func NewMap(kv ...any) *Map {
	m := &Map{}
	for i := 0; i+1 < len(kv); i += 2 {
		m.Set(kv[i].(string), kv[i+1])
	}
	return m
}

// Len is the number of keys.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Keys gives the keys in order. The caller must not change the slice.
func (m *Map) Keys() []string {
	if m == nil {
		return nil
	}
	return m.keys
}

// Get gives the value of a key and whether the key is there.
func (m *Map) Get(key string) (Value, bool) {
	if i := m.find(key); i >= 0 {
		return m.values[i], true
	}
	return nil, false
}

// At gives the i-th key and value in order.
func (m *Map) At(i int) (string, Value) { return m.keys[i], m.values[i] }

func (m *Map) find(key string) int {
	if m == nil {
		return -1
	}
	if m.index != nil {
		if i, ok := m.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range m.keys {
		if k == key {
			return i
		}
	}
	return -1
}

// Set replaces the value of a key in place or appends a new key.
func (m *Map) Set(key string, v Value) {
	if i := m.find(key); i >= 0 {
		m.values[i] = v
		return
	}
	m.keys = append(m.keys, key)
	m.values = append(m.values, v)
	switch {
	case m.index != nil:
		m.index[key] = len(m.keys) - 1
	case len(m.keys) > smallMap:
		m.reindex()
	}
}

func (m *Map) reindex() {
	m.index = make(map[string]int, 2*len(m.keys))
	for i, k := range m.keys {
		m.index[k] = i
	}
}

// SetKey is Set for a key of any scalar kind. A key that equals one already
// there in Python's sense (1, 1.0 and true are one key) replaces its value.
func (m *Map) SetKey(key, v Value) {
	if name, ok := m.nameOf(key); ok {
		m.Set(name, v)
		return
	}
	name := PyStr(key)
	if _, isString := key.(string); isString {
		m.Set(m.freeName(name), v)
		return
	}
	name = m.freeName(name)
	m.Set(name, v)
	if m.typed == nil {
		m.typed = map[string]Value{}
	}
	m.typed[name] = key
}

// HasKey tells whether a key that Python takes for the same is there.
func (m *Map) HasKey(key Value) bool {
	_, ok := m.nameOf(key)
	return ok
}

// nameOf gives the name under which a key of any kind is filed.
func (m *Map) nameOf(key Value) (string, bool) {
	if s, ok := key.(string); ok {
		if m.find(s) < 0 {
			return "", false
		}
		_, other := m.typed[s]
		return s, !other
	}
	for name, k := range m.typed {
		if Equal(k, key) {
			return name, true
		}
	}
	return "", false
}

// freeName keeps apart keys that differ in kind only (1 and "1").
func (m *Map) freeName(name string) string {
	for n := 2; m.find(name) >= 0; n++ {
		name += "\x00" + strconv.Itoa(n)
	}
	return name
}

// KeyValue gives the key filed under a name with its own kind: a string
// unless SetKey was given another scalar.
func (m *Map) KeyValue(name string) Value {
	if m != nil {
		if k, ok := m.typed[name]; ok {
			return k
		}
	}
	return name
}

// Delete removes a key; a missing key is no error.
func (m *Map) Delete(key string) {
	i := m.find(key)
	if i < 0 {
		return
	}
	m.keys = append(m.keys[:i:i], m.keys[i+1:]...)
	m.values = append(m.values[:i:i], m.values[i+1:]...)
	delete(m.typed, key)
	if m.index != nil {
		m.reindex()
	}
}

// Clone gives a copy of a value that shares no mapping or list with it.
func Clone(v Value) Value {
	switch v := v.(type) {
	case []Value:
		out := make([]Value, len(v))
		for i, e := range v {
			out[i] = Clone(e)
		}
		return out
	case *Map:
		return v.Clone()
	}
	return v
}

// Clone gives a copy that shares no mapping or list with m.
func (m *Map) Clone() *Map {
	if m == nil {
		return nil
	}
	out := &Map{}
	for i, k := range m.keys {
		out.Set(k, Clone(m.values[i]))
	}
	for k, v := range m.typed {
		if out.typed == nil {
			out.typed = map[string]Value{}
		}
		out.typed[k] = v
	}
	return out
}
