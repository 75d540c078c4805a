package server

import (
	"encoding/json"
	"net/http"
	"strings"
)

// decodeMessage is decode for a call that a client may send as a query string
// or as a body: a GET with a query is the message that the query spells, as a
// real server reads it.
func decodeMessage(r *http.Request, v any) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawQuery == "" {
		return decode(r, v)
	}
	fields := map[string]any{}
	for key, values := range r.URL.Query() {
		fields[key] = values[0]
		if len(values) > 1 {
			fields[key] = values
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// texts is a list of strings. A query string with one value of a repeated
// field spells it like a plain one, so a plain string is a list of one.
type texts struct {
	values []string
	set    bool
	raw    string // the JSON of something that is not a list of strings
}

func (t *texts) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	t.set = true
	if json.Unmarshal(data, &t.values) == nil {
		return nil
	}
	var one string
	if json.Unmarshal(data, &one) == nil {
		t.values = []string{one}
		return nil
	}
	t.raw = string(data)
	return nil
}

func (t texts) optional(param string) error {
	if t.raw != "" {
		return wrongType(param, t.raw)
	}
	return nil
}

func (t texts) required(param string) error {
	if t.raw == "" && len(t.values) == 0 {
		return missing(param)
	}
	return t.optional(param)
}

// given is required for a list that may be empty.
func (t texts) given(param string) error {
	if !t.set {
		return missing(param)
	}
	return t.optional(param)
}

// boolean is a truth value that may come from a query string.
type boolean bool

func (f *boolean) UnmarshalJSON(data []byte) error {
	*f = boolean(strings.EqualFold(strings.Trim(string(data), `"`), "true"))
	return nil
}

// firstError is the first failed check, in the order in which a real server
// makes them.
func firstError(checks ...error) error {
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

// nonEmpty is the pointer form of a text for a column and an answer that leave
// an empty one out.
func nonEmpty(t text) *string {
	if t.value == "" {
		return nil
	}
	return &t.value
}
