package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// Clauses of a search over traces that look at what belongs to a trace:
// assessments and linked runs, which the database has, and spans, which are
// files and are read one after the other.

// inForce gives the SELECT of the assessments of trace t that are in force: name
// and value, which is JSON.
func inForce(entity string, columns traceColumns) query {
	field := "$." + entity
	q := query{}
	q.add(`SELECT json_extract(x.value, '$.assessment_name') AS name, coalesce(x.value -> ?, x.value ->> ?) AS value FROM trace_request_metadata x
		WHERE x.request_id = t.request_id AND x."key" GLOB ? AND json_type(x.value, ?) IS NOT NULL AND coalesce(json_extract(x.value, '$.valid'), 1)`, field+".value", field+".serialized_value.value", assessmentKey+"*", field)
	if columns["assessments"] {
		q.add(` UNION ALL SELECT a.name, a.value FROM assessments a WHERE a.trace_id = t.request_id AND a.assessment_type = ? AND a.valid`, entity)
	}
	return q
}

// assessed appends a condition on the assessments that are in force. Values are
// JSON: = takes true and 5 as they stand and texts with or without their quotes,
// LIKE and RLIKE compare with the quotes, as on a real server. within are the
// traces that are searched.
func (q *query) assessed(ctx context.Context, tx *sql.Tx, c clause, columns traceColumns, within query) error {
	not := ""
	if c.op == "IS NULL" {
		not = "NOT "
	}
	kept := inForce(c.entity, columns)
	q.add(not+"EXISTS (SELECT 1 FROM ("+kept.text+") y WHERE y.name = ?", append(kept.args, c.key)...)
	switch c.op {
	case "IS NULL", "IS NOT NULL":
	case "<", "<=", ">", ">=":
		q.add(" AND json_type(y.value) IN ('integer', 'real') AND json_extract(y.value, '$') "+c.op+" ?", literal{text: c.value.text, number: true}.argument())
	case "=", "!=":
		not := map[string]string{"!=": "NOT "}[c.op]
		q.add(" AND "+not+"y.value IN (?, json_quote(?))", c.value.text, c.value.text)
	case "RLIKE":
		values := query{}
		values.add("SELECT DISTINCT j.value FROM (SELECT (SELECT json_group_array(y.value || '') FROM ("+kept.text+") y WHERE y.name = ?) AS list", append(slices.Clone(kept.args), c.key)...)
		values.add(within.text+") l, json_each(l.list) j", within.args...)
		list, err := values.matching(ctx, tx, c)
		if err != nil {
			return err
		}
		q.add(" AND y.value IN (SELECT value FROM json_each(?))", list)
	default: // a text with the quotes that it has in JSON
		q.add(" AND ")
		q.compare("y.value", clause{op: c.op, value: literal{text: c.value.text}})
	}
	q.add(")")
	return nil
}

// ofRun appends a condition that a trace was made in a run, or linked to it.
func (q *query) ofRun(c clause, columns traceColumns) {
	q.add(`EXISTS (SELECT 1 FROM trace_request_metadata x WHERE x.request_id = t.request_id AND (x."key" = 'mlflow.sourceRun' OR x."key" GLOB ?) AND `, linkedRunKey+"*")
	q.compare("x.value", c)
	if columns["entity_associations"] {
		q.add(` UNION ALL SELECT 1 FROM entity_associations a WHERE a.source_type = 'trace' AND a.source_id = t.request_id AND a.destination_type = 'run' AND `)
		q.compare("a.destination_id", c)
	}
	q.add(")")
}

// checkTraceClause is check for spans and assessments.
func checkTraceClause(c clause) error {
	valid := []string{"!=", "=", "ILIKE", "IN", "LIKE", "NOT IN", "RLIKE"}
	if c.entity != entitySpan {
		valid = []string{"!=", "<", "<=", "=", ">", ">=", "ILIKE", "IS NOT NULL", "IS NULL", "LIKE", "RLIKE"}
	}
	switch {
	case c.entity != entitySpan && c.value.group:
		return invalid("Expected a quoted string value for %s (e.g. 'my-value'). Got value %s", c.entity, c.value.source)
	case c.key == "":
		return invalid("The name of a %s cannot be empty", c.entity)
	case !slices.Contains(valid, c.op):
		return invalid("%s.%s comparator '%s' not one of '{'%s'}'", c.entity, c.key, c.op, strings.Join(valid, "', '"))
	case c.list != nil || strings.HasPrefix(c.op, "IS "):
		return nil
	case strings.ContainsAny(c.op, "<>"):
		n, err := strconv.ParseFloat(c.value.text, 64)
		if err != nil || math.IsNaN(n) {
			return invalid("Expected a numeric value for %s when using comparator '%s'. Got value %s", c.entity, c.op, c.value.source)
		}
	case c.value.group || !c.value.quoted && (c.op == "RLIKE" || !c.value.number && c.entity == entitySpan):
		return invalid("Expected a quoted string value for %s (e.g. 'my-value'). Got value %s", c.entity, c.value.text)
	case c.op == "RLIKE":
		_, err := c.expression()
		return err
	}
	return nil
}

// checkSpanClause refuses what spans do not have.
func checkSpanClause(c clause) error {
	name, attribute := strings.CutPrefix(c.key, "attributes.")
	switch {
	case attribute && name == "":
		return invalid("Span attribute name cannot be empty after 'attributes.'")
	case c.key == "content" && c.op != "LIKE" && c.op != "ILIKE":
		return invalid("span.content comparator '%s' not one of '{'ILIKE', 'LIKE'}'", c.op)
	case !attribute && !slices.Contains([]string{"name", "type", "status", "content"}, c.key):
		return invalid("Invalid span attribute '%s'. Supported attributes: name, status, type, attributes.<attribute_name>.", c.key)
	}
	return nil
}

// span is what a filter looks at in a span of traces.json. The values of the
// attributes are JSON, kept as text.
type span struct {
	Name   string `json:"name"`
	Status struct {
		Code string `json:"code"`
	} `json:"status"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

// matches tells whether a span meets a clause; content is the span as it is
// written.
func (s span) matches(c clause, content string) bool {
	value, has := "", true
	switch {
	case c.key == "name":
		value = s.Name
	case c.key == "status":
		value = strings.TrimPrefix(s.Status.Code, "STATUS_CODE_")
	case c.key == "content":
		value = content
	case c.key == "type":
		value, has = s.attribute("mlflow.spanType")
	default:
		value, has = s.attribute(strings.TrimPrefix(c.key, "attributes."))
	}
	return has && c.meets(value)
}

// attribute gives the value of an attribute; a text without its quotes.
func (s span) attribute(key string) (string, bool) {
	raw, ok := s.Attributes[key]
	if !ok {
		return "", false
	}
	value := string(raw)
	for range 2 { // a JSON text that holds JSON
		var inner string
		if json.Unmarshal([]byte(value), &inner) != nil {
			break
		}
		value = inner
	}
	return value, true
}

// meets compares a text as the database would.
func (c clause) meets(value string) bool {
	switch c.op {
	case "=":
		return value == c.value.text
	case "!=":
		return value != c.value.text
	case "IN":
		return slices.Contains(c.list, value)
	case "NOT IN":
		return !slices.Contains(c.list, value)
	case "LIKE":
		return like(c.value.text, value)
	case "ILIKE":
		return like(strings.ToLower(c.value.text), strings.ToLower(value))
	case "RLIKE":
		re, err := c.expression() // the check of the clause has compiled it before
		return err == nil && re.MatchString(value)
	}
	return false
}

// expression compiles the pattern of RLIKE, which matches anywhere in a value
// unless it has anchors. A real server takes Python's patterns, and finds nothing
// with one that is wrong; here it is refused, and so is what Go does not have:
// looking ahead or behind, and references to groups.
func (c clause) expression() (*regexp.Regexp, error) {
	re, err := regexp.Compile(c.value.text)
	if err != nil {
		return nil, invalid("The pattern of RLIKE in %s.%s is not a regular expression that this server takes (Go's syntax, without look-around and back references): %v", c.entity, c.key, err)
	}
	return re, nil
}

// regular appends a condition that a value of a trace matches a pattern. SQLite
// has no regular expressions: the different values within the experiments are
// looked at here, and those that match are asked for.
func (q *query) regular(ctx context.Context, tx *sql.Tx, value string, args []any, within query, c clause) error {
	if c.key == "prompt" {
		return invalid("Invalid comparator 'RLIKE' for prompts filter. Only '=' is supported with format: prompt = \"name/version\"")
	}
	values := query{"SELECT DISTINCT " + value + within.text, slices.Concat(args, within.args)}
	list, err := values.matching(ctx, tx, c)
	if err != nil {
		return err
	}
	q.add(" AND "+value+" IN (SELECT value FROM json_each(?))", append(slices.Clone(args), list)...)
	return nil
}

// matching gives those of the selected values that the pattern of a clause matches,
// as a JSON list.
func (q query) matching(ctx context.Context, tx *sql.Tx, c clause) (list string, err error) {
	re, err := c.expression()
	if err != nil {
		return "", err
	}
	rows, err := tx.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	found := []string{}
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			return "", err
		}
		if v.Valid && re.MatchString(v.String) {
			found = append(found, v.String)
		}
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	data, err := wire.Marshal(found)
	return string(data), err
}

// like matches a pattern of SQL's LIKE.
func like(pattern, value string) bool {
	expr := strings.NewReplacer("%", "(?s:.*)", "_", "(?s:.)").Replace(regexp.QuoteMeta(pattern))
	re, err := regexp.Compile("^" + expr + "$")
	return err == nil && re.MatchString(value)
}

// tracesWithSpans reads the spans of the traces that a query finds, in order,
// until the page from offset is full and one more is found. Every clause must
// hold for some span.
func (s *Server) tracesWithSpans(ctx context.Context, tx *sql.Tx, q query, clauses []clause, offset, limit int) ([]string, error) {
	var candidates []string
	rows, err := tx.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		candidates = append(candidates, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	var found []string
	for _, id := range candidates {
		var location string
		err := tx.QueryRowContext(ctx, `SELECT value FROM trace_tags WHERE request_id = ? AND "key" = ?`, id, traceLocation).Scan(&location)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ok, err := s.spansMatch(ctx, location, clauses)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, id)
		}
		if len(found) > offset+limit {
			break
		}
	}
	return found[min(offset, len(found)):], nil
}

// spansMatch reads the spans of one trace. A trace without the file has none.
func (s *Server) spansMatch(ctx context.Context, location string, clauses []clause) (bool, error) {
	folder, err := folderOf(location, "")
	if err != nil {
		return false, nil // a place that is not this server's
	}
	data, err := s.artifacts.read(ctx, path.Join(folder, traceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var whole struct {
		Spans []json.RawMessage `json:"spans"`
	}
	if json.Unmarshal(data, &whole) != nil {
		return false, nil
	}
	held := make([]bool, len(clauses))
	for _, raw := range whole.Spans {
		var one span
		if json.Unmarshal(raw, &one) != nil {
			continue
		}
		for i, c := range clauses {
			held[i] = held[i] || one.matches(c, string(raw))
		}
	}
	return !slices.Contains(held, false), nil
}
