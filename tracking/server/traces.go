package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ctrx/tracking/wire"
)

// Traces of MLflow's tracing. The database keeps what is known about a trace;
// its spans are the artifact traces.json, as on every MLflow server whose store
// has no table of spans: the file's base revision has none. Clients are told so
// by the refusal of POST /v1/traces and upload the artifact themselves.

// Keys of a trace that MLflow gives a meaning.
const (
	traceName     = "mlflow.traceName"
	traceLocation = "mlflow.artifactLocation"
	traceInputs   = "mlflow.traceInputs"
	traceOutputs  = "mlflow.traceOutputs"
	traceSession  = "mlflow.trace.session"
	traceClientID = "ctrx.client_request_id"     // where the table has no column for it
	traceFinal    = "mlflow.trace.infoFinalized" // the client has said all that it knows
	ownMetadata   = "ctrx.own_metadata"          // the keys that stand for columns that the table does not have
	traceFile     = "traces.json"
	previewLength = 1000 // characters
)

type traceInfo = wire.TraceInfo

// wholeTrace is the answer of a call about one trace.
type wholeTrace struct {
	Trace struct {
		Info traceInfo `json:"trace_info"`
	} `json:"trace"`
}

func answerTrace(info traceInfo) wholeTrace {
	var out wholeTrace
	out.Trace.Info = info
	return out
}

// traceColumns are the columns of trace_info, and the tables, that newer
// revisions have.
type traceColumns map[string]bool

func findTraceColumns(ctx context.Context, tx *sql.Tx) (traceColumns, error) {
	found := traceColumns{}
	for _, table := range []string{"assessments", "entity_associations"} {
		there, err := hasTable(ctx, tx, table)
		if err != nil {
			return nil, err
		}
		found[table] = there
	}
	return found, each(ctx, tx, `SELECT name FROM pragma_table_info(?)`, "trace_info", func(row scanner) error {
		var name string
		err := row.Scan(&name)
		found[name] = true
		return err
	})
}

// or gives a column of trace_info t, or what stands for it on older revisions.
func (c traceColumns) or(column, instead string) string {
	if c[column] {
		return "t." + column
	}
	return instead
}

// startTrace stores what is known of a trace, which may be there already.
func (s *Server) startTrace(r *http.Request) (any, error) {
	var in wholeTrace
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	info := in.Trace.Info
	if info.ID == "" {
		return nil, missing("trace.trace_info.trace_id")
	}
	if len(info.ID) > 50 {
		return nil, tooLong("trace_id", 50)
	}
	if info.Location.Experiment.ID == "" {
		return nil, invalid("A trace needs the experiment that it belongs to: this server keeps no traces elsewhere")
	}
	id, err := parseExperimentID(info.Location.Experiment.ID)
	if err != nil {
		return nil, err
	}
	begin, err := time.Parse(time.RFC3339Nano, info.Time)
	if err != nil {
		return nil, invalid("Invalid value %s for parameter 'request_time' supplied", pythonJSON(info.Time))
	}
	var duration any
	if info.Duration != "" {
		d, err := time.ParseDuration(info.Duration)
		if err != nil {
			return nil, invalid("Invalid value %s for parameter 'execution_duration' supplied", pythonJSON(info.Duration))
		}
		duration = d.Milliseconds()
	}
	ctx := r.Context()
	var out traceInfo
	err = s.store.write(ctx, func(tx *sql.Tx) error {
		location := ""
		err := tx.QueryRowContext(ctx, `SELECT coalesce(artifact_location, '') FROM experiments WHERE experiment_id = ? AND lifecycle_stage = 'active'`, id).Scan(&location)
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(wire.ResourceDoesNotExist, "No Experiment with id=%d exists", id)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (request_id) DO UPDATE SET timestamp_ms = excluded.timestamp_ms, execution_time_ms = excluded.execution_time_ms, status = excluded.status`,
			info.ID, id, begin.UnixMilli(), duration, traceState(info.State))
		if err != nil {
			return err
		}
		if info.Tags == nil {
			info.Tags = map[string]string{}
		}
		info.Tags[traceLocation] = joinURI(location, "traces", info.ID, "artifacts")
		if err := putTraceTexts(ctx, tx, info); err != nil {
			return err
		}
		out, err = findTrace(ctx, tx, info.ID)
		return err
	})
	return answerTrace(out), err
}

// traceState reads a state; what is none is unspecified.
func traceState(s string) string {
	switch s {
	case "OK", "ERROR", "IN_PROGRESS":
		return s
	}
	return "STATE_UNSPECIFIED"
}

// putTraceTexts stores tags, metadata and the texts that have a column on newer
// revisions. Keys that are too long are cut, as by a real server: the trace is not
// refused for them.
func putTraceTexts(ctx context.Context, tx *sql.Tx, info traceInfo) error {
	columns, err := findTraceColumns(ctx, tx)
	if err != nil {
		return err
	}
	metadata := map[string]string{traceFinal: "true"}
	for k, v := range info.Metadata {
		metadata[k] = v
	}
	for _, f := range []struct{ column, value, key string }{
		{"client_request_id", wire.Cut(info.ClientID, 50), traceClientID}, {"request_preview", wire.Cut(info.Request, previewLength), traceInputs},
		{"response_preview", wire.Cut(info.Response, previewLength), traceOutputs}, {"session_id", wire.Cut(info.Metadata[traceSession], 250), traceSession},
	} {
		if f.value == "" {
			continue
		}
		if !columns[f.column] {
			if metadata[f.key] == "" {
				metadata[f.key] = f.value
				if f.key == traceInputs || f.key == traceOutputs {
					metadata[ownMetadata] += f.key + " "
				}
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE trace_info SET "+f.column+" = ? WHERE request_id = ?", f.value, info.ID); err != nil {
			return err
		}
	}
	for k, v := range metadata {
		k = wire.Cut(k, wire.MaxKey)
		if err := checkTraceKey(k); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO trace_request_metadata ("key", value, request_id) VALUES (?, ?, ?)
			ON CONFLICT ("key", request_id) DO UPDATE SET value = excluded.value`, k, wire.Cut(v, wire.MaxTagValue), info.ID); err != nil {
			return err
		}
	}
	for k, v := range info.Tags {
		if err := putTraceTag(ctx, tx, columns, info.ID, wire.Cut(k, wire.MaxKey), v); err != nil {
			return err
		}
	}
	return nil
}

func checkTraceKey(key string) error {
	if key == "" {
		return missing("key")
	}
	if utf8.RuneCountInString(key) > wire.MaxKey {
		return tooLong("key", wire.MaxKey)
	}
	return nil
}

// putTraceTag sets a tag; the name is one, and on newer revisions a column.
func putTraceTag(ctx context.Context, tx *sql.Tx, columns traceColumns, id, key, value string) error {
	if err := checkTraceKey(key); err != nil {
		return err
	}
	if key == traceName && columns["trace_name"] {
		_, err := tx.ExecContext(ctx, `UPDATE trace_info SET trace_name = ? WHERE request_id = ?`, wire.Cut(value, 4096), id)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO trace_tags ("key", value, request_id) VALUES (?, ?, ?)
		ON CONFLICT ("key", request_id) DO UPDATE SET value = excluded.value`, key, wire.Cut(value, wire.MaxTagValue), id)
	return err
}

// findTrace reads one trace.
func findTrace(ctx context.Context, tx *sql.Tx, id string) (traceInfo, error) {
	list, err := readTraces(ctx, tx, []string{id})
	if err == nil && len(list) == 0 {
		err = refuse(wire.ResourceDoesNotExist, "Trace with ID '%s' not found.", id)
	}
	if err != nil {
		return traceInfo{}, err
	}
	return list[0], nil
}

// traceIDs ends a condition on a column that has the id of a trace; the argument is
// a JSON list of ids.
const traceIDs = ` IN (SELECT value FROM json_each(?))`

// readTraces reads traces in the order of their ids; one that is not there is
// left out.
func readTraces(ctx context.Context, tx *sql.Tx, ids []string) ([]traceInfo, error) {
	data, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	in := string(data)
	columns, err := findTraceColumns(ctx, tx)
	if err != nil {
		return nil, err
	}
	found, err := readTraceRows(ctx, tx, in, columns)
	if err != nil {
		return nil, err
	}
	if err := addMetadata(ctx, tx, found, in); err != nil {
		return nil, err
	}
	if err := addAssessments(ctx, tx, found, in); err != nil {
		return nil, err
	}
	var out []traceInfo
	for _, id := range ids {
		if info := found[id]; info != nil {
			completeTrace(info, columns)
			out = append(out, *info)
		}
	}
	return out, nil
}

// readTraceRows reads what the table of traces has of those in a JSON list of ids.
func readTraceRows(ctx context.Context, tx *sql.Tx, ids string, columns traceColumns) (map[string]*traceInfo, error) {
	found := map[string]*traceInfo{}
	return found, each(ctx, tx, fmt.Sprintf(`SELECT t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, coalesce(%s, ''), coalesce(%s, ''), coalesce(%s, ''), coalesce(%s, '')
		FROM trace_info t WHERE t.request_id`, columns.or("client_request_id", "NULL"), columns.or("request_preview", "NULL"), columns.or("response_preview", "NULL"),
		columns.or("trace_name", "NULL"))+traceIDs, ids, func(row scanner) error {
		info := traceInfo{Metadata: map[string]string{}, Tags: map[string]string{}}
		var begin int64
		var duration sql.NullInt64
		var name string
		err := row.Scan(&info.ID, &info.Location.Experiment.ID, &begin, &duration, &info.State, &info.ClientID, &info.Request, &info.Response, &name)
		info.Location.Type = "MLFLOW_EXPERIMENT"
		info.Time = traceTime(begin)
		if duration.Valid {
			info.Duration = traceDuration(duration.Int64)
		}
		if name != "" {
			info.Tags[traceName] = name
		}
		found[info.ID] = &info
		return err
	})
}

// traceDuration writes milliseconds as protocol buffers do: whole seconds have no
// fraction, others three digits.
func traceDuration(millis int64) string {
	text := strconv.FormatFloat(float64(millis)/1000, 'f', 3, 64)
	return strings.TrimSuffix(text, ".000") + "s"
}

// addMetadata adds the metadata and the tags of the traces found.
func addMetadata(ctx context.Context, tx *sql.Tx, found map[string]*traceInfo, ids string) error {
	for _, kind := range []string{"trace_request_metadata", "trace_tags"} {
		err := each(ctx, tx, `SELECT request_id, "key", coalesce(value, '') FROM `+kind+` WHERE request_id`+traceIDs+` ORDER BY rowid`, ids, func(row scanner) error {
			var id, key, value string
			err := row.Scan(&id, &key, &value)
			if info := found[id]; info != nil && kind == "trace_tags" {
				info.Tags[key] = value
			} else if info != nil && err == nil {
				err = takeMetadata(info, key, value)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// completeTrace takes from the metadata what the table has no column for.
func completeTrace(i *traceInfo, columns traceColumns) {
	if !columns["request_preview"] {
		i.Request, i.Response = wire.Cut(i.Metadata[traceInputs], previewLength), wire.Cut(i.Metadata[traceOutputs], previewLength)
	}
	for key := range strings.FieldsSeq(i.Metadata[ownMetadata]) {
		delete(i.Metadata, key)
	}
	delete(i.Metadata, ownMetadata)
	if id, ok := i.Metadata[traceClientID]; ok {
		i.ClientID = id
		delete(i.Metadata, traceClientID)
	}
}

func (s *Server) getTrace(r *http.Request) (any, error) {
	var info traceInfo
	err := s.store.read(r.Context(), func(tx *sql.Tx) (err error) {
		info, err = findTrace(r.Context(), tx, r.PathValue("trace"))
		return err
	})
	return answerTrace(info), err
}

func (s *Server) setTraceTag(r *http.Request) (any, error) {
	var in keyValue
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Key.required("key"), in.Value.optional("value")); err != nil {
		return nil, err
	}
	ctx, id := r.Context(), r.PathValue("trace")
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findTrace(ctx, tx, id); err != nil {
			return err
		}
		columns, err := findTraceColumns(ctx, tx)
		if err != nil {
			return err
		}
		return putTraceTag(ctx, tx, columns, id, in.Key.value, in.Value.value)
	})
}

func (s *Server) deleteTraceTag(r *http.Request) (any, error) {
	in := keyValue{Key: text{value: r.URL.Query().Get("key"), set: r.URL.Query().Has("key")}}
	if !in.Key.set {
		if err := decode(r, &in); err != nil {
			return nil, err
		}
	}
	if err := in.Key.required("key"); err != nil {
		return nil, err
	}
	ctx, id, key := r.Context(), r.PathValue("trace"), in.Key.value
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		info, err := findTrace(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, ok := info.Tags[key]; !ok {
			return refuse(wire.ResourceDoesNotExist, "No trace tag with key '%s' for trace with ID '%s'", key, id)
		}
		columns, err := findTraceColumns(ctx, tx)
		if err != nil {
			return err
		}
		if key == traceName && columns["trace_name"] {
			if _, err := tx.ExecContext(ctx, `UPDATE trace_info SET trace_name = NULL WHERE request_id = ?`, id); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM trace_tags WHERE request_id = ? AND "key" = ?`, id, key)
		return err
	})
}

// refuseSpans answers POST /v1/traces. The text is what clients look for to
// know that they must upload the spans as an artifact.
func refuseSpans() error {
	return refuse(wire.NotImplemented, "REST OTLP span logging is not supported by this store: log traces with MLflow's client, which uploads the spans as an artifact")
}

// sendTraceArtifact answers get-trace-artifact, from which the interface reads
// the spans.
func (s *Server) sendTraceArtifact(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("request_id")
	if id == "" {
		return missing("request_id")
	}
	var info traceInfo
	err := s.store.read(r.Context(), func(tx *sql.Tx) (err error) {
		info, err = findTrace(r.Context(), tx, id)
		return err
	})
	if err != nil {
		return err
	}
	folder, err := folderOf(info.Tags[traceLocation], "")
	if err != nil {
		return err
	}
	return s.artifacts.send(w, r, path.Join(folder, traceFile))
}
