package server

import (
	"database/sql"
	"math"
	"net/http"

	"ctrx/tracking/wire"
)

// scanMetric reads key, value, timestamp, step, is_nan after the columns of
// before.
func scanMetric(row scanner, before ...any) (wire.Metric, error) {
	var m wire.Metric
	var isNaN bool
	err := row.Scan(append(before, &m.Key, &m.Value, &m.Timestamp, &m.Step, &isNaN)...)
	if isNaN {
		m.Value = wire.Float(math.NaN())
	}
	return m, err
}

// metricHistory answers all points of a metric by time, in pages only where
// the client asks for them. A run that does not exist has none, as on a real server.
func (s *Server) metricHistory(r *http.Request) (any, error) {
	q := r.URL.Query()
	id, err := queryRun(q)
	if err != nil {
		return nil, err
	}
	key := q.Get("metric_key")
	if key == "" {
		return nil, missing("metric_key")
	}
	offset, err := pageOffset(q.Get("page_token"))
	if err != nil {
		return nil, err
	}
	limit, err := queryInt(q, "max_results", -1)
	if err != nil {
		return nil, err
	}
	if q.Has("max_results") && limit <= 0 {
		return nil, invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", limit)
	}
	fetch := limit
	if limit > 0 {
		fetch++ // one more tells whether there is a next page
	}
	ctx := r.Context()
	var answer struct {
		Metrics  []wire.Metric `json:"metrics,omitempty"`
		NextPage string        `json:"next_page_token,omitempty"`
	}
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT "key", value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND "key" = ?
			ORDER BY timestamp, step, value LIMIT ? OFFSET ?`, id, key, fetch, offset)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			m, err := scanMetric(rows)
			if err != nil {
				return err
			}
			answer.Metrics = append(answer.Metrics, m)
		}
		return rows.Err()
	})
	if err == nil && limit > 0 && len(answer.Metrics) > limit {
		answer.Metrics, answer.NextPage = answer.Metrics[:limit], pageToken(offset+limit)
	}
	return answer, err
}
