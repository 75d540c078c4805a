package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"ctrx/tracking/wire"
)

// Assessments of traces: feedback and expectations. The file's base revision has
// no table for them; until a newer MLflow migrated the file they are kept as
// metadata of the trace, under a key that no answer shows.

const (
	assessmentKey = "ctrx.assessment." // and the id; the value is the assessment in JSON
	linkedRunKey  = "ctrx.run."        // and the id of a run that a trace is linked to
	maxLinks      = 100                // traces linked to a run by one request, as in MLflow
)

// assessmentAnswer is an assessment in requests and answers.
type assessmentAnswer struct {
	Assessment *wire.Assessment `json:"assessment"`
}

// traceTime writes a time as the API has it: without a fraction where that is 0.
func traceTime(ms int64) string {
	if ms%1000 == 0 {
		return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z")
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// normalize gives an assessment the form that every answer has: times without
// more than milliseconds, numbers as floats, and a value where there is an error.
func normalize(a *wire.Assessment) error {
	for _, at := range []*string{&a.CreateTime, &a.UpdateTime} {
		moment, err := time.Parse(time.RFC3339Nano, *at)
		if err != nil {
			return invalid("Invalid value %s for a time of an assessment", pythonJSON(*at))
		}
		*at = traceTime(moment.UnixMilli())
	}
	var err error
	if a.Feedback != nil {
		a.Feedback.Value, err = floats(a.Feedback.Value)
	}
	if a.Expectation != nil && a.Expectation.Serialized == nil {
		a.Expectation.Value, err = floats(a.Expectation.Value)
	}
	return err
}

// floats writes the numbers of a JSON value as floats; no value is null.
func floats(value json.RawMessage) (json.RawMessage, error) {
	if len(value) == 0 {
		return json.RawMessage("null"), nil
	}
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, err
	}
	return wire.Marshal(withFloats(v))
}

func withFloats(v any) any {
	switch x := v.(type) {
	case float64:
		return wire.Float(x)
	case []any:
		for i := range x {
			x[i] = withFloats(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = withFloats(x[k])
		}
	}
	return v
}

// hasTable tells whether a newer MLflow migrated the file so far that it has a
// table.
func hasTable(ctx context.Context, tx *sql.Tx, name string) (bool, error) {
	n := 0
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, name).Scan(&n)
	return n > 0, err
}

// checkAssessment refuses what no store keeps.
func checkAssessment(a *wire.Assessment) error {
	switch {
	case a == nil:
		return missing("assessment")
	case a.Name == "":
		return missing("assessment.assessment_name")
	case len([]rune(a.Name)) > 250:
		return tooLong("assessment_name", 250)
	case a.Source == nil || a.Source.Type == "":
		return missing("assessment.source")
	case a.Feedback == nil && a.Expectation == nil:
		return invalid("Unknown assessment type: None")
	}
	return nil
}

func (s *Server) createAssessment(r *http.Request) (any, error) {
	var in assessmentAnswer
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	a := in.Assessment
	if err := checkAssessment(a); err != nil {
		return nil, err
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	now := traceTime(s.millis())
	valid := true
	a.ID, a.TraceID, a.Valid = "a-"+id, r.PathValue("trace"), &valid
	if a.CreateTime == "" {
		a.CreateTime = now
	}
	if a.UpdateTime == "" {
		a.UpdateTime = now
	}
	if err := normalize(a); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return in, s.store.write(ctx, func(tx *sql.Tx) error {
		trace, err := findTrace(ctx, tx, a.TraceID)
		if err != nil {
			return err
		}
		if err := setValid(ctx, tx, trace, a.Overrides, false); err != nil {
			return err
		}
		return putAssessment(ctx, tx, *a)
	})
}

// setValid marks an assessment that another one replaces, or that is in force
// again.
func setValid(ctx context.Context, tx *sql.Tx, trace traceInfo, id string, valid bool) error {
	for _, a := range trace.Assessments {
		if id != "" && a.ID == id {
			a.Valid = &valid
			return putAssessment(ctx, tx, a)
		}
	}
	return nil
}

// putAssessment stores an assessment, new or changed, where the file keeps them.
func putAssessment(ctx context.Context, tx *sql.Tx, a wire.Assessment) error {
	table, err := hasTable(ctx, tx, "assessments")
	if err != nil {
		return err
	}
	if !table {
		data, err := wire.Marshal(a)
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO trace_request_metadata ("key", value, request_id) VALUES (?, ?, ?)
				ON CONFLICT ("key", request_id) DO UPDATE SET value = excluded.value`, assessmentKey+a.ID, string(data), a.TraceID)
		}
		return err
	}
	row, err := assessmentRow(a)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, error, created_timestamp, last_updated_timestamp,
		source_type, source_id, run_id, span_id, rationale, overrides, valid, assessment_metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (assessment_id) DO UPDATE SET name = excluded.name, value = excluded.value, error = excluded.error, last_updated_timestamp = excluded.last_updated_timestamp,
			rationale = excluded.rationale, valid = excluded.valid, assessment_metadata = excluded.assessment_metadata`, row...)
	return err
}

// assessmentRow gives the columns that putAssessment names.
func assessmentRow(a wire.Assessment) ([]any, error) {
	kind, value, problem := "feedback", json.RawMessage("null"), any(nil)
	switch {
	case a.Expectation != nil:
		kind, value = "expectation", a.Expectation.Value
		if x := a.Expectation.Serialized; x != nil {
			value = json.RawMessage(x.Value)
		}
	case a.Feedback != nil:
		value = a.Feedback.Value
		if e := a.Feedback.Error; e != nil {
			data, err := wire.Marshal(e)
			if err != nil {
				return nil, err
			}
			problem = string(data)
		}
	}
	if len(value) == 0 || !json.Valid(value) {
		value = json.RawMessage("null")
	}
	var metadata any
	if len(a.Metadata) > 0 {
		data, err := wire.Marshal(a.Metadata)
		if err != nil {
			return nil, err
		}
		metadata = string(data)
	}
	created, err := time.Parse(time.RFC3339Nano, a.CreateTime)
	if err != nil {
		return nil, err
	}
	updated, err := time.Parse(time.RFC3339Nano, a.UpdateTime)
	if err != nil {
		return nil, err
	}
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return []any{a.ID, a.TraceID, a.Name, kind, string(value), problem, created.UnixMilli(), updated.UnixMilli(), a.Source.Type, a.Source.ID,
		orNull(a.Metadata["mlflow.assessment.sourceRunId"]), orNull(a.SpanID), a.Rationale, orNull(a.Overrides), a.Valid == nil || *a.Valid, metadata}, nil
}

// addAssessments reads what the table of a migrated file has about traces.
func addAssessments(ctx context.Context, tx *sql.Tx, found map[string]*traceInfo, ids string) error {
	if table, err := hasTable(ctx, tx, "assessments"); err != nil || !table {
		return err
	}
	return each(ctx, tx, `SELECT assessment_id, trace_id, name, assessment_type, value, error, created_timestamp, last_updated_timestamp, source_type, coalesce(source_id, ''),
		coalesce(span_id, ''), rationale, coalesce(overrides, ''), valid, coalesce(assessment_metadata, '')
		FROM assessments WHERE trace_id IN (SELECT value FROM json_each(?)) ORDER BY rowid`, ids, func(row scanner) error {
		a := wire.Assessment{Source: &wire.AssessmentSource{}, Valid: new(bool)}
		var kind, value, metadata string
		var problem sql.NullString
		var created, updated int64
		err := row.Scan(&a.ID, &a.TraceID, &a.Name, &kind, &value, &problem, &created, &updated, &a.Source.Type, &a.Source.ID, &a.SpanID, &a.Rationale, &a.Overrides, a.Valid, &metadata)
		if err != nil {
			return err
		}
		a.CreateTime, a.UpdateTime = traceTime(created), traceTime(updated)
		if metadata != "" {
			err = json.Unmarshal([]byte(metadata), &a.Metadata)
		}
		switch kind {
		case "feedback":
			a.Feedback = &wire.Feedback{Value: json.RawMessage(value)}
			if problem.Valid {
				err = errors.Join(err, json.Unmarshal([]byte(problem.String), &a.Feedback.Error))
			}
		case "expectation":
			a.Expectation = expected(value)
		default:
			a.Issue = json.RawMessage(value)
		}
		if info := found[a.TraceID]; info != nil {
			info.Assessments = append(info.Assessments, a)
		}
		return err
	})
}

// expected gives an expectation as the API has it: a list or an object is JSON in a
// text.
func expected(value string) *wire.Expectation {
	if !strings.HasPrefix(value, "[") && !strings.HasPrefix(value, "{") {
		return &wire.Expectation{Value: json.RawMessage(value)}
	}
	return &wire.Expectation{Serialized: &wire.SerializedValue{Format: "JSON_FORMAT", Value: value}}
}

// takeMetadata adds a row of a trace's metadata to it, or what the row stands
// for on the base revision.
func takeMetadata(info *traceInfo, key, value string) error {
	switch {
	case strings.HasPrefix(key, linkedRunKey):
	case strings.HasPrefix(key, assessmentKey):
		var a wire.Assessment
		if err := json.Unmarshal([]byte(value), &a); err != nil {
			return err
		}
		info.Assessments = append(info.Assessments, a)
	default:
		info.Metadata[key] = value
	}
	return nil
}

// findAssessment gives an assessment of a trace.
func findAssessment(ctx context.Context, tx *sql.Tx, trace, id string) (traceInfo, wire.Assessment, error) {
	info, err := findTrace(ctx, tx, trace)
	if err != nil {
		return info, wire.Assessment{}, err
	}
	for _, a := range info.Assessments {
		if a.ID == id {
			return info, a, nil
		}
	}
	return info, wire.Assessment{}, refuse(wire.ResourceDoesNotExist, "Assessment with ID '%s' not found for trace '%s'", id, trace)
}

func (s *Server) getAssessment(r *http.Request) (any, error) {
	var out assessmentAnswer
	err := s.store.read(r.Context(), func(tx *sql.Tx) error {
		_, a, err := findAssessment(r.Context(), tx, r.PathValue("trace"), r.PathValue("assessment"))
		out.Assessment = &a
		return err
	})
	return out, err
}

// updateAssessment changes what the update mask names.
func (s *Server) updateAssessment(r *http.Request) (any, error) {
	var in struct {
		Assessment *wire.Assessment `json:"assessment"`
		Mask       string           `json:"update_mask"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Assessment == nil:
		return nil, missing("assessment")
	case in.Mask == "":
		return nil, missing("update_mask")
	}
	ctx := r.Context()
	var out assessmentAnswer
	err := s.store.write(ctx, func(tx *sql.Tx) error {
		_, a, err := findAssessment(ctx, tx, r.PathValue("trace"), r.PathValue("assessment"))
		if err != nil {
			return err
		}
		for field := range strings.SplitSeq(in.Mask, ",") {
			switch strings.TrimSpace(field) {
			case "assessment_name", "assessmentName":
				a.Name = in.Assessment.Name
			case "feedback":
				if a.Feedback == nil {
					return invalid("Cannot update feedback value on an Expectation assessment.")
				}
				a.Feedback = in.Assessment.Feedback
			case "expectation":
				if a.Expectation == nil {
					return invalid("Cannot update expectation value on a Feedback assessment.")
				}
				a.Expectation = in.Assessment.Expectation
			case "rationale":
				a.Rationale = in.Assessment.Rationale
			case "metadata":
				a.Metadata = in.Assessment.Metadata
			case "valid":
				a.Valid = in.Assessment.Valid
			}
		}
		if err := checkAssessment(&a); err != nil {
			return err
		}
		a.UpdateTime = traceTime(s.millis())
		if err := normalize(&a); err != nil {
			return err
		}
		out.Assessment = &a
		return putAssessment(ctx, tx, a)
	})
	return out, err
}

// deleteAssessment deletes an assessment, or does nothing; what it replaced is in
// force again.
func (s *Server) deleteAssessment(r *http.Request) (any, error) {
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		info, err := findTrace(ctx, tx, r.PathValue("trace"))
		if refused, ok := errors.AsType[*apiError](err); ok && refused.code == wire.ResourceDoesNotExist {
			return nil
		}
		if err != nil {
			return err
		}
		for _, a := range info.Assessments {
			if a.ID != r.PathValue("assessment") {
				continue
			}
			if err := setValid(ctx, tx, info, a.Overrides, true); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM trace_request_metadata WHERE "key" = ? AND request_id = ?`, assessmentKey+a.ID, info.ID); err != nil {
				return err
			}
			if table, err := hasTable(ctx, tx, "assessments"); err != nil || !table {
				return err
			}
			_, err := tx.ExecContext(ctx, `DELETE FROM assessments WHERE assessment_id = ?`, a.ID)
			return err
		}
		return nil
	})
}

// linkTraces ties traces to a run, once. As on a real server the run need not be
// there, and traces that are not there are passed over.
func (s *Server) linkTraces(r *http.Request) (any, error) {
	var in struct {
		Traces texts `json:"trace_ids"`
		Run    text  `json:"run_id"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Traces.required("trace_ids"), in.Run.required("run_id")); err != nil {
		return nil, err
	}
	if n := len(in.Traces.values); n > maxLinks {
		return nil, invalid("Cannot link more than %d traces to a run in a single request. Provided %d traces.", maxLinks, n)
	}
	ctx, run := r.Context(), in.Run.value
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		known, err := readTraces(ctx, tx, in.Traces.values)
		if err != nil {
			return err
		}
		table, err := hasTable(ctx, tx, "entity_associations")
		if err != nil {
			return err
		}
		for _, t := range known {
			if table {
				id, err := s.newID()
				if err != nil {
					return err
				}
				if _, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO entity_associations (association_id, source_type, source_id, destination_type, destination_id, created_time)
					VALUES (?, 'trace', ?, 'run', ?, ?)`, id, t.ID, run, s.millis()); err != nil {
					return err
				}
			} else if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO trace_request_metadata ("key", value, request_id) VALUES (?, ?, ?)`, linkedRunKey+run, run, t.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
