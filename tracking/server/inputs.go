package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"unicode/utf8"

	"ctrx/tracking/wire"
)

// datasetIn is a dataset input as a client sends it.
type datasetIn struct {
	Tags    []keyValue `json:"tags"`
	Dataset struct {
		Name       text `json:"name"`
		Digest     text `json:"digest"`
		SourceType text `json:"source_type"`
		Source     text `json:"source"`
		Schema     text `json:"schema"`
		Profile    text `json:"profile"`
	} `json:"dataset"`
}

func (d datasetIn) check() error {
	s := d.Dataset
	limits := []struct {
		name  string
		field text
		limit int
	}{
		{"name", s.Name, wire.MaxDatasetName}, {"digest", s.Digest, wire.MaxDatasetDigest}, {"source", s.Source, wire.MaxDatasetSource},
		{"schema", s.Schema, wire.MaxDatasetSchema}, {"profile", s.Profile, wire.MaxDatasetProfile},
	}
	for _, l := range limits {
		if err := l.field.optional(l.name); err != nil {
			return err
		}
		if utf8.RuneCountInString(l.field.value) > l.limit {
			return tooLong(l.name, l.limit)
		}
	}
	for _, t := range d.Tags {
		if utf8.RuneCountInString(t.Key.value) > wire.MaxInputTagKey {
			return tooLong("key", wire.MaxInputTagKey)
		}
		if utf8.RuneCountInString(t.Value.value) > wire.MaxInputTagValue {
			return tooLong("value", wire.MaxInputTagValue)
		}
	}
	return nil
}

func (s *Server) logInputs(r *http.Request) (any, error) {
	var in struct {
		ids
		Datasets []datasetIn `json:"datasets"`
		Models   []struct {
			ID text `json:"model_id"`
		} `json:"models"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err != nil {
		return nil, err
	}
	for _, d := range in.Datasets {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		run, err := activeRun(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, d := range in.Datasets {
			if err := s.putInput(ctx, tx, run, d); err != nil {
				return err
			}
		}
		for _, m := range in.Models {
			if err := s.link(ctx, tx, "RUN_INPUT", id, "MODEL_INPUT", m.ID.value, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// putInput ties a dataset to a run. A dataset is one row per experiment, name
// and digest; a run that has it already keeps its first tags.
func (s *Server) putInput(ctx context.Context, tx *sql.Tx, run wire.RunInfo, in datasetIn) error {
	d := in.Dataset
	var dataset string
	err := tx.QueryRowContext(ctx, `SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?`,
		run.ExperimentID, d.Name.value, d.Digest.value).Scan(&dataset)
	if errors.Is(err, sql.ErrNoRows) {
		if dataset, err = s.newID(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, dataset, run.ExperimentID, d.Name.value, d.Digest.value, d.SourceType.value, d.Source.value,
			optionalText(d.Schema), optionalText(d.Profile))
	}
	if err != nil {
		return err
	}
	input, err := s.newID()
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
		VALUES (?, 'DATASET', ?, 'RUN', ?) ON CONFLICT (source_type, source_id, destination_type, destination_id) DO NOTHING`, input, dataset, run.RunID)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	for _, t := range in.Tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)
			ON CONFLICT (input_uuid, name) DO NOTHING`, input, t.Key.value, t.Value.value); err != nil {
			return err
		}
	}
	return nil
}

func optionalText(t text) any {
	if !t.set {
		return nil
	}
	return t.value
}
