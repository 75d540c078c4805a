package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"ctrx/tracking/wire"
)

// The model registry: registered models here, their versions in
// registry_versions.go, tags and aliases in registry_tags.go, searches in
// registry_search.go.
//
// A migrated file has a column `workspace` in the keys of these tables. No
// statement names a conflict target, so the same statements hold before and
// after.

type registeredModelAnswer struct {
	Model wire.RegisteredModel `json:"registered_model"`
}

// tagPrompt marks a registered model that is a prompt: those are kept out of
// searches that do not ask for them.
const tagPrompt = "mlflow.prompt.is_prompt"

const (
	maxModelTagKey   = 250
	maxModelTagValue = 100000
	maxAlias         = 255
)

// checkModelName refuses names that cannot stand in a models:/ URI.
func checkModelName(param, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("Missing value for required parameter '%s'.", param)
	case strings.ContainsAny(name, "/:"):
		return invalid("Invalid model name '%s'. Names cannot contain '/' or ':'.", name)
	case normPath(name) != name || name == "." || strings.HasPrefix(name, ".."):
		return invalid("Invalid value %s for parameter 'name' supplied: %s", pythonJSON(name), badPath(name))
	}
	return nil
}

func badPath(name string) string {
	return "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '" + normPath(name) + "'"
}

// checkModelTag checks a tag of the registry: the key like that of a run's
// tag, with a longer value.
func checkModelTag(t wire.Tag) error {
	if err := checkKey("key", "key", t.Key); err != nil {
		return err
	}
	if utf8.RuneCountInString(t.Value) > maxModelTagValue {
		return tooLong("value", maxModelTagValue)
	}
	return nil
}

// modelTags reads the tags of a create call; the last value of a key counts.
func modelTags(in []keyValue) ([]wire.Tag, error) {
	var out []wire.Tag
	at := map[string]int{}
	for _, kv := range in {
		t := wire.Tag{Key: kv.Key.value, Value: kv.Value.value}
		if err := checkModelTag(t); err != nil {
			return nil, err
		}
		if i, ok := at[t.Key]; ok {
			out[i] = t
			continue
		}
		at[t.Key] = len(out)
		out = append(out, t)
	}
	return out, nil
}

const registeredColumns = `name, coalesce(creation_time, 0), coalesce(last_updated_time, 0), description`

func scanRegistered(row scanner) (wire.RegisteredModel, error) {
	var m wire.RegisteredModel
	err := row.Scan(&m.Name, &m.CreationTime, &m.LastUpdateTime, &m.Description)
	return m, err
}

// findRegistered reads a registered model without what belongs to it.
func findRegistered(ctx context.Context, tx *sql.Tx, name string) (wire.RegisteredModel, error) {
	if err := checkModelName("name", name); err != nil {
		return wire.RegisteredModel{}, err
	}
	m, err := scanRegistered(tx.QueryRowContext(ctx, `SELECT `+registeredColumns+` FROM registered_models WHERE name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return m, refuse(wire.ResourceDoesNotExist, "Registered Model with name=%s not found", name)
	}
	return m, err
}

// fillRegistered adds tags, aliases and the latest version of each stage.
func fillRegistered(ctx context.Context, tx *sql.Tx, m *wire.RegisteredModel) error {
	err := each(ctx, tx, `SELECT "key", coalesce(value, '') FROM registered_model_tags WHERE name = ? ORDER BY rowid`, m.Name, func(row scanner) error {
		var t wire.Tag
		err := row.Scan(&t.Key, &t.Value)
		m.Tags = append(m.Tags, t)
		return err
	})
	if err != nil {
		return err
	}
	if m.Aliases, err = modelAliases(ctx, tx, m.Name); err != nil {
		return err
	}
	m.LatestVersions, err = latestVersions(ctx, tx, m.Name)
	return err
}

func modelAliases(ctx context.Context, tx *sql.Tx, name string) ([]wire.ModelAlias, error) {
	var out []wire.ModelAlias
	err := each(ctx, tx, `SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias`, name, func(row scanner) error {
		var a wire.ModelAlias
		err := row.Scan(&a.Alias, &a.Version)
		out = append(out, a)
		return err
	})
	return out, err
}

// latestVersions gives the newest version of every stage, without aliases.
func latestVersions(ctx context.Context, tx *sql.Tx, name string) ([]wire.ModelVersion, error) {
	var out []wire.ModelVersion
	err := each(ctx, tx, `SELECT `+versionColumns+` FROM model_versions WHERE (name, version) IN (
			SELECT name, max(version) FROM model_versions WHERE name = ? AND current_stage != '`+wire.StageDeleted+`' GROUP BY current_stage)
		ORDER BY version`, name, func(row scanner) error {
		v, err := scanVersion(row)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, fillVersionTags(ctx, tx, out)
}

func (s *Server) createRegisteredModel(r *http.Request) (any, error) {
	var in struct {
		Name        text       `json:"name"`
		Tags        []keyValue `json:"tags"`
		Description text       `json:"description"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	name := in.Name.value
	if err := firstError(in.Name.required("name"), in.Description.optional("description"), checkModelName("name", name)); err != nil {
		return nil, err
	}
	tags, err := modelTags(in.Tags)
	if err != nil {
		return nil, err
	}
	now := s.millis()
	answer := registeredModelAnswer{wire.RegisteredModel{Name: name, CreationTime: wire.Int(now), LastUpdateTime: wire.Int(now),
		Description: nonEmpty(in.Description), Tags: tags}}
	ctx := r.Context()
	return answer, s.store.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)`,
			name, now, now, nonEmpty(in.Description))
		if isUnique(err) {
			return modelExists(ctx, tx, name, tags)
		}
		if err != nil {
			return err
		}
		for _, t := range tags {
			if err := putModelTag(ctx, tx, name, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// modelExists tells what the name is taken by: models and prompts share names.
func modelExists(ctx context.Context, tx *sql.Tx, name string, tags []wire.Tag) error {
	m := wire.RegisteredModel{Name: name}
	if err := fillRegistered(ctx, tx, &m); err != nil {
		return err
	}
	old, new := isPrompt(m.Tags), isPrompt(tags)
	kind := map[bool]string{false: "registered model", true: "prompt"}
	switch {
	case old != new:
		return refuse(wire.ResourceAlreadyExists, "Tried to create a %s with name '%s', but the name is already taken by a %s. MLflow does not allow creating a model and a prompt with the same name.", kind[new], name, kind[old])
	case old:
		return refuse(wire.ResourceAlreadyExists, "Prompt (name=%s) already exists.", name)
	}
	return refuse(wire.ResourceAlreadyExists, "Registered Model (name=%s) already exists.", name)
}

func isPrompt(tags []wire.Tag) bool {
	for _, t := range tags {
		if t.Key == tagPrompt {
			return strings.EqualFold(t.Value, "true")
		}
	}
	return false
}

func putModelTag(ctx context.Context, tx *sql.Tx, name string, t wire.Tag) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO registered_model_tags ("key", value, name) VALUES (?, ?, ?)`, t.Key, t.Value, name)
	return err
}

func (s *Server) getRegisteredModel(r *http.Request) (any, error) {
	var in struct {
		Name text `json:"name"`
	}
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	if err := in.Name.required("name"); err != nil {
		return nil, err
	}
	var answer registeredModelAnswer
	ctx := r.Context()
	return &answer, s.store.read(ctx, func(tx *sql.Tx) (err error) {
		answer.Model, err = wholeRegistered(ctx, tx, in.Name.value)
		return err
	})
}

func wholeRegistered(ctx context.Context, tx *sql.Tx, name string) (wire.RegisteredModel, error) {
	m, err := findRegistered(ctx, tx, name)
	if err != nil {
		return m, err
	}
	return m, fillRegistered(ctx, tx, &m)
}

func (s *Server) updateRegisteredModel(r *http.Request) (any, error) {
	var in struct {
		Name        text `json:"name"`
		Description text `json:"description"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Name.required("name"), in.Description.optional("description")); err != nil {
		return nil, err
	}
	return s.changeRegistered(r.Context(), in.Name.value, in.Name.value, `UPDATE registered_models SET description = ?, last_updated_time = ? WHERE name = ?`,
		nonEmpty(in.Description), s.millis(), in.Name.value)
}

func (s *Server) renameRegisteredModel(r *http.Request) (any, error) {
	var in struct {
		Name    text `json:"name"`
		NewName text `json:"new_name"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Name.required("name"), in.NewName.required("new_name"), checkModelName("new_name", in.NewName.value)); err != nil {
		return nil, err
	}
	ctx, now := r.Context(), s.millis()
	var answer registeredModelAnswer
	return &answer, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		// The foreign keys carry the new name to versions, tags and aliases.
		_, err := tx.ExecContext(ctx, `UPDATE registered_models SET name = ?, last_updated_time = ? WHERE name = ?`, in.NewName.value, now, in.Name.value)
		if isUnique(err) {
			return refuse(wire.ResourceAlreadyExists, "Registered Model (name=%s) already exists. Error: %v", in.NewName.value, err)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE model_versions SET last_updated_time = ? WHERE name = ?`, now, in.NewName.value); err != nil {
			return err
		}
		answer.Model, err = wholeRegistered(ctx, tx, in.NewName.value)
		return err
	})
}

// changeRegistered runs one statement on a model that must exist and answers
// the model of the name after it.
func (s *Server) changeRegistered(ctx context.Context, name, after, statement string, args ...any) (any, error) {
	var answer registeredModelAnswer
	return &answer, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
		var err error
		answer.Model, err = wholeRegistered(ctx, tx, after)
		return err
	})
}

func (s *Server) deleteRegisteredModel(r *http.Request) (any, error) {
	var in struct {
		Name text `json:"name"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := in.Name.required("name"); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		for _, table := range []string{"model_version_tags", "model_versions", "registered_model_aliases", "registered_model_tags", "registered_models"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE name = ?`, in.Name.value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) latestModelVersions(r *http.Request) (any, error) {
	var in struct {
		Name   text  `json:"name"`
		Stages texts `json:"stages"`
	}
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Name.required("name"), in.Stages.optional("stages")); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer struct {
		Versions []wire.ModelVersion `json:"model_versions,omitempty"`
	}
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, stage := range in.Stages.values {
			name, err := canonicalStage(stage)
			if err != nil {
				return err
			}
			wanted[name] = true
		}
		latest, err := latestVersions(ctx, tx, in.Name.value)
		if err != nil {
			return err
		}
		for _, v := range latest {
			if len(wanted) == 0 || wanted[v.Stage] {
				answer.Versions = append(answer.Versions, v)
			}
		}
		return fillVersionAliases(ctx, tx, answer.Versions)
	})
}

// canonicalStage reads a stage in any spelling of upper and lower case.
func canonicalStage(stage string) (string, error) {
	for _, known := range []string{wire.StageNone, wire.StageStaging, wire.StageProduction, wire.StageArchived} {
		if strings.EqualFold(known, stage) {
			return known, nil
		}
	}
	return "", invalid("Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.", stage)
}
