package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"

	"ctrx/tracking/wire"
)

type runAnswer struct {
	Run wire.Run `json:"run"`
}

const runColumns = `r.run_uuid, coalesce(r.experiment_id, ''), coalesce(r.name, ''), coalesce(r.user_id, ''), coalesce(r.status, ''), r.start_time, r.end_time, coalesce(r.artifact_uri, ''), coalesce(r.lifecycle_stage, '')`

func scanRun(row scanner) (wire.RunInfo, error) {
	var i wire.RunInfo
	var start, end sql.NullInt64
	err := row.Scan(&i.RunUUID, &i.ExperimentID, &i.RunName, &i.UserID, &i.Status, &start, &end, &i.ArtifactURI, &i.LifecycleStage)
	i.RunID = i.RunUUID
	i.StartTime, i.EndTime = nullable(start), nullable(end)
	return i, err
}

func nullable(n sql.NullInt64) *wire.Int {
	if !n.Valid {
		return nil
	}
	v := wire.Int(n.Int64)
	return &v
}

func findRun(ctx context.Context, tx *sql.Tx, id string) (wire.RunInfo, error) {
	info, err := scanRun(tx.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs r WHERE r.run_uuid = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return info, refuse(wire.ResourceDoesNotExist, "Run with id=%s not found", id)
	}
	return info, err
}

// activeRun is findRun for a write: a deleted run takes nothing more.
func activeRun(ctx context.Context, tx *sql.Tx, id string) (wire.RunInfo, error) {
	info, err := findRun(ctx, tx, id)
	if err == nil && info.LifecycleStage != "active" {
		err = invalid("The run %s must be in the 'active' state. Current state is %s.", id, info.LifecycleStage)
	}
	return info, err
}

func (s *Server) createRun(r *http.Request) (any, error) {
	var in struct {
		Experiment text       `json:"experiment_id"`
		User       text       `json:"user_id"`
		Name       text       `json:"run_name"`
		Start      integer    `json:"start_time"`
		Tags       []wire.Tag `json:"tags"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	for _, err := range []error{in.Experiment.required("experiment_id"), in.Name.optional("run_name"), in.Start.optional("start_time"), in.User.optional("user_id")} {
		if err != nil {
			return nil, err
		}
	}
	name, tags, err := s.runName(in.Name.value, in.Tags)
	if err != nil {
		return nil, err
	}
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	start := wire.Int(in.Start.value)
	run := wire.Run{Info: wire.RunInfo{RunUUID: id, RunID: id, RunName: name, UserID: in.User.value, Status: "RUNNING", StartTime: &start, LifecycleStage: "active"},
		Data: wire.RunData{Tags: tags}}
	ctx := r.Context()
	err = s.store.write(ctx, func(tx *sql.Tx) error {
		e, err := findExperiment(ctx, tx, in.Experiment.value)
		if err != nil {
			return err
		}
		if err := experimentActive(e); err != nil {
			return err
		}
		run.Info.ExperimentID = e.ID
		run.Info.ArtifactURI = joinURI(e.ArtifactLocation, id, "artifacts")
		_, err = tx.ExecContext(ctx, `INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
			end_time, source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time)
			VALUES (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, NULL, '', 'active', ?, ?, NULL)`,
			id, name, in.User.value, in.Start.value, run.Info.ArtifactURI, e.ID)
		if err != nil {
			return err
		}
		for _, t := range tags {
			if _, err := tx.ExecContext(ctx, `INSERT INTO tags ("key", value, run_uuid) VALUES (?, ?, ?)`, t.Key, t.Value, id); err != nil {
				return err
			}
		}
		return nil
	})
	return runAnswer{Run: run}, err
}

// runName settles the name of a new run, which also stands in a tag: given by
// either or both, or made up.
func (s *Server) runName(name string, tags []wire.Tag) (string, []wire.Tag, error) {
	tagged := ""
	if i := slices.IndexFunc(tags, func(t wire.Tag) bool { return t.Key == wire.TagRunName }); i >= 0 {
		tagged = tags[i].Value
	}
	if name != "" && tagged != "" && name != tagged {
		return "", nil, invalid("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='%s', mlflow.runName='%s').", name, tagged)
	}
	if tagged != "" {
		return tagged, tags, nil
	}
	if name == "" {
		var err error
		if name, err = randomName(s.opts.Rand); err != nil {
			return "", nil, err
		}
	}
	tags = slices.DeleteFunc(slices.Clone(tags), func(t wire.Tag) bool { return t.Key == wire.TagRunName })
	return name, append(tags, wire.Tag{Key: wire.TagRunName, Value: name}), nil
}

func (s *Server) getRun(r *http.Request) (any, error) {
	id, err := queryRun(r.URL.Query())
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer runAnswer
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		info, err := findRun(ctx, tx, id)
		if err != nil {
			return err
		}
		runs := []wire.Run{{Info: info, Outputs: &wire.RunOutput{}}}
		if err := fillRuns(ctx, tx, runs); err != nil {
			return err
		}
		answer.Run = runs[0]
		return nil
	})
	return answer, err
}

func (s *Server) updateRun(r *http.Request) (any, error) {
	var in struct {
		ids
		Status  statusField `json:"status"`
		EndTime integer     `json:"end_time"`
		Name    text        `json:"run_name"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	for _, err := range []error{err, in.EndTime.optional("end_time"), in.Name.optional("run_name")} {
		if err != nil {
			return nil, err
		}
	}
	ctx := r.Context()
	var answer struct {
		Info wire.RunInfo `json:"run_info"`
	}
	err = s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := activeRun(ctx, tx, id); err != nil {
			return err
		}
		if in.Status != "" {
			if _, err := tx.ExecContext(ctx, `UPDATE runs SET status = ? WHERE run_uuid = ?`, string(in.Status), id); err != nil {
				return err
			}
		}
		if in.EndTime.set {
			if _, err := tx.ExecContext(ctx, `UPDATE runs SET end_time = ? WHERE run_uuid = ?`, in.EndTime.value, id); err != nil {
				return err
			}
		}
		if in.Name.value != "" {
			if err := putTag(ctx, tx, id, wire.Tag{Key: wire.TagRunName, Value: in.Name.value}); err != nil {
				return err
			}
		}
		answer.Info, err = findRun(ctx, tx, id)
		return err
	})
	return answer, err
}

// statusField is a run status by name or number; one that is unknown is
// ignored, as the real server ignores it.
type statusField string

func (f *statusField) UnmarshalJSON(data []byte) error {
	s := string(data)
	if len(s) > 1 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	if name, ok := statusName(s); ok {
		*f = statusField(name)
	}
	return nil
}

func (s *Server) deleteRun(r *http.Request) (any, error)  { return s.setRunStage(r, "deleted") }
func (s *Server) restoreRun(r *http.Request) (any, error) { return s.setRunStage(r, "active") }

func (s *Server) setRunStage(r *http.Request, stage string) (any, error) {
	var in ids
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err != nil {
		return nil, err
	}
	var deleted any
	if stage == "deleted" {
		deleted = s.millis()
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRun(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?`, stage, deleted, id)
		return err
	})
}

// fillRuns reads what was logged to the runs, a few queries for all of them.
func fillRuns(ctx context.Context, tx *sql.Tx, runs []wire.Run) error {
	if len(runs) == 0 {
		return nil
	}
	index := make(map[string]*wire.Run, len(runs))
	list := make([]string, len(runs))
	for i := range runs {
		list[i] = runs[i].Info.RunID
		index[list[i]] = &runs[i]
	}
	data, err := wire.Marshal(list)
	if err != nil {
		return err
	}
	in := string(data)
	const those = ` WHERE run_uuid IN (SELECT value FROM json_each(?)) ORDER BY rowid`
	err = each(ctx, tx, `SELECT run_uuid, "key", value, coalesce(timestamp, 0), step, is_nan FROM latest_metrics`+those, in, func(row scanner) error {
		var id string
		m, err := scanMetric(row, &id)
		if err == nil {
			index[id].Data.Metrics = append(index[id].Data.Metrics, m)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, `SELECT run_uuid, "key", value FROM params`+those, in, func(row scanner) error {
		var id string
		var p wire.Param
		err := row.Scan(&id, &p.Key, &p.Value)
		if err == nil {
			index[id].Data.Params = append(index[id].Data.Params, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, `SELECT run_uuid, "key", coalesce(value, '') FROM tags`+those, in, func(row scanner) error {
		var id string
		var t wire.Tag
		err := row.Scan(&id, &t.Key, &t.Value)
		if err == nil {
			index[id].Data.Tags = append(index[id].Data.Tags, t)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := fillInputs(ctx, tx, in, index); err != nil {
		return err
	}
	return fillModels(ctx, tx, in, index)
}

// fillInputs adds the datasets of runs. in is a JSON list of run ids.
func fillInputs(ctx context.Context, tx *sql.Tx, in string, index map[string]*wire.Run) error {
	type place struct {
		run   *wire.Run
		input int
	}
	places := map[string]place{}
	err := each(ctx, tx, `SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
			coalesce(d.dataset_schema, ''), coalesce(d.dataset_profile, '')
		FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
		WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN (SELECT value FROM json_each(?))
		ORDER BY i.rowid`, in, func(row scanner) error {
		var id, input string
		var d wire.Dataset
		err := row.Scan(&id, &input, &d.Name, &d.Digest, &d.SourceType, &d.Source, &d.Schema, &d.Profile)
		if err == nil {
			run := index[id]
			places[input] = place{run, len(run.Inputs.DatasetInputs)}
			run.Inputs.DatasetInputs = append(run.Inputs.DatasetInputs, wire.DatasetInput{Dataset: d})
		}
		return err
	})
	if err != nil || len(places) == 0 {
		return err
	}
	return each(ctx, tx, `SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid
		WHERE i.destination_type = 'RUN' AND i.destination_id IN (SELECT value FROM json_each(?)) ORDER BY t.name`, in, func(row scanner) error {
		var input string
		var t wire.Tag
		err := row.Scan(&input, &t.Key, &t.Value)
		if p, ok := places[input]; ok && err == nil {
			d := &p.run.Inputs.DatasetInputs[p.input]
			d.Tags = append(d.Tags, t)
		}
		return err
	})
}

// each runs a query and calls fn for every row.
func each(ctx context.Context, tx *sql.Tx, query string, arg any, fn func(scanner) error) error {
	rows, err := tx.QueryContext(ctx, query, arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
