package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// Logged models: models that belong to an experiment, whether or not the
// registry knows them. The search over them is in models_search.go.

type loggedModelAnswer struct {
	Model wire.LoggedModel `json:"model"`
}

// tagModelVersions lists the registrations of a logged model, as JSON.
const tagModelVersions = "mlflow.modelVersions"

// modelStatus maps the numbers that the database keeps to the names of the
// API.
func modelStatus(n int64) string {
	switch n {
	case 1:
		return "LOGGED_MODEL_PENDING"
	case 2:
		return "LOGGED_MODEL_READY"
	case 3:
		return "LOGGED_MODEL_UPLOAD_FAILED"
	}
	return "LOGGED_MODEL_STATUS_UNSPECIFIED"
}

const loggedModelColumns = `m.model_id, m.experiment_id, m.name, m.creation_timestamp_ms, m.last_updated_timestamp_ms, m.artifact_location,
	m.status, m.model_type, m.source_run_id, m.status_message`

func scanLoggedModel(row scanner) (wire.LoggedModel, error) {
	var i wire.LoggedModelInfo
	var status int64
	err := row.Scan(&i.ID, &i.ExperimentID, &i.Name, &i.CreationTime, &i.LastUpdateTime, &i.ArtifactURI, &status, &i.ModelType, &i.SourceRunID, &i.StatusMessage)
	i.Status = modelStatus(status)
	return wire.LoggedModel{Info: i}, err
}

// findLoggedModel reads a logged model without tags, params and metrics.
func findLoggedModel(ctx context.Context, tx *sql.Tx, id string, deleted bool) (wire.LoggedModel, error) {
	m, err := scanLoggedModel(tx.QueryRowContext(ctx, `SELECT `+loggedModelColumns+` FROM logged_models m WHERE m.model_id = ? AND (? OR m.lifecycle_stage != 'deleted')`, id, deleted))
	if errors.Is(err, sql.ErrNoRows) {
		return m, refuse(wire.ResourceDoesNotExist, "Logged model with ID '%s' not found.", id)
	}
	return m, err
}

// fillLoggedModels reads what belongs to the models, one query per kind.
func fillLoggedModels(ctx context.Context, tx *sql.Tx, models []wire.LoggedModel) error {
	if len(models) == 0 {
		return nil
	}
	index := make(map[string]*wire.LoggedModel, len(models))
	ids := make([]string, len(models))
	for i := range models {
		ids[i] = models[i].Info.ID
		index[ids[i]] = &models[i]
	}
	data, err := wire.Marshal(ids)
	if err != nil {
		return err
	}
	in := string(data)
	const those = ` WHERE model_id IN (SELECT value FROM json_each(?)) ORDER BY rowid`
	err = each(ctx, tx, `SELECT model_id, tag_key, tag_value FROM logged_model_tags`+those, in, func(row scanner) error {
		var id string
		var t wire.Tag
		err := row.Scan(&id, &t.Key, &t.Value)
		if m := index[id]; err == nil && m != nil {
			m.Info.Tags = append(m.Info.Tags, t)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, `SELECT model_id, param_key, param_value FROM logged_model_params`+those, in, func(row scanner) error {
		var id string
		var p wire.Param
		err := row.Scan(&id, &p.Key, &p.Value)
		if m := index[id]; err == nil && m != nil {
			m.Data.Params = append(m.Data.Params, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, tx, `SELECT model_id, metric_name, metric_value, metric_timestamp_ms, metric_step, run_id, dataset_name, dataset_digest
		FROM logged_model_metrics`+those, in, func(row scanner) error {
		var p wire.LoggedModelMetric
		err := row.Scan(&p.ModelID, &p.Key, &p.Value, &p.Timestamp, &p.Step, &p.RunID, &p.DatasetName, &p.DatasetDigest)
		if m := index[p.ModelID]; err == nil && m != nil {
			m.Data.Metrics = append(m.Data.Metrics, p)
		}
		return err
	})
}

func wholeLoggedModel(ctx context.Context, tx *sql.Tx, id string, deleted bool) (wire.LoggedModel, error) {
	m, err := findLoggedModel(ctx, tx, id, deleted)
	if err != nil {
		return m, err
	}
	list := []wire.LoggedModel{m}
	err = fillLoggedModels(ctx, tx, list)
	return list[0], err
}

func (s *Server) createLoggedModel(r *http.Request) (any, error) {
	var in struct {
		Experiment text       `json:"experiment_id"`
		Name       text       `json:"name"`
		Type       text       `json:"model_type"`
		Run        text       `json:"source_run_id"`
		Params     []keyValue `json:"params"`
		Tags       []keyValue `json:"tags"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Experiment.required("experiment_id"), in.Name.optional("name"), in.Type.optional("model_type"), in.Run.optional("source_run_id")); err != nil {
		return nil, err
	}
	name := in.Name.value
	if strings.ContainsAny(name, `/:.%"'`) {
		return nil, invalid("Invalid model name (%s) provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%%', '\"', \"'\")", pythonRepr(name))
	}
	if name == "" {
		var err error
		if name, err = randomName(s.opts.Rand); err != nil {
			return nil, err
		}
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	id = "m-" + id
	ctx, now := r.Context(), s.millis()
	var answer loggedModelAnswer
	return &answer, s.store.write(ctx, func(tx *sql.Tx) error {
		e, err := findExperiment(ctx, tx, in.Experiment.value)
		if err != nil {
			return err
		}
		if err := experimentActive(e); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
				last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id, status_message) VALUES (?, ?, ?, ?, ?, ?, 1, 'active', ?, ?, NULL)`,
			id, e.ID, name, joinURI(e.ArtifactLocation, "models", id, "artifacts"), now, now, in.Type.value, in.Run.value); err != nil {
			return err
		}
		if err := putModelParams(ctx, tx, id, e.ID, in.Params); err != nil {
			return err
		}
		if err := putModelTags(ctx, tx, id, e.ID, in.Tags); err != nil {
			return err
		}
		answer.Model, err = wholeLoggedModel(ctx, tx, id, false)
		return err
	})
}

// pythonRepr quotes a text as Python's repr does for text without control
// characters.
func pythonRepr(s string) string {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `\'`) + "'"
}

func putModelParams(ctx context.Context, tx *sql.Tx, id, experiment string, params []keyValue) error {
	for _, p := range params {
		if _, err := tx.ExecContext(ctx, `INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value) VALUES (?, ?, ?, ?)`,
			id, experiment, p.Key.value, p.Value.value); err != nil {
			return err
		}
	}
	return nil
}

func putModelTags(ctx context.Context, tx *sql.Tx, id, experiment string, tags []keyValue) error {
	for _, t := range tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES (?, ?, ?, ?)
			ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value`, id, experiment, t.Key.value, t.Value.value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) getLoggedModel(r *http.Request) (any, error) {
	deleted := strings.EqualFold(r.URL.Query().Get("allow_deleted"), "true")
	ctx := r.Context()
	var answer loggedModelAnswer
	return &answer, s.store.read(ctx, func(tx *sql.Tx) (err error) {
		answer.Model, err = wholeLoggedModel(ctx, tx, r.PathValue("model"), deleted)
		return err
	})
}

// changeLoggedModel runs change on a model that may be deleted, as the real
// server does.
func (s *Server) changeLoggedModel(r *http.Request, change func(context.Context, *sql.Tx, wire.LoggedModelInfo) error) error {
	ctx := r.Context()
	return s.store.write(ctx, func(tx *sql.Tx) error {
		m, err := findLoggedModel(ctx, tx, r.PathValue("model"), true)
		if err != nil {
			return err
		}
		return change(ctx, tx, m.Info)
	})
}

func (s *Server) finalizeLoggedModel(r *http.Request) (any, error) {
	var in struct {
		Status text `json:"status"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if !in.Status.set {
		return nil, missing("status")
	}
	var status int64
	spelled := in.Status.value + in.Status.raw
	for n := int64(1); n <= 3; n++ {
		if spelled == modelStatus(n) || spelled == strconv.FormatInt(n, 10) {
			status = n
		}
	}
	if status == 0 {
		return nil, invalid("Invalid value %s for parameter 'status' supplied: Unknown model status.%s", pythonJSON(spelled), seeDocs)
	}
	var answer loggedModelAnswer
	return &answer, s.changeLoggedModel(r, func(ctx context.Context, tx *sql.Tx, m wire.LoggedModelInfo) error {
		if _, err := tx.ExecContext(ctx, `UPDATE logged_models SET status = ?, last_updated_timestamp_ms = ? WHERE model_id = ?`, status, s.millis(), m.ID); err != nil {
			return err
		}
		var err error
		answer.Model, err = wholeLoggedModel(ctx, tx, m.ID, true)
		return err
	})
}

func (s *Server) deleteLoggedModel(r *http.Request) (any, error) {
	return empty{}, s.changeLoggedModel(r, func(ctx context.Context, tx *sql.Tx, m wire.LoggedModelInfo) error {
		_, err := tx.ExecContext(ctx, `UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = ? WHERE model_id = ?`, s.millis(), m.ID)
		return err
	})
}

func (s *Server) logModelParams(r *http.Request) (any, error) {
	var in struct {
		Params []keyValue `json:"params"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return empty{}, s.changeLoggedModel(r, func(ctx context.Context, tx *sql.Tx, m wire.LoggedModelInfo) error {
		return putModelParams(ctx, tx, m.ID, m.ExperimentID, in.Params)
	})
}

func (s *Server) setModelTags(r *http.Request) (any, error) {
	var in struct {
		Tags []keyValue `json:"tags"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return empty{}, s.changeLoggedModel(r, func(ctx context.Context, tx *sql.Tx, m wire.LoggedModelInfo) error {
		return putModelTags(ctx, tx, m.ID, m.ExperimentID, in.Tags)
	})
}

func (s *Server) deleteLoggedModelTag(r *http.Request) (any, error) {
	key := r.PathValue("key")
	return empty{}, s.changeLoggedModel(r, func(ctx context.Context, tx *sql.Tx, m wire.LoggedModelInfo) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM logged_model_tags WHERE model_id = ? AND tag_key = ?`, m.ID, key)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return refuse(wire.ResourceDoesNotExist, "No tag with key %s found for model with ID %s.", pythonRepr(key), pythonRepr(m.ID))
	})
}

func (s *Server) listModelArtifacts(r *http.Request) (any, error) {
	ctx := r.Context()
	var root string
	err := s.store.read(ctx, func(tx *sql.Tx) error {
		m, err := findLoggedModel(ctx, tx, r.PathValue("model"), false)
		root = m.Info.ArtifactURI
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.listBelow(ctx, root, r.URL.Query().Get("artifact_directory_path"))
}

// noteRegistration keeps on a logged model which version of the registry it
// became.
func (s *Server) noteRegistration(ctx context.Context, tx *sql.Tx, model string, v wire.ModelVersion) error {
	m, err := wholeLoggedModel(ctx, tx, model, false)
	if err != nil {
		return err
	}
	list := ""
	for _, t := range m.Info.Tags {
		if t.Key == tagModelVersions && json.Valid([]byte(t.Value)) {
			list = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(t.Value), "["), "]")
		}
	}
	version, err := strconv.ParseInt(v.Version, 10, 64)
	if err != nil {
		return err
	}
	one := fmt.Sprintf(`{"name": %s, "version": %d}`, pythonJSON(v.Name), version)
	if list != "" && !strings.Contains(list, one) {
		one = list + ", " + one
	}
	tag := keyValue{Key: text{value: tagModelVersions}, Value: text{value: "[" + one + "]"}}
	return putModelTags(ctx, tx, model, m.Info.ExperimentID, []keyValue{tag})
}
