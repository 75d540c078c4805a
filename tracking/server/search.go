package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// query is SQL text with its arguments, in order.
type query struct {
	text string
	args []any
}

func (q *query) add(text string, args ...any) {
	q.text += text
	q.args = append(q.args, args...)
}

// viewType chooses active and deleted things by name or number.
type viewType string

func (v *viewType) UnmarshalJSON(data []byte) error {
	*v = viewType(strings.Trim(string(data), `"`))
	return nil
}

func (v viewType) where(column string) string {
	switch v {
	case "DELETED_ONLY", "2":
		return column + " = 'deleted'"
	case "ALL", "3":
		return column + " IN ('active', 'deleted')"
	}
	return column + " = 'active'"
}

func pageSize(max integer) (int, error) {
	switch {
	case !max.set:
		return wire.DefaultSearchResults, nil
	case max.raw != "":
		return 0, wrongType("max_results", max.raw)
	case max.value > wire.MaxSearchResults:
		return 0, invalid("Invalid value %d for parameter 'max_results' supplied:  Hint: Value was of type 'int'.%s", max.value, seeDocs)
	case max.value < 1:
		return 0, invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", max.value)
	}
	return int(max.value), nil
}

// pageToken makes the token of the page that begins at an offset.
func pageToken(offset int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"offset": %d}`, offset))
}

func pageOffset(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	// What is not of the alphabet is skipped, as Python does.
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '+' || r == '/' || r == '=' || isLetter(byte(r)) || r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, token)
	data, err := base64.StdEncoding.DecodeString(clean)
	if err != nil {
		return 0, invalid("Invalid page token, could not base64-decode")
	}
	var v struct {
		Offset wire.Int `json:"offset"`
	}
	if err := json.Unmarshal(data, &v); err != nil || v.Offset <= 0 {
		return 0, invalid("Invalid page token, decoded value=b'%s'", data)
	}
	return int(v.Offset), nil
}

// maxMarks is how many ids are arguments of their own. More go as one JSON list:
// SQLite takes no more than 32,766 arguments.
const maxMarks = 200

// among appends the condition that a column is one of these ids.
func (q *query) among(column string, ids []int64) {
	if len(ids) > maxMarks {
		list := []byte("[")
		for i, id := range ids {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendInt(list, id, 10)
		}
		q.add(column+" IN (SELECT value FROM json_each(?))", string(append(list, ']')))
		return
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ")
	q.add(column + " IN (" + marks + ")")
	for _, id := range ids {
		q.args = append(q.args, id)
	}
}

// compare appends "column op value" to a condition.
func (q *query) compare(column string, c clause) {
	switch c.op {
	case "IN", "NOT IN":
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(c.list)), ", ")
		q.add(column + " " + c.op + " (" + marks + ")")
		for _, v := range c.list {
			q.args = append(q.args, v)
		}
	case "ILIKE":
		q.add("lower("+column+") LIKE lower(?)", c.value.text)
	default:
		q.add(column+" "+c.op+" ?", c.value.argument())
	}
}

func (l literal) argument() any {
	if !l.number {
		return l.text
	}
	if n, err := strconv.ParseInt(l.text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(l.text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return l.text // check refused it before
	}
	return f // too large is infinite
}

// attributeColumn maps an attribute key to its column in runs r.
func attributeColumn(key string) string {
	switch key {
	case "created", "Created":
		return "r.start_time"
	case "run name", "Run name", "Run Name", "run_name":
		return "r.name"
	case "run_id":
		return "r.run_uuid"
	}
	return "r." + key
}

// order is one parsed order_by.
type order struct {
	entity, key string
	descending  bool
}

// parseOrder reads "metrics.`a b` DESC".
func parseOrder(s string, v vocabulary, attributes []string) (order, error) {
	tokens := lex(s)
	bad := invalid("Invalid order_by clause '%s'. Could not be parsed.", s)
	if len(tokens) == 0 || len(tokens) > 2 || tokens[0].kind != tokenName && tokens[0].kind != tokenString {
		return order{}, bad
	}
	var o order
	if len(tokens) == 2 {
		switch {
		case tokens[1].is("DESC"):
			o.descending = true
		case !tokens[1].is("ASC"):
			return o, invalid("Invalid ordering key in order_by clause '%s'.", s)
		}
	}
	v.attributes = attributes
	var err error
	o.entity, o.key, err = v.identifier(tokens[0].text)
	return o, err
}

func (o order) direction() string {
	if o.descending {
		return " DESC"
	}
	return " ASC"
}

// runQuery is a search over runs.
type runQuery struct {
	Experiments []string `json:"experiment_ids"`
	Filter      text     `json:"filter"`
	View        viewType `json:"run_view_type"`
	MaxResults  integer  `json:"max_results"`
	OrderBy     []string `json:"order_by"`
	PageToken   text     `json:"page_token"`
}

// runPage is a page of found runs.
type runPage struct {
	Runs     []wire.Run `json:"runs,omitempty"`
	NextPage string     `json:"next_page_token,omitempty"`
}

func (s *Server) searchRuns(r *http.Request) (any, error) {
	var in runQuery
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return s.search(r.Context(), in)
}

// experimentSQL makes the query of an experiments/search.
func experimentSQL(in experimentQuery) (query, error) {
	words := experimentVocabulary()
	clauses, err := parseFilter(in.Filter.value, words)
	if err != nil {
		return query{}, err
	}
	q := query{text: "SELECT " + experimentColumns + " FROM experiments e WHERE " + in.ViewType.where("e.lifecycle_stage")}
	for _, c := range clauses {
		q.add(" AND ")
		switch {
		case c.op == "IS NULL" || c.op == "IS NOT NULL":
			not := "NOT "
			if c.op == "IS NOT NULL" {
				not = ""
			}
			q.add(not+`EXISTS (SELECT 1 FROM experiment_tags x WHERE x.experiment_id = e.experiment_id AND x."key" = ?)`, c.key)
		case c.entity == entityTag:
			q.add(`EXISTS (SELECT 1 FROM experiment_tags x WHERE x.experiment_id = e.experiment_id AND x."key" = ? AND `, c.key)
			q.compare("x.value", c)
			q.add(")")
		default:
			q.compare("e."+c.key, c)
		}
	}
	orderBy := in.OrderBy
	if len(orderBy) == 0 {
		orderBy = []string{"creation_time DESC", "experiment_id ASC"}
	}
	var sorting []string
	byID := false
	for _, s := range orderBy {
		o, err := parseOrder(s, words, words.attributes)
		if err != nil {
			return q, err
		}
		if o.entity != entityAttribute {
			return q, invalid("Invalid order_by entity: %s", o.entity)
		}
		byID = byID || o.key == "experiment_id"
		sorting = append(sorting, "e."+o.key+o.direction())
	}
	if !byID {
		sorting = append(sorting, "e.experiment_id DESC")
	}
	q.add(" ORDER BY " + strings.Join(sorting, ", "))
	return q, nil
}
