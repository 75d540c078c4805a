package server

import (
	"context"
	"database/sql"
	"net/http"
	"slices"

	"ctrx/tracking/wire"
)

// Limits of the calls that read a metric of many runs at once.
const (
	maxBulkRuns       = 100
	maxBulkPoints     = 25000
	maxIntervalPoints = 2500
)

// runMetric is a metric point with its run.
type runMetric struct {
	wire.Metric
	RunID string `json:"run_id"`
}

// bulkHistory answers points of a metric of up to 100 runs, by run and time;
// the interface of MLflow calls it.
func (s *Server) bulkHistory(r *http.Request) (any, error) {
	q := r.URL.Query()
	ids, key := q["run_id"], q.Get("metric_key")
	switch {
	case len(ids) == 0:
		return nil, invalid("GetMetricHistoryBulk request must specify at least one run_id.")
	case len(ids) > maxBulkRuns:
		return nil, invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", maxBulkRuns, len(ids))
	case key == "":
		return nil, invalid("GetMetricHistoryBulk request must specify a metric_key.")
	}
	limit, err := queryInt(q, "max_results", maxBulkPoints)
	if err != nil {
		return nil, err
	}
	limit = min(limit, maxBulkPoints)
	list, err := wire.Marshal(ids)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	answer := struct {
		Metrics []runMetric `json:"metrics"`
	}{[]runMetric{}}
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT run_uuid, "key", value, timestamp, step, is_nan FROM metrics
			WHERE run_uuid IN (SELECT value FROM json_each(?)) AND "key" = ? ORDER BY run_uuid, timestamp, step, value LIMIT ?`, string(list), key, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m runMetric
			if m.Metric, err = scanMetric(rows, &m.RunID); err != nil {
				return err
			}
			answer.Metrics = append(answer.Metrics, m)
		}
		return rows.Err()
	})
}

// intervalQuery asks for a thinned-out history of a metric of many runs.
type intervalQuery struct {
	Runs  texts   `json:"run_ids"`
	Key   text    `json:"metric_key"`
	Start integer `json:"start_step"`
	End   integer `json:"end_step"`
	Max   integer `json:"max_results"`
}

func (q intervalQuery) check() error {
	if err := q.Runs.required("run_ids"); err != nil {
		return err
	}
	if n := len(q.Runs.values); n > maxBulkRuns {
		return invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.%s", maxBulkRuns, n, seeDocs)
	}
	if err := firstError(q.Key.required("metric_key"), q.Start.optional("start_step"), q.End.optional("end_step"), q.Max.optional("max_results")); err != nil {
		return err
	}
	switch {
	case q.Max.set && (q.Max.value < 1 || q.Max.value > maxIntervalPoints):
		return invalid("max_results must be between 1 and %d.%s", maxIntervalPoints, seeDocs)
	case q.Start.set && q.End.set && q.Start.value > q.End.value:
		return invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", q.Start.value, q.End.value)
	case q.Start.set != q.End.set:
		return invalid("If either start step or end step are specified, both must be specified.")
	}
	return nil
}

type intervalAnswer struct {
	Metrics []runMetric `json:"metrics,omitempty"`
}

func (s *Server) intervalHistory(r *http.Request) (any, error) {
	var in intervalQuery
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	return s.interval(r.Context(), in)
}

func (s *Server) interval(ctx context.Context, in intervalQuery) (*intervalAnswer, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	limit := maxIntervalPoints
	if in.Max.set {
		limit = int(in.Max.value)
	}
	var answer intervalAnswer
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		for _, id := range in.Runs.values {
			points, err := sampleHistory(ctx, tx, id, in, limit)
			if err != nil {
				return err
			}
			answer.Metrics = append(answer.Metrics, points...)
		}
		return nil
	})
}

// sampleHistory gives at most limit points of one metric, spread evenly over
// its rows in the order of steps, the first and the last among them.
func sampleHistory(ctx context.Context, tx *sql.Tx, id string, in intervalQuery, limit int) ([]runMetric, error) {
	text, args := `SELECT "key", value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND "key" = ?`, []any{id, in.Key.value}
	if in.Start.set {
		text += ` AND step BETWEEN ? AND ?`
		args = append(args, in.Start.value, in.End.value)
	}
	rows, err := tx.QueryContext(ctx, text+` ORDER BY step, timestamp, value, is_nan`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []runMetric
	for rows.Next() {
		m, err := scanMetric(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, runMetric{m, id})
	}
	return thin(all, limit), rows.Err()
}

// thin keeps the first row of each of limit buckets as even as SQL's NTILE
// makes them, and the last row of all.
func thin[T any](all []T, limit int) []T {
	if len(all) <= limit {
		return all
	}
	size, larger := len(all)/limit, len(all)%limit
	out := make([]T, 0, limit)
	for i, at := 0, 0; i < limit; i++ {
		out = append(out, all[at])
		at += size
		if i < larger {
			at++
		}
	}
	out[limit-1] = all[len(all)-1]
	return slices.Clip(out)
}
