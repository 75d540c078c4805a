package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"ctrx/tracking/wire"
)

// logOutputs ties logged models to the run that made them.
func (s *Server) logOutputs(r *http.Request) (any, error) {
	var in struct {
		ids
		Models []struct {
			ID   text    `json:"model_id"`
			Step integer `json:"step"`
		} `json:"models"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err != nil {
		return nil, err
	}
	if in.Models == nil {
		return nil, missing("models")
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := activeRun(ctx, tx, id); err != nil {
			return err
		}
		for _, m := range in.Models {
			if err := s.link(ctx, tx, "RUN_OUTPUT", id, "MODEL_OUTPUT", m.ID.value, m.Step.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// link adds a row that ties a run to a logged model; the same tie twice is one.
func (s *Server) link(ctx context.Context, tx *sql.Tx, sourceType, source, targetType, target string, step int64) error {
	id, err := s.newID()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, id, sourceType, source, targetType, target, step)
	return err
}

// fillModels adds the logged models that runs used and made. in is a JSON list
// of run ids.
func fillModels(ctx context.Context, tx *sql.Tx, in string, index map[string]*wire.Run) error {
	return each(ctx, tx, `SELECT source_type, source_id, destination_id, step FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT')
		AND source_id IN (SELECT value FROM json_each(?)) ORDER BY rowid`, in, func(row scanner) error {
		var kind, id string
		var out wire.ModelOutput
		if err := row.Scan(&kind, &id, &out.ModelID, &out.Step); err != nil {
			return err
		}
		run := index[id]
		if kind == "RUN_INPUT" {
			run.Inputs.ModelInputs = append(run.Inputs.ModelInputs, wire.ModelInput{ModelID: out.ModelID})
			return nil
		}
		if run.Outputs == nil {
			run.Outputs = &wire.RunOutput{}
		}
		run.Outputs.ModelOutputs = append(run.Outputs.ModelOutputs, out)
		return nil
	})
}

// tagLoggedModels lists what old clients logged by runs/log-model, as JSON.
const tagLoggedModels = "mlflow.log-model.history"

// logModel is the call of clients before MLflow 3: the model is noted in a tag
// of the run.
func (s *Server) logModel(r *http.Request) (any, error) {
	var in struct {
		ids
		Model text `json:"model_json"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err := firstError(err, in.Model.required("model_json")); err != nil {
		return nil, err
	}
	var model map[string]json.RawMessage
	if json.Unmarshal([]byte(in.Model.value), &model) != nil {
		return nil, invalid("Malformed model info. \n %s \n is not a valid JSON.", in.Model.value)
	}
	var lost []string
	for _, field := range []string{"artifact_path", "flavors", "run_id", "utc_time_created"} {
		if model[field] == nil {
			lost = append(lost, "'"+field+"'")
		}
	}
	if len(lost) > 0 {
		return nil, invalid("Model json is missing mandatory fields: {%s}", strings.Join(lost, ", "))
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := activeRun(ctx, tx, id); err != nil {
			return err
		}
		var old string
		err := tx.QueryRowContext(ctx, `SELECT coalesce(value, '') FROM tags WHERE run_uuid = ? AND "key" = ?`, id, tagLoggedModels).Scan(&old)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var history []json.RawMessage
		if old != "" {
			if err := json.Unmarshal([]byte(old), &history); err != nil {
				return invalid("The tag %s of run %s is not a JSON list", tagLoggedModels, id)
			}
		}
		value, err := wire.Marshal(append(history, json.RawMessage(in.Model.value)))
		if err != nil {
			return err
		}
		return putTag(ctx, tx, id, wire.Tag{Key: tagLoggedModels, Value: string(value)})
	})
}

// maxDatasetExperiments bounds a search over datasets, maxDatasets its answer.
const (
	maxDatasetExperiments = 20
	maxDatasets           = 1000
)

type datasetSummary struct {
	Experiment string  `json:"experiment_id"`
	Name       string  `json:"name"`
	Digest     string  `json:"digest"`
	Context    *string `json:"context,omitempty"`
}

// searchDatasets lists which datasets the runs of experiments used.
func (s *Server) searchDatasets(r *http.Request) (any, error) {
	var in struct {
		Experiments texts `json:"experiment_ids"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	ids := in.Experiments.values
	if len(ids) == 0 {
		return nil, invalid("SearchDatasets request must specify at least one experiment_id.")
	}
	if len(ids) > maxDatasetExperiments {
		return nil, invalid("SearchDatasets request cannot specify more than %d experiment_ids. Received %d experiment_ids.", maxDatasetExperiments, len(ids))
	}
	var numbers []int64
	for _, id := range ids {
		n, err := parseExperimentID(id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	list, err := wire.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer struct {
		Datasets []datasetSummary `json:"dataset_summaries,omitempty"`
	}
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT DISTINCT d.experiment_id, d.name, d.digest, t.value FROM datasets d JOIN inputs i ON i.source_id = d.dataset_uuid
			LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = ? WHERE d.experiment_id IN (SELECT value FROM json_each(?)) LIMIT ?`,
			wire.TagDataContext, string(list), maxDatasets)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d datasetSummary
			if err := rows.Scan(&d.Experiment, &d.Name, &d.Digest, &d.Context); err != nil {
				return err
			}
			answer.Datasets = append(answer.Datasets, d)
		}
		return rows.Err()
	})
}

func (s *Server) deleteExperimentTag(r *http.Request) (any, error) {
	var in struct {
		ID  text `json:"experiment_id"`
		Key text `json:"key"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.ID.required("experiment_id"), in.Key.required("key")); err != nil {
		return nil, err
	}
	return s.changeExperiment(r, in.ID.value, func(ctx context.Context, tx *sql.Tx, e wire.Experiment) error {
		if err := experimentActive(e); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM experiment_tags WHERE experiment_id = ? AND "key" = ?`, e.ID, in.Key.value)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return refuse(wire.ResourceDoesNotExist, "No tag with name: %s in experiment with id %s", in.Key.value, e.ID)
	})
}
