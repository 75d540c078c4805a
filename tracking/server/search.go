package server

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// query is SQL text with its arguments, in order.
type query struct {
	text string
	args []any

	ranked bool // it reads the runs that have a metric, in the order of the metric
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

func pageSize(max *int) (int, error) {
	switch {
	case max == nil:
		return wire.DefaultSearchResults, nil
	case *max > wire.MaxSearchResults:
		return 0, invalid("Invalid value %d for parameter 'max_results' supplied:  Hint: Value was of type 'int'.%s", *max, seeDocs)
	case *max < 1:
		return 0, invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", *max)
	}
	return *max, nil
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
	if err != nil {
		return l.text // check refused it before
	}
	return f
}

// runClause appends the condition of one filter clause on runs r.
func (q *query) runClause(c clause) {
	exists := func(table string) {
		q.add("EXISTS (SELECT 1 FROM "+table+` x WHERE x.run_uuid = r.run_uuid AND x."key" = ? AND `, c.key)
	}
	switch {
	case c.op == "IS NULL" || c.op == "IS NOT NULL":
		not := "NOT "
		if c.op == "IS NOT NULL" {
			not = ""
		}
		table := map[string]string{entityTag: "tags", entityParam: "params"}[c.entity]
		q.add(not+"EXISTS (SELECT 1 FROM "+table+` x WHERE x.run_uuid = r.run_uuid AND x."key" = ?)`, c.key)
	case c.entity == entityMetric:
		exists("latest_metrics")
		// NaN is stored as 0: it satisfies != and nothing else.
		if c.op == "!=" {
			q.add("(x.is_nan OR ")
		} else {
			q.add("(NOT x.is_nan AND ")
		}
		q.compare("x.value", c)
		q.add("))")
	case c.entity == entityParam:
		exists("params")
		q.compare("x.value", c)
		q.add(")")
	case c.entity == entityTag:
		exists("tags")
		q.compare("x.value", c)
		q.add(")")
	case c.entity == entityDataset:
		q.add("EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id")
		column := "d." + c.key
		if c.key == "context" {
			q.add(" JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = ?", wire.TagDataContext)
			column = "t.value"
		}
		q.add(" WHERE i.destination_id = r.run_uuid AND ")
		q.compare(column, c)
		q.add(")")
	case attributeColumn(c.key) == "r.name":
		// Runs of old MLflow have their name in the tag only.
		q.add(`EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = r.run_uuid AND x."key" = ? AND `, wire.TagRunName)
		q.compare("x.value", c)
		q.add(")")
	default:
		q.compare(attributeColumn(c.key), c)
	}
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

// runsSQL makes the query that selects and sorts runs.
//
// narrow tells of a clause about a metric that few runs fulfil it; then the
// query begins there and not at the newest run. ranked asks for the runs that
// have the metric of the first key of the order only, read in that order from
// an index: those come first in any case, so a page that is full of them is
// the right one. It is ignored where the order has no such key.
func runsSQL(experiments []int64, view viewType, filter string, orderBy []string, narrow func(clause) bool, ranked bool) (query, error) {
	words := runVocabulary()
	clauses, err := parseFilter(filter, words)
	if err != nil {
		return query{}, err
	}
	few := make([]bool, len(clauses))
	begin := "r.experiment_id" // the index of runs
	for i, c := range clauses {
		if few[i] = c.entity == entityMetric && narrow(c); few[i] {
			begin = "+r.experiment_id" // not that index
		}
	}
	q := query{text: "SELECT " + runColumns + " FROM runs r"}
	var sorting []string
	var seen []order
	orderable := []string{"Created", "artifact_uri", "created", "end_time", "run_id", "run_name", "start_time", "status", "user_id"}
	for i, s := range orderBy {
		o, err := parseOrder(s, words, orderable)
		if err != nil {
			return q, err
		}
		if slices.ContainsFunc(seen, func(x order) bool { return x.entity == o.entity && x.key == o.key }) {
			return q, refuse(wire.InternalError, "`order_by` contains duplicate fields: %v", orderBy)
		}
		seen = append(seen, o)
		column := attributeColumn(o.key)
		last := fmt.Sprintf("(%s IS NULL)", column)
		if table := map[string]string{entityMetric: "latest_metrics", entityParam: "params", entityTag: "tags"}[o.entity]; table != "" {
			alias := "o" + strconv.Itoa(i)
			if ranked && i == 0 && o.entity == entityMetric {
				q.text = "SELECT " + runColumns + " FROM latest_metrics o0 CROSS JOIN runs r ON r.run_uuid = o0.run_uuid AND o0.\"key\" = ? AND NOT o0.is_nan"
				q.args = append(q.args, o.key)
				q.ranked = true
				begin = "+r.experiment_id"
				sorting = append(sorting, "o0.value"+o.direction())
				continue
			}
			q.add(fmt.Sprintf(` LEFT JOIN %s %s ON %s.run_uuid = r.run_uuid AND %s."key" = ?`, table, alias, alias, alias), o.key)
			column = alias + ".value"
			last = fmt.Sprintf("(%s IS NULL)", column)
			if o.entity == entityMetric {
				last = fmt.Sprintf("CASE WHEN %s.is_nan THEN 1 WHEN %s IS NULL THEN 2 ELSE 0 END", alias, column)
			}
		} else if o.entity == entityDataset {
			return q, invalid("Invalid identifier type '%s'", o.entity)
		}
		sorting = append(sorting, last, column+o.direction())
	}
	q.add(" WHERE " + begin + " IN (")
	for i, id := range experiments {
		if i > 0 {
			q.add(", ")
		}
		q.add("?", id)
	}
	q.add(") AND " + view.where("r.lifecycle_stage"))
	for i, c := range clauses {
		q.add(" AND ")
		if few[i] && !ranked {
			q.add(`r.run_uuid IN (SELECT x.run_uuid FROM latest_metrics x WHERE x."key" = ? AND NOT x.is_nan AND `, c.key)
			q.compare("x.value", c)
			q.add(")")
			continue
		}
		q.runClause(c)
	}
	if !slices.ContainsFunc(seen, func(o order) bool { return o.entity == entityAttribute && attributeColumn(o.key) == "r.start_time" }) {
		sorting = append(sorting, "r.start_time DESC")
	}
	q.add(" ORDER BY " + strings.Join(append(sorting, "r.run_uuid"), ", "))
	return q, nil
}

// runQuery is a search over runs.
type runQuery struct {
	Experiments []string `json:"experiment_ids"`
	Filter      text     `json:"filter"`
	View        viewType `json:"run_view_type"`
	MaxResults  *int     `json:"max_results"`
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

func (s *Server) search(ctx context.Context, in runQuery) (*runPage, error) {
	limit, err := pageSize(in.MaxResults)
	if err != nil {
		return nil, err
	}
	offset, err := pageOffset(in.PageToken.value)
	if err != nil {
		return nil, err
	}
	experiments := make([]int64, len(in.Experiments))
	for i, id := range in.Experiments {
		if experiments[i], err = parseExperimentID(id); err != nil {
			return nil, err
		}
	}
	var answer runPage
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		for _, ranked := range []bool{true, false} {
			if ranked && (len(in.OrderBy) == 0 || s.store.memory) {
				continue
			}
			q, err := runsSQL(experiments, in.View, in.Filter.value, in.OrderBy, narrowMetric(ctx, tx), ranked)
			if err != nil {
				return err
			}
			if ranked && !q.ranked {
				continue
			}
			answer.Runs = nil
			err = q.page(ctx, tx, limit, offset, func(row scanner) error {
				info, err := scanRun(row)
				answer.Runs = append(answer.Runs, wire.Run{Info: info, Outputs: &wire.RunOutput{}})
				return err
			})
			if err != nil {
				return err
			}
			if len(answer.Runs) > limit {
				break
			}
		}
		if len(answer.Runs) > limit {
			answer.Runs, answer.NextPage = answer.Runs[:limit], pageToken(offset+limit)
		}
		return fillRuns(ctx, tx, answer.Runs)
	})
	return &answer, err
}

// narrowMetric looks whether a clause about a metric leaves few runs, without
// counting them all.
func narrowMetric(ctx context.Context, tx *sql.Tx) func(clause) bool {
	const few = 2000
	return func(c clause) bool {
		if c.op == "!=" || c.list != nil || strings.HasPrefix(c.op, "IS") {
			return false
		}
		q := query{}
		q.add(`SELECT count(*) FROM (SELECT 1 FROM latest_metrics x WHERE x."key" = ? AND NOT x.is_nan AND `, c.key)
		q.compare("x.value", c)
		q.add(" LIMIT ?)", few)
		var n int
		return tx.QueryRowContext(ctx, q.text, q.args...).Scan(&n) == nil && n < few
	}
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
