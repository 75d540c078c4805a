package server

import (
	"context"
	"database/sql"
	"net/http"
	"slices"
	"strings"

	"ctrx/tracking/wire"
)

// Bounds of a page of traces, as in MLflow.
const (
	defaultTraces = 100
	maxTraces     = 500
)

// What only traces have.
const (
	entityMetadata    = "request_metadata"
	entityFeedback    = "feedback"
	entityExpectation = "expectation"
	entitySpan        = "span"
)

func traceVocabulary() vocabulary {
	return vocabulary{
		entities: map[string]string{
			"tag": entityTag, "tags": entityTag, "metadata": entityMetadata, "request_metadata": entityMetadata,
			"attribute": entityAttribute, "attributes": entityAttribute, "trace": entityAttribute,
			entityFeedback: entityFeedback, entityExpectation: entityExpectation, entitySpan: entitySpan,
		},
		attributes: []string{"client_request_id", "end_time", "end_time_ms", "execution_time", "execution_time_ms", "name", "prompt", "request_id", "run_id", "status", "text", "timestamp", "timestamp_ms"},
		hidden:     []string{"experiment_id", "state", "trace_id"},
		numeric:    []string{"end_time", "end_time_ms", "execution_time", "execution_time_ms", "timestamp", "timestamp_ms"},
		lists:      []string{"client_request_id", "name", "request_id", "run_id", "status", "trace_id"},
		nullable:   []string{entityTag, entityMetadata, entityFeedback, entityExpectation},
		tagged:     []string{"name", "run_id"},
		regular:    true,
		valid:      "{'attribute', 'attributes', 'expectation', 'feedback', 'issue', 'metadata', 'request_metadata', 'span', 'tag', 'tags', 'trace'}",
	}
}

// traceValue gives the SQL of a value of trace t, and its argument if it has
// one.
func traceValue(entity, key string, columns traceColumns) (string, []any) {
	const tag = `(SELECT x.value FROM trace_tags x WHERE x.request_id = t.request_id AND x."key" = ?)`
	const metadata = `(SELECT x.value FROM trace_request_metadata x WHERE x.request_id = t.request_id AND x."key" = ?)`
	switch {
	case entity == entityTag && key == traceName, entity == entityAttribute && key == "name":
		if columns["trace_name"] {
			return "t.trace_name", nil
		}
		return tag, []any{traceName}
	case entity == entityTag:
		return tag, []any{key}
	case entity == entityMetadata:
		return metadata, []any{key}
	}
	switch key {
	case "prompt":
		return tag, []any{"mlflow.linkedPrompts"}
	case "run_id":
		return metadata, []any{"mlflow.sourceRun"}
	case "client_request_id":
		if columns["client_request_id"] {
			return "t.client_request_id", nil
		}
		return metadata, []any{traceClientID}
	case "trace_id", "request_id":
		return "t.request_id", nil
	case "state", "status":
		return "t.status", nil
	case "timestamp", "timestamp_ms":
		return "t.timestamp_ms", nil
	case "execution_time", "execution_time_ms":
		return "t.execution_time_ms", nil
	case "end_time", "end_time_ms":
		return "(t.timestamp_ms + t.execution_time_ms)", nil
	}
	return "t." + key, nil // experiment_id
}

// traceQuery is a search over traces.
type traceQuery struct {
	Locations []struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"mlflow_experiment"`
	} `json:"locations"`
	Filter     text     `json:"filter"`
	MaxResults integer  `json:"max_results"`
	OrderBy    []string `json:"order_by"`
	PageToken  text     `json:"page_token"`
}

// within is the end of a SELECT over the traces t of the experiments.
func (in traceQuery) within() (query, error) {
	q := query{text: " FROM trace_info t WHERE "}
	ids := make([]int64, len(in.Locations))
	for i, l := range in.Locations {
		var err error
		if ids[i], err = parseExperimentID(l.Experiment.ID); err != nil {
			return q, err
		}
	}
	q.among("t.experiment_id", ids)
	return q, nil
}

// sql makes the query of the ids of the traces, in order. Clauses about spans are
// given back: the spans are no part of the database.
func (in traceQuery) sql(ctx context.Context, tx *sql.Tx, columns traceColumns) (q query, spans []clause, err error) {
	words := traceVocabulary()
	clauses, err := parseFilter(in.Filter.value, words)
	if err != nil {
		return query{}, nil, err
	}
	within, err := in.within()
	if err != nil {
		return q, nil, err
	}
	q = query{text: "SELECT t.request_id"}
	q.add(within.text, within.args...)
	for _, c := range clauses {
		if c.entity == entityAttribute && c.key == "text" {
			c.entity, c.key = entitySpan, "content"
		}
		switch {
		case c.entity == entitySpan:
			if err := checkSpanClause(c); err != nil {
				return q, nil, err
			}
			spans = append(spans, c)
			continue
		case c.entity == entityFeedback || c.entity == entityExpectation:
			q.add(" AND ")
			if err := q.assessed(ctx, tx, c, columns, within); err != nil {
				return q, nil, err
			}
			continue
		case c.entity == entityAttribute && c.key == "run_id" && (c.op == "=" || c.op == "IN"):
			q.add(" AND ")
			q.ofRun(c, columns)
			continue
		}
		value, args := traceValue(c.entity, c.key, columns)
		if c.op == "RLIKE" {
			if err := q.regular(ctx, tx, value, args, within, c); err != nil {
				return q, nil, err
			}
			continue
		}
		q.args = append(q.args, args...)
		q.add(" AND ")
		if strings.HasPrefix(c.op, "IS ") {
			q.add(value + " " + c.op)
			continue
		}
		q.compare(value, c)
	}
	return q, spans, in.order(&q, words, columns)
}

// order appends how the traces are sorted: without anything, the newest first.
func (in traceQuery) order(q *query, words vocabulary, columns traceColumns) error {
	var sorting []string
	for _, s := range in.OrderBy {
		o, err := parseOrder(s, words, append(words.attributes, words.hidden...))
		if err != nil {
			return err
		}
		value, args := traceValue(o.entity, o.key, columns)
		q.args = append(q.args, args...)
		q.args = append(q.args, args...) // it stands there twice
		sorting = append(sorting, "("+value+" IS NULL)", value+o.direction())
	}
	if !slices.ContainsFunc(sorting, func(s string) bool { return strings.HasPrefix(s, "t.timestamp_ms ") }) {
		sorting = append(sorting, "t.timestamp_ms DESC")
	}
	q.add(" ORDER BY " + strings.Join(append(sorting, "t.request_id ASC"), ", "))
	return nil
}

func (s *Server) searchTraces(r *http.Request) (any, error) {
	var in traceQuery
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.MaxResults.optional("max_results"), in.Filter.optional("filter"), in.PageToken.optional("page_token")); err != nil {
		return nil, err
	}
	limit := defaultTraces
	if n := in.MaxResults; n.set {
		if n.value < 1 || n.value > maxTraces {
			return nil, invalid("Invalid value for max_results. It must be between 1 and %d, but got %d", maxTraces, n.value)
		}
		limit = int(n.value)
	}
	offset, err := pageOffset(in.PageToken.value)
	if err != nil {
		return nil, err
	}
	var out struct {
		Traces   []traceInfo `json:"traces,omitempty"`
		NextPage string      `json:"next_page_token,omitempty"`
	}
	ctx := r.Context()
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		columns, err := findTraceColumns(ctx, tx)
		if err != nil {
			return err
		}
		q, spans, err := in.sql(ctx, tx, columns)
		if err != nil {
			return err
		}
		var ids []string
		if len(spans) > 0 {
			if ids, err = s.tracesWithSpans(ctx, tx, q, spans, offset, limit); err != nil {
				return err
			}
		} else if err = q.page(ctx, tx, limit, offset, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		}); err != nil {
			return err
		}
		if len(ids) > limit {
			ids, out.NextPage = ids[:limit], pageToken(offset+limit)
		}
		out.Traces, err = readTraces(ctx, tx, ids)
		return err
	})
	return out, err
}

// traceInfos answers traces/batchGetInfos.
func (s *Server) traceInfos(r *http.Request) (any, error) {
	var in struct {
		IDs []string `json:"trace_ids"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	var out struct {
		Traces []traceInfo `json:"trace_infos,omitempty"`
	}
	err := s.store.read(r.Context(), func(tx *sql.Tx) (err error) {
		out.Traces, err = readTraces(r.Context(), tx, in.IDs)
		return err
	})
	return out, err
}

// deleteTraces deletes the traces with these ids, or the oldest ones. The spans
// stay in the artifacts, as with MLflow.
func (s *Server) deleteTraces(r *http.Request) (any, error) {
	var in struct {
		Experiment text     `json:"experiment_id"`
		Before     integer  `json:"max_timestamp_millis"`
		Max        integer  `json:"max_traces"`
		IDs        []string `json:"request_ids"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Experiment.required("experiment_id"), in.Before.optional("max_timestamp_millis"), in.Max.optional("max_traces")); err != nil {
		return nil, err
	}
	switch {
	case !in.Before.set && len(in.IDs) == 0:
		return nil, invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
	case in.Before.set && len(in.IDs) > 0:
		return nil, invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
	case in.Max.set && len(in.IDs) > 0:
		return nil, invalid("`max_traces` can't be specified if `trace_ids` is specified.")
	case in.Max.set && in.Max.value <= 0:
		return nil, invalid("`max_traces` must be a positive integer, received %d.", in.Max.value)
	}
	experiment, err := parseExperimentID(in.Experiment.value)
	if err != nil {
		return nil, err
	}
	q := query{}
	if in.Before.set {
		q.add(`SELECT request_id FROM trace_info WHERE experiment_id = ? AND timestamp_ms <= ? ORDER BY timestamp_ms, request_id`, experiment, in.Before.value)
		if in.Max.set {
			q.add(" LIMIT ?", in.Max.value)
		}
	} else {
		ids, err := wire.Marshal(in.IDs)
		if err != nil {
			return nil, err
		}
		q.add(`SELECT request_id FROM trace_info WHERE experiment_id = ? AND request_id IN (SELECT value FROM json_each(?))`, experiment, string(ids))
	}
	var deleted int64
	ctx := r.Context()
	err = s.store.write(ctx, func(tx *sql.Tx) error {
		// Tags, metadata and what newer revisions have go by the foreign key.
		result, err := tx.ExecContext(ctx, `DELETE FROM trace_info WHERE request_id IN (`+q.text+`)`, q.args...)
		if err != nil {
			return err
		}
		deleted, err = result.RowsAffected()
		return err
	})
	return struct {
		Deleted int64 `json:"traces_deleted"`
	}{deleted}, err
}
