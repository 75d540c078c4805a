package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// The field types below remember what a plain Go value forgets: whether a
// field was there, and the text of one that has the wrong type, because the
// answers of a real server depend on both.

// text is a string field.
type text struct {
	value string
	set   bool
	raw   string // the JSON of a value that is not a string
}

func (t *text) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	t.set = true
	if word, ok := bare(data); ok {
		t.raw = word
	} else if json.Unmarshal(data, &t.value) != nil {
		t.raw = string(data)
	}
	return nil
}

// integer is a 64-bit field. A number with a fraction is accepted and lost, as
// the real server loses it.
type integer struct {
	value int64
	set   bool
	raw   string
}

func (i *integer) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	i.set = true
	if word, ok := bare(data); ok {
		i.raw = word
		return nil
	}
	var v wire.Int
	if err := v.UnmarshalJSON(data); err == nil && string(data) != `""` {
		i.value = int64(v)
	} else if _, err := strconv.ParseFloat(string(data), 64); err != nil && !isBool(data) {
		i.raw = string(data)
	}
	return nil
}

// number is a float field.
type number struct {
	value float64
	set   bool
	raw   string
	// odd marks a bare NaN or Infinity, which is not JSON: the real server
	// takes the point but drops its value, time and step.
	odd bool
}

func (n *number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	n.set = true
	if _, ok := bare(data); ok {
		n.odd = true
		return nil
	}
	var v wire.Float
	switch err := v.UnmarshalJSON(data); {
	case isBool(data):
		n.value = map[string]float64{"true": 1}[string(data)]
	case err != nil || string(data) == `""`:
		n.raw = string(data)
	default:
		n.value = float64(v)
	}
	return nil
}

func isBool(data []byte) bool { return string(data) == "true" || string(data) == "false" }

// wrongType is the refusal of a field that has another type than declared.
func wrongType(param, raw string) error {
	kind := "int"
	switch {
	case strings.HasPrefix(raw, `"`):
		kind = "str"
		var s string
		if json.Unmarshal([]byte(raw), &s) == nil {
			raw = pythonJSON(s)
		}
	case strings.HasPrefix(raw, "["):
		kind = "list"
	case strings.HasPrefix(raw, "{"):
		kind = "dict"
	case raw == "true" || raw == "false":
		kind = "bool"
	case strings.ContainsAny(raw, ".eE") || slices.Contains(nonFinite(), raw):
		kind = "float"
	}
	return invalid("Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'.%s", raw, param, kind, seeDocs)
}

func (t text) optional(param string) error {
	if t.raw != "" {
		return wrongType(param, t.raw)
	}
	return nil
}

// orJSON gives the text, or the JSON of what stands in its place.
func (t text) orJSON() string {
	if t.raw != "" {
		return t.raw
	}
	return t.value
}

func (t text) required(param string) error {
	if t.raw == "" && t.value == "" {
		return missing(param)
	}
	return t.optional(param)
}

func (i integer) optional(param string) error {
	if i.raw != "" {
		return wrongType(param, i.raw)
	}
	return nil
}

func (i integer) required(param string) error {
	if !i.set {
		return missing(param)
	}
	return i.optional(param)
}

func (n number) required(param string) error {
	if !n.set || n.raw == `""` {
		return missing(param)
	}
	if n.raw != "" {
		return wrongType(param, n.raw)
	}
	return nil
}

// ids is the run of a request: run_id, or run_uuid as old clients send it.
type ids struct {
	RunID   text `json:"run_id"`
	RunUUID text `json:"run_uuid"`
}

func (i ids) run() (string, error) {
	if i.RunID.value == "" && i.RunID.raw == "" && i.RunUUID.value != "" {
		return i.RunUUID.value, nil
	}
	return i.RunID.value, i.RunID.required("run_id")
}

func queryRun(q url.Values) (string, error) {
	for _, k := range []string{"run_id", "run_uuid"} {
		if v := q.Get(k); v != "" {
			return v, nil
		}
	}
	return "", missing("run_id")
}

// decode reads a JSON body into v. An empty body counts as {}, a body that is
// a JSON string holding JSON is read through, and the bare words NaN and
// Infinity, which Python writes, and names like runName are accepted.
func decode(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		data = []byte("{}")
	}
	if data[0] == '"' {
		var inner string
		if json.Unmarshal(data, &inner) == nil {
			data = []byte(inner)
		}
	}
	if data, err = snakeNames(data, v); err != nil {
		return err
	}
	if json.Unmarshal(data, v) == nil {
		return nil
	}
	marked, err := snakeNames(quoteNonFinite(data), v)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(marked, v); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			var fields map[string]json.RawMessage
			if json.Unmarshal(data, &fields) == nil && fields[wrong.Field] != nil {
				var compact bytes.Buffer
				if err := json.Compact(&compact, fields[wrong.Field]); err != nil {
					return err
				}
				return wrongType(wrong.Field, compact.String())
			}
			return refuse("BAD_REQUEST", "The request body is not the JSON object that this call takes: %s at '%s'", wrong.Value, wrong.Field)
		}
		return refuse("BAD_REQUEST", "The request body is not the JSON object that this call takes: %v", err)
	}
	return nil
}

// nonFinite are the words that Python writes into JSON, which does not have them.
func nonFinite() []string { return []string{"NaN", "Infinity", "-Infinity"} }

// markBare makes one of these words into a string that reads as the word, and is
// told from a string that was one by its first letter, which nobody escapes.
func markBare(word string) string { return fmt.Sprintf(`"\u%04x%s"`, word[0], word[1:]) }

// bare gives the word that markBare has marked.
func bare(data []byte) (word string, ok bool) {
	if !bytes.HasPrefix(data, []byte(`"\u00`)) { // asked of every value of a batch
		return "", false
	}
	i := slices.IndexFunc(nonFinite(), func(word string) bool { return string(data) == markBare(word) })
	if i < 0 {
		return "", false
	}
	return nonFinite()[i], true
}

// quoteNonFinite makes NaN, Infinity and -Infinity outside of strings into
// marked strings.
func quoteNonFinite(data []byte) []byte {
	out := make([]byte, 0, len(data)+16)
	inString := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		if inString {
			out = append(out, c)
			if c == '\\' && i+1 < len(data) {
				i++
				out = append(out, data[i])
			} else if c == '"' {
				inString = false
			}
			continue
		}
		word := ""
		for _, w := range nonFinite() {
			if bytes.HasPrefix(data[i:], []byte(w)) {
				word = w
			}
		}
		if word != "" {
			out = append(out, markBare(word)...)
			i += len(word) - 1
			continue
		}
		inString = c == '"'
		out = append(out, c)
	}
	return out
}

// checkKey refuses a key as the real server does. field is the name in the
// message ("key", "params[3].key"), what names the thing when it is too long.
func checkKey(field, what, key string) error {
	switch wire.CheckKey(key) {
	case wire.KeyCharacter:
		return invalid("Invalid value %s for parameter '%s' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).",
			pythonJSON(key), field)
	case wire.KeyPath:
		return invalid("Invalid value %s for parameter '%s' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '%s'",
			pythonJSON(key), field, normPath(key))
	case wire.KeyTooLong:
		return tooLong(what, wire.MaxKey)
	}
	return nil
}

// queryInt reads an optional integer of a query string.
func queryInt(q url.Values, param string, fallback int) (int, error) {
	v := q.Get(param)
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, wrongType(param, pythonJSON(v))
	}
	return n, nil
}

// finite maps a metric value to the pair that the database keeps: SQLite has
// no infinities and no NaN.
func finite(v float64) (value float64, isNaN bool) {
	switch {
	case math.IsNaN(v):
		return 0, true
	case math.IsInf(v, 1):
		return math.MaxFloat64, false
	case math.IsInf(v, -1):
		return -math.MaxFloat64, false
	}
	return v, false
}
