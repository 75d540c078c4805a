package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"ctrx/tracking/wire"
)

// snakeNames gives a request whose fields have the names that v's type has for
// them. A real server reads requests as the JSON of protocol buffers, where a
// field run_name may be spelled runName; a request that spells one both ways is
// refused. Data without such a name is given back as it is, and so is what is not
// JSON.
func snakeNames(data []byte, v any) ([]byte, error) {
	if !camelKey(data) {
		return data, nil
	}
	return renameFields(data, reflect.TypeOf(v))
}

// camelKey tells whether a key of the JSON may have a capital inside. A text that
// looks like a key counts as one.
func camelKey(data []byte) bool {
	word, capital := 0, false // where a word of letters begins, and whether it has a capital inside
	for i, c := range data {
		switch {
		case c-'a' <= 'z'-'a':
		case c-'A' <= 'Z'-'A':
			capital = capital || i > word
		default:
			if capital && c == '"' && word > 0 && data[word-1] == '"' && bytes.HasPrefix(bytes.TrimLeft(data[i+1:], " \t\r\n"), []byte(":")) {
				return true
			}
			word, capital = i+1, false
		}
	}
	return false
}

// renameFields renames the fields of the JSON of a value of type t, at every depth.
// What reads its JSON itself and what has keys of the client's is left alone.
func renameFields(data []byte, t reflect.Type) ([]byte, error) {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return data, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return renameFields(data, t.Elem())
	case reflect.Slice:
		var list []json.RawMessage
		if t.Elem().Kind() == reflect.Uint8 || json.Unmarshal(data, &list) != nil || list == nil {
			return data, nil
		}
		for i := range list {
			var err error
			if list[i], err = renameFields(list[i], t.Elem()); err != nil {
				return nil, err
			}
		}
		return wire.Marshal(list)
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if json.Unmarshal(data, &fields) != nil || fields == nil {
			return data, nil
		}
		if err := renameIn(fields, t); err != nil {
			return nil, err
		}
		return wire.Marshal(fields)
	}
	return data, nil
}

// renameIn is renameFields for the fields of a struct type, embedded ones included.
func renameIn(fields map[string]json.RawMessage, t reflect.Type) error {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		if camel := camelCase(name); camel != name && fields[camel] != nil {
			if fields[name] != nil {
				return invalid("Request specifies both '%s' and '%s'; provide only one of them.", name, camel)
			}
			fields[name] = fields[camel]
			delete(fields, camel)
		}
		if value := fields[name]; value != nil {
			renamed, err := renameFields(value, f.Type)
			if err != nil {
				return err
			}
			fields[name] = renamed
		}
	}
	return nil
}

// camelCase gives runName for run_name.
func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
