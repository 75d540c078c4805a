package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ctrx/tracking/wire"
)

func (s *Server) setModelTag(r *http.Request) (any, error) {
	var in struct {
		Name text `json:"name"`
		keyValue
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	tag := wire.Tag{Key: in.Key.value, Value: in.Value.value}
	if err := firstError(in.Name.required("name"), in.Key.required("key"), in.Value.optional("value"),
		checkModelName("name", in.Name.value), checkModelTag(tag)); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		return putModelTag(ctx, tx, in.Name.value, tag)
	})
}

// deleteModelTag is no error where the model has no such tag.
func (s *Server) deleteModelTag(r *http.Request) (any, error) {
	var in struct {
		Name text `json:"name"`
		Key  text `json:"key"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Name.required("name"), in.Key.required("key"), checkModelName("name", in.Name.value), checkKey("key", "key", in.Key.value)); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM registered_model_tags WHERE name = ? AND "key" = ?`, in.Name.value, in.Key.value)
		return err
	})
}

func (s *Server) setVersionTag(r *http.Request) (any, error) {
	var in struct {
		versionKey
		keyValue
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	tag := wire.Tag{Key: in.Key.value, Value: in.Value.value}
	if err := firstError(in.required(), in.Key.required("key"), in.Value.optional("value"), checkModelName("name", in.Name.value)); err != nil {
		return nil, err
	}
	n, err := in.number()
	if err := firstError(err, checkModelTag(tag)); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findVersion(ctx, tx, in.versionKey); err != nil {
			return err
		}
		return putVersionTag(ctx, tx, in.Name.value, n, tag)
	})
}

func (s *Server) deleteVersionTag(r *http.Request) (any, error) {
	var in struct {
		versionKey
		Key text `json:"key"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.Key.required("key"), checkModelName("name", in.Name.value)); err != nil {
		return nil, err
	}
	n, err := in.number()
	if err := firstError(err, checkKey("key", "key", in.Key.value)); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findVersion(ctx, tx, in.versionKey); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM model_version_tags WHERE name = ? AND version = ? AND "key" = ?`, in.Name.value, n, in.Key.value)
		return err
	})
}

// aliasKey names an alias in a request.
type aliasKey struct {
	Name  text `json:"name"`
	Alias text `json:"alias"`
}

func (k aliasKey) required() error {
	return firstError(k.Name.required("name"), k.Alias.required("alias"))
}

func (k aliasKey) check() error {
	if err := checkModelName("name", k.Name.value); err != nil {
		return err
	}
	for _, r := range k.Alias.value {
		if r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return invalid("Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", k.Alias.value)
		}
	}
	if utf8.RuneCountInString(k.Alias.value) > maxAlias {
		return tooLong("Registered model alias name", maxAlias)
	}
	return nil
}

const aliasLatest = "latest"

func (s *Server) setAlias(r *http.Request) (any, error) {
	var in struct {
		aliasKey
		Version text `json:"version"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.Version.required("version"), in.check()); err != nil {
		return nil, err
	}
	switch alias := in.Alias.value; {
	case strings.EqualFold(alias, aliasLatest):
		return nil, invalid("'latest' alias name (case insensitive) is reserved.")
	case regexp.MustCompile(`^[vV]\d+$`).MatchString(alias):
		return nil, invalid("Version alias name '%s' is reserved.", alias)
	}
	key := versionKey{Name: in.Name, Version: in.Version}
	n, err := key.number()
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findVersion(ctx, tx, key); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)`, in.Alias.value, n, in.Name.value)
		return err
	})
}

// deleteAlias is no error where the model has no such alias.
func (s *Server) deleteAlias(r *http.Request) (any, error) {
	var in aliasKey
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.check()); err != nil {
		return nil, err
	}
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?`, in.Name.value, in.Alias.value)
		return err
	})
}

// versionByAlias also knows the alias "latest", which nobody sets.
func (s *Server) versionByAlias(r *http.Request) (any, error) {
	var in aliasKey
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.required(), in.check()); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var answer modelVersionAnswer
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		if _, err := findRegistered(ctx, tx, in.Name.value); err != nil {
			return err
		}
		version, err := aliasedVersion(ctx, tx, in)
		if err != nil {
			return err
		}
		answer.Version, err = wholeVersion(ctx, tx, versionKey{Name: in.Name, Version: text{value: strconv.FormatInt(version, 10)}})
		return err
	})
}

func aliasedVersion(ctx context.Context, tx *sql.Tx, k aliasKey) (int64, error) {
	if strings.EqualFold(k.Alias.value, aliasLatest) {
		var version sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT max(version) FROM model_versions WHERE name = ? AND current_stage != ?`, k.Name.value, wire.StageDeleted).Scan(&version)
		if err == nil && !version.Valid {
			err = refuse(wire.ResourceDoesNotExist, "Latest version not found for model %s.", k.Name.value)
		}
		return version.Int64, err
	}
	var version int64
	err := tx.QueryRowContext(ctx, `SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?`, k.Name.value, k.Alias.value).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		err = invalid("Registered model alias %s not found.", k.Alias.value)
	}
	return version, err
}
