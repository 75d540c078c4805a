package server

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"

	"ctrx/tracking/wire"
)

// batch is a checked log-batch: everything in it is valid by itself.
type batch struct {
	metrics []wire.Metric
	models  []modelPoint // those of metrics that belong to a logged model
	params  []wire.Param
	tags    []wire.Tag
}

// metricIn is a metric as a client sends it.
type metricIn struct {
	Key       text    `json:"key"`
	Value     number  `json:"value"`
	Timestamp integer `json:"timestamp"`
	Step      integer `json:"step"`

	// The logged model and the dataset that the point is about, if any.
	Model         text `json:"model_id"`
	DatasetName   text `json:"dataset_name"`
	DatasetDigest text `json:"dataset_digest"`
}

// modelPoint is a metric point of a logged model.
type modelPoint struct {
	wire.Metric
	model        string
	name, digest text // of the dataset
}

// point gives the metric and, where it names a logged model, adds it there.
func (b *batch) point(in metricIn, m wire.Metric) {
	b.metrics = append(b.metrics, m)
	if in.Model.value != "" {
		b.models = append(b.models, modelPoint{m, in.Model.value, in.DatasetName, in.DatasetDigest})
	}
}

// keyValue is a parameter or tag as a client sends it.
type keyValue struct {
	Key   text `json:"key"`
	Value text `json:"value"`
}

// required checks what is there and of which type. Fields that most points lack are
// looked at last.
func (m metricIn) required(prefix string) error {
	for _, err := range []error{m.Key.required(prefix + "key"), m.Value.required(prefix + "value"), m.Timestamp.required(prefix + "timestamp"), m.Step.optional(prefix + "step")} {
		if err != nil {
			return err
		}
	}
	if !m.Model.set && !m.DatasetName.set && !m.DatasetDigest.set {
		return nil
	}
	if err := firstError(m.Model.optional(prefix+"model_id"), m.DatasetName.optional(prefix+"dataset_name"), m.DatasetDigest.optional(prefix+"dataset_digest")); err != nil {
		return err
	}
	if (m.DatasetName.value == "") != (m.DatasetDigest.value == "") {
		return invalid("Both dataset_name and dataset_digest must be provided if one is provided")
	}
	return nil
}

// metric checks the values; prefix is "" or "metrics[i].", it names the field.
func (m metricIn) metric(prefix string) (wire.Metric, error) {
	out := wire.Metric{Key: m.Key.value, Value: wire.Float(m.Value.value), Timestamp: wire.Int(m.Timestamp.value), Step: wire.Int(m.Step.value)}
	if m.Value.odd {
		out.Value, out.Timestamp, out.Step = 0, 0, 0
	}
	if err := checkKey(prefix+"name", "Metric name", out.Key); err != nil {
		return out, err
	}
	if out.Timestamp < 0 {
		return out, invalid("Invalid value %d for parameter '%stimestamp' supplied: metric '%s' (value=%s). Timestamp must be a nonnegative long (64-bit integer) ",
			out.Timestamp, prefix, out.Key, wire.FormatFloat(float64(out.Value)))
	}
	return out, nil
}

func (p keyValue) param(prefix string) (wire.Param, error) {
	return wire.Param{Key: p.Key.value, Value: wire.Cut(p.Value.orJSON(), wire.MaxParamValue)}, checkKey(prefix+"key", "Param key", p.Key.value)
}

func (p keyValue) tag(prefix string) (wire.Tag, error) {
	return wire.Tag{Key: p.Key.value, Value: wire.Cut(p.Value.orJSON(), wire.MaxTagValue)}, checkKey(prefix+"key", prefix+"key", p.Key.value)
}

func checkLimit(what string, limit, got int) error {
	if got <= limit {
		return nil
	}
	return invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple requests and try again.", limit, what, got, what, what)
}

func (s *Server) logBatch(r *http.Request) (any, error) {
	var in struct {
		ids
		Metrics []metricIn `json:"metrics"`
		Params  []keyValue `json:"params"`
		Tags    []keyValue `json:"tags"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err != nil {
		return nil, err
	}
	b, err := checkBatch(in.Metrics, in.Params, in.Tags)
	if err != nil {
		return nil, err
	}
	return s.logToRun(r.Context(), id, b, false)
}

// checkBatch checks a log-batch. In two cases in which a real server answers 200
// and loses what was sent, this one does not follow it: a field of a metric of
// another type (a time "abc"), after which that server drops the rest of the
// batch, is refused as it is by log-metric; and of a parameter or tag whose value
// is no text (5, true), for which it stores an empty one, the JSON is stored.
func checkBatch(metrics []metricIn, params, tags []keyValue) (batch, error) {
	var b batch
	for i, m := range metrics {
		if err := m.required(fmt.Sprintf("metrics[%d].", i)); err != nil {
			return b, err
		}
	}
	for i, p := range params {
		if err := p.Key.required(fmt.Sprintf("params[%d].key", i)); err != nil {
			return b, err
		}
	}
	for i, t := range tags {
		if err := t.Key.required(fmt.Sprintf("tags[%d].key", i)); err != nil {
			return b, err
		}
	}
	for i, in := range metrics {
		m, err := in.metric(fmt.Sprintf("metrics[%d].", i))
		if err != nil {
			return b, err
		}
		b.point(in, m)
	}
	var twice []string
	seen := map[string]bool{}
	for i, in := range params {
		p, err := in.param(fmt.Sprintf("params[%d].", i))
		if err != nil {
			return b, err
		}
		if seen[p.Key] {
			twice = append(twice, "'"+p.Key+"'")
		}
		seen[p.Key] = true
		b.params = append(b.params, p)
	}
	for i, in := range tags {
		t, err := in.tag(fmt.Sprintf("tags[%d].", i))
		if err != nil {
			return b, err
		}
		b.tags = append(b.tags, t)
	}
	for _, err := range []error{
		checkLimit("metrics", wire.MaxBatchMetrics, len(metrics)),
		checkLimit("params", wire.MaxBatchParams, len(params)),
		checkLimit("tags", wire.MaxBatchTags, len(tags)),
		checkLimit("metrics, params, and tags", wire.MaxBatchEntities, len(metrics)+len(params)+len(tags)),
	} {
		if err != nil {
			return b, err
		}
	}
	if len(twice) > 0 {
		return b, invalid("Duplicate parameter keys have been submitted: [%s]. Please ensure the request contains only one param value per param key.", strings.Join(twice, ", "))
	}
	return b, nil
}

func (s *Server) logMetric(r *http.Request) (any, error) {
	var in struct {
		ids
		metricIn
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err != nil {
		return nil, err
	}
	if err := in.required(""); err != nil {
		return nil, err
	}
	m, err := in.metric("")
	if err != nil {
		return nil, err
	}
	var b batch
	b.point(in.metricIn, m)
	return s.logToRun(r.Context(), id, b, true)
}

func (s *Server) logParameter(r *http.Request) (any, error) {
	var in struct {
		ids
		keyValue
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	for _, err := range []error{err, in.Key.required("key"), in.Value.optional("value")} {
		if err != nil {
			return nil, err
		}
	}
	p, err := in.param("")
	if err != nil {
		return nil, err
	}
	return s.logToRun(r.Context(), id, batch{params: []wire.Param{p}}, true)
}

func (s *Server) setTag(r *http.Request) (any, error) {
	var in struct {
		ids
		keyValue
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	for _, err := range []error{err, in.Key.required("key"), in.Value.optional("value")} {
		if err != nil {
			return nil, err
		}
	}
	t, err := in.tag("")
	if err != nil {
		return nil, err
	}
	return s.logToRun(r.Context(), id, batch{tags: []wire.Tag{t}}, true)
}

func (s *Server) deleteTag(r *http.Request) (any, error) {
	var in struct {
		ids
		Key text `json:"key"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	for _, err := range []error{err, in.Key.required("key")} {
		if err != nil {
			return nil, err
		}
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := activeRun(ctx, tx, id); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM tags WHERE run_uuid = ? AND "key" = ?`, id, in.Key.value)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return refuse(wire.ResourceDoesNotExist, "No tag with name: %s in run with id %s", in.Key.value, id)
	})
}

// logToRun writes a batch in one transaction: all of it or nothing. single
// chooses the message about a changed parameter.
func (s *Server) logToRun(ctx context.Context, id string, b batch, single bool) (any, error) {
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		run, err := activeRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := putModelPoints(ctx, tx, run, b.models); err != nil {
			return err
		}
		if err := putParams(ctx, tx, id, b.params, single); err != nil {
			return err
		}
		if err := putMetrics(ctx, tx, id, b.metrics); err != nil {
			return err
		}
		for _, t := range b.tags {
			if err := putTag(ctx, tx, id, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// putModelPoints adds points to logged models; one that exists is left alone.
func putModelPoints(ctx context.Context, tx *sql.Tx, run wire.RunInfo, points []modelPoint) error {
	for _, p := range points {
		value, _ := finite(float64(p.Value))
		if _, err := tx.ExecContext(ctx, `INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,
				experiment_id, run_id, dataset_uuid, dataset_name, dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?) ON CONFLICT DO NOTHING`,
			p.model, p.Key, int64(p.Timestamp), int64(p.Step), value, run.ExperimentID, run.RunID, optionalText(p.name), optionalText(p.digest)); err != nil {
			return err
		}
	}
	return nil
}

// putTag sets a tag; the run name is a tag and a column.
func putTag(ctx context.Context, tx *sql.Tx, id string, t wire.Tag) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO tags ("key", value, run_uuid) VALUES (?, ?, ?)
		ON CONFLICT ("key", run_uuid) DO UPDATE SET value = excluded.value`, t.Key, t.Value, id)
	if err == nil && t.Key == wire.TagRunName {
		_, err = tx.ExecContext(ctx, `UPDATE runs SET name = ? WHERE run_uuid = ?`, t.Value, id)
	}
	return err
}

// putParams adds parameters; one that exists must keep its value.
func putParams(ctx context.Context, tx *sql.Tx, id string, params []wire.Param, single bool) error {
	var changed []string
	for _, p := range params {
		res, err := tx.ExecContext(ctx, `INSERT INTO params ("key", value, run_uuid) VALUES (?, ?, ?) ON CONFLICT ("key", run_uuid) DO NOTHING`, p.Key, p.Value, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			if err != nil {
				return err
			}
			continue
		}
		var old string
		if err := tx.QueryRowContext(ctx, `SELECT value FROM params WHERE run_uuid = ? AND "key" = ?`, id, p.Key).Scan(&old); err != nil {
			return err
		}
		if old == p.Value {
			continue
		}
		if single {
			return invalid("Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run ID='%s'. Attempted logging new value '%s'.", p.Key, old, id, p.Value)
		}
		changed = append(changed, fmt.Sprintf("{'key': '%s', 'old_value': '%s', 'new_value': '%s'}", p.Key, old, p.Value))
	}
	if len(changed) > 0 {
		return invalid("Changing param values is not allowed. Params were already logged='[%s]' for run ID='%s'.", strings.Join(changed, ", "), id)
	}
	return nil
}

// newer orders metric points by (step, timestamp, value), as the newest point
// of a key is chosen.
func newer(a, b wire.Metric) bool {
	if a.Step != b.Step {
		return a.Step > b.Step
	}
	if a.Timestamp != b.Timestamp {
		return a.Timestamp > b.Timestamp
	}
	return a.Value > b.Value
}

// putMetrics adds points; one that exists already is left alone. The newest
// point of each key is kept apart, as MLflow keeps it.
func putMetrics(ctx context.Context, tx *sql.Tx, id string, metrics []wire.Metric) error {
	if len(metrics) == 0 {
		return nil
	}
	type point struct {
		wire.Metric // with the stored value
		isNaN       bool
	}
	latest := map[string]point{}
	var order []string
	rows := make([]any, 0, 6*len(metrics))
	for _, m := range metrics {
		value, isNaN := finite(float64(m.Value))
		rows = append(rows, m.Key, value, int64(m.Timestamp), id, int64(m.Step), isNaN)
		m.Value = wire.Float(value)
		old, ok := latest[m.Key]
		if !ok {
			order = append(order, m.Key)
		}
		if !ok || newer(m, old.Metric) {
			latest[m.Key] = point{m, isNaN}
		}
	}
	err := insertRows(ctx, tx, `INSERT INTO metrics ("key", value, timestamp, run_uuid, step, is_nan)`, `ON CONFLICT DO NOTHING`, 6, rows)
	if err != nil {
		return err
	}
	rows = rows[:0]
	for _, key := range order {
		p := latest[key]
		rows = append(rows, key, float64(p.Value), int64(p.Timestamp), int64(p.Step), p.isNaN, id)
	}
	return insertRows(ctx, tx, `INSERT INTO latest_metrics ("key", value, timestamp, step, is_nan, run_uuid)`,
		`ON CONFLICT ("key", run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
		WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)`, 6, rows)
}

// insertRows inserts rows, whose values follow each other in args, width to a
// row. Many rows go with one statement: with one each, the calls take as long as
// the inserts.
func insertRows(ctx context.Context, tx *sql.Tx, insert, conflict string, width int, args []any) error {
	const most = 50 // rows
	row := "(" + strings.Repeat("?, ", width-1) + "?)"
	statement := func(rows int) string {
		return insert + " VALUES " + strings.Repeat(row+", ", rows-1) + row + " " + conflict
	}
	if n := len(args) / width / most; n > 1 {
		many, err := tx.PrepareContext(ctx, statement(most))
		if err != nil {
			return err
		}
		defer many.Close()
		for ; len(args) >= most*width; args = args[most*width:] {
			if _, err := many.ExecContext(ctx, args[:most*width]...); err != nil {
				return err
			}
		}
	}
	for ; len(args) > 0; args = args[min(most*width, len(args)):] {
		now := args[:min(most*width, len(args))]
		if _, err := tx.ExecContext(ctx, statement(len(now)/width), now...); err != nil {
			return err
		}
	}
	return nil
}
