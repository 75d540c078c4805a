package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

type modelVersionAnswer struct {
	Version wire.ModelVersion `json:"model_version"`
}

const versionColumns = `name, version, coalesce(creation_time, 0), coalesce(last_updated_time, 0), user_id, coalesce(current_stage, 'None'),
	description, source, run_id, coalesce(status, 'READY'), status_message, run_link`

func scanVersion(row scanner) (wire.ModelVersion, error) {
	var v wire.ModelVersion
	err := row.Scan(&v.Name, &v.Version, &v.CreationTime, &v.LastUpdateTime, &v.UserID, &v.Stage,
		&v.Description, &v.Source, &v.RunID, &v.Status, &v.StatusMessage, &v.RunLink)
	return v, err
}

// versionKey names one version in a request.
type versionKey struct {
	Name    text `json:"name"`
	Version text `json:"version"`
}

func (k versionKey) required() error {
	return firstError(k.Name.required("name"), k.Version.required("version"))
}

// number is the version as the integer that the database keeps.
func (k versionKey) number() (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(k.Version.value), 10, 64)
	if err != nil {
		return 0, invalid("Parameter 'version' must be an integer, got '%s'.", k.Version.value)
	}
	return n, nil
}

// findVersion reads a version that is not deleted, without tags and aliases.
func findVersion(ctx context.Context, tx *sql.Tx, k versionKey) (wire.ModelVersion, error) {
	if err := checkModelName("name", k.Name.value); err != nil {
		return wire.ModelVersion{}, err
	}
	n, err := k.number()
	if err != nil {
		return wire.ModelVersion{}, err
	}
	v, err := scanVersion(tx.QueryRowContext(ctx, `SELECT `+versionColumns+` FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?`,
		k.Name.value, n, wire.StageDeleted))
	if errors.Is(err, sql.ErrNoRows) {
		return v, refuse(wire.ResourceDoesNotExist, "Model Version (name=%s, version=%d) not found", k.Name.value, n)
	}
	return v, err
}

// wholeVersion is findVersion with tags and aliases.
func wholeVersion(ctx context.Context, tx *sql.Tx, k versionKey) (wire.ModelVersion, error) {
	v, err := findVersion(ctx, tx, k)
	if err != nil {
		return v, err
	}
	list := []wire.ModelVersion{v}
	if err := fillVersionTags(ctx, tx, list); err != nil {
		return v, err
	}
	return list[0], fillVersionAliases(ctx, tx, list[:1])
}

func fillVersionTags(ctx context.Context, tx *sql.Tx, list []wire.ModelVersion) error {
	for i := range list {
		v := &list[i]
		rows, err := tx.QueryContext(ctx, `SELECT "key", coalesce(value, '') FROM model_version_tags WHERE name = ? AND version = ? ORDER BY rowid`, v.Name, v.Version)
		if err != nil {
			return err
		}
		for rows.Next() {
			var t wire.Tag
			if err := rows.Scan(&t.Key, &t.Value); err != nil {
				return errors.Join(err, rows.Close())
			}
			v.Tags = append(v.Tags, t)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func fillVersionAliases(ctx context.Context, tx *sql.Tx, list []wire.ModelVersion) error {
	for i := range list {
		aliases, err := modelAliases(ctx, tx, list[i].Name)
		if err != nil {
			return err
		}
		for _, a := range aliases {
			if a.Version == list[i].Version {
				list[i].Aliases = append(list[i].Aliases, a.Alias)
			}
		}
	}
	return nil
}

// versionIn is a version as a client creates it.
type versionIn struct {
	Name        text       `json:"name"`
	Source      text       `json:"source"`
	RunID       text       `json:"run_id"`
	Tags        []keyValue `json:"tags"`
	RunLink     text       `json:"run_link"`
	Description text       `json:"description"`
	ModelID     text       `json:"model_id"`
}

func (s *Server) createModelVersion(r *http.Request) (any, error) {
	var in versionIn
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Name.required("name"), in.Source.required("source"), in.RunID.optional("run_id"), in.RunLink.optional("run_link"),
		in.Description.optional("description"), in.ModelID.optional("model_id")); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer modelVersionAnswer
	return &answer, s.store.write(ctx, func(tx *sql.Tx) error {
		source, err := s.versionSource(ctx, tx, &in)
		if err != nil {
			return err
		}
		if err := checkModelName("name", in.Name.value); err != nil {
			return err
		}
		tags, err := modelTags(in.Tags)
		if err != nil {
			return err
		}
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		answer.Version, err = s.putVersion(ctx, tx, in, source, tags)
		if err == nil && in.ModelID.value != "" {
			err = s.noteRegistration(ctx, tx, in.ModelID.value, answer.Version)
		}
		return err
	})
}

// putVersion adds the next version of a model. Deleted versions keep their
// numbers.
func (s *Server) putVersion(ctx context.Context, tx *sql.Tx, in versionIn, source modelSource, tags []wire.Tag) (wire.ModelVersion, error) {
	name, now := in.Name.value, s.millis()
	var version int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE name = ?`, name).Scan(&version); err != nil {
		return wire.ModelVersion{}, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, name); err != nil {
		return wire.ModelVersion{}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, current_stage,
			source, run_id, status, status_message, run_link, storage_location) VALUES (?, ?, ?, ?, ?, NULL, 'None', ?, ?, 'READY', NULL, ?, ?)`,
		name, version, now, now, in.Description.value, source.uri, source.run, in.RunLink.value, source.location); err != nil {
		return wire.ModelVersion{}, err
	}
	for _, t := range tags {
		if err := putVersionTag(ctx, tx, name, version, t); err != nil {
			return wire.ModelVersion{}, err
		}
	}
	return wholeVersion(ctx, tx, versionKey{Name: in.Name, Version: text{value: strconv.FormatInt(version, 10)}})
}

func putVersionTag(ctx context.Context, tx *sql.Tx, name string, version int64, t wire.Tag) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO model_version_tags ("key", value, name, version) VALUES (?, ?, ?, ?)`, t.Key, t.Value, name, version)
	return err
}

func (s *Server) getModelVersion(r *http.Request) (any, error) {
	var in versionKey
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	if err := in.required(); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer modelVersionAnswer
	return &answer, s.store.read(ctx, func(tx *sql.Tx) (err error) {
		answer.Version, err = wholeVersion(ctx, tx, in)
		return err
	})
}

func (s *Server) downloadURI(r *http.Request) (any, error) {
	var in versionKey
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer struct {
		URI string `json:"artifact_uri"`
	}
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		v, err := findVersion(ctx, tx, in)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT coalesce(nullif(storage_location, ''), source, '') FROM model_versions WHERE name = ? AND version = ?`,
			v.Name, v.Version).Scan(&answer.URI)
	})
}

// changeVersion runs change on a version that must exist and answers the
// version after it.
func (s *Server) changeVersion(r *http.Request, k versionKey, change func(context.Context, *sql.Tx, wire.ModelVersion) error) (*modelVersionAnswer, error) {
	ctx := r.Context()
	var answer modelVersionAnswer
	return &answer, s.store.write(ctx, func(tx *sql.Tx) error {
		v, err := findVersion(ctx, tx, k)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, v); err != nil {
			return err
		}
		answer.Version, err = wholeVersion(ctx, tx, k)
		return err
	})
}

func (s *Server) updateModelVersion(r *http.Request) (any, error) {
	var in struct {
		versionKey
		Description text `json:"description"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.Description.optional("description")); err != nil {
		return nil, err
	}
	return s.changeVersion(r, in.versionKey, func(ctx context.Context, tx *sql.Tx, v wire.ModelVersion) error {
		_, err := tx.ExecContext(ctx, `UPDATE model_versions SET description = ?, last_updated_time = ? WHERE name = ? AND version = ?`,
			optionalText(in.Description), s.millis(), v.Name, v.Version)
		return err
	})
}

func (s *Server) transitionStage(r *http.Request) (any, error) {
	var in struct {
		versionKey
		Stage   text    `json:"stage"`
		Archive boolean `json:"archive_existing_versions"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.Stage.required("stage")); err != nil {
		return nil, err
	}
	stage, err := canonicalStage(in.Stage.value)
	if err != nil {
		return nil, err
	}
	active := []string{wire.StageStaging, wire.StageProduction}
	if bool(in.Archive) && !slices.Contains(active, stage) {
		return nil, refuse(wire.InternalError, "Model version transition cannot archive existing model versions because '%s' is not an Active stage. Valid stages are ['Staging', 'Production']", in.Stage.value)
	}
	return s.changeVersion(r, in.versionKey, func(ctx context.Context, tx *sql.Tx, v wire.ModelVersion) error {
		now := s.millis()
		if in.Archive {
			if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ?, last_updated_time = ? WHERE name = ? AND version != ? AND current_stage = ?`,
				wire.StageArchived, now, v.Name, v.Version, stage); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ?, last_updated_time = ? WHERE name = ? AND version = ?`, stage, now, v.Name, v.Version); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, v.Name)
		return err
	})
}

// deleteModelVersion keeps the row, without what it held, so that its number
// is not given again.
func (s *Server) deleteModelVersion(r *http.Request) (any, error) {
	var in versionKey
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := in.required(); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		v, err := findVersion(ctx, tx, in)
		if err != nil {
			return err
		}
		now := s.millis()
		if _, err := tx.ExecContext(ctx, `UPDATE registered_models SET last_updated_time = ? WHERE name = ?`, now, v.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM registered_model_aliases WHERE name = ? AND version = ?`, v.Name, v.Version); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE model_versions SET current_stage = ?, last_updated_time = ?, description = NULL, user_id = NULL,
			source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', status_message = NULL
			WHERE name = ? AND version = ?`, wire.StageDeleted, now, v.Name, v.Version)
		return err
	})
}
