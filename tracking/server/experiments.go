package server

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ctrx/tracking/wire"
)

type experimentAnswer struct {
	Experiment wire.Experiment `json:"experiment"`
}

type empty struct{}

const experimentColumns = `experiment_id, name, coalesce(artifact_location, ''), coalesce(lifecycle_stage, ''), coalesce(creation_time, 0), coalesce(last_update_time, 0)`

type scanner interface{ Scan(...any) error }

func scanExperiment(row scanner) (wire.Experiment, error) {
	e := wire.Experiment{Workspace: "default"} // of those that a migrated file may have
	err := row.Scan(&e.ID, &e.Name, &e.ArtifactLocation, &e.LifecycleStage, &e.CreationTime, &e.LastUpdateTime)
	return e, err
}

func experimentTags(ctx context.Context, tx *sql.Tx, id string) ([]wire.Tag, error) {
	rows, err := tx.QueryContext(ctx, `SELECT "key", coalesce(value, '') FROM experiment_tags WHERE experiment_id = ? ORDER BY rowid`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tags []wire.Tag
	for rows.Next() {
		var t wire.Tag
		if err := rows.Scan(&t.Key, &t.Value); err != nil {
			return nil, err
		}
		tags = append(tags, t)
	}
	return tags, rows.Err()
}

// parseExperimentID accepts what MLflow accepts: decimal digits.
func parseExperimentID(id string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(id), 10, 64)
	if err != nil {
		return 0, invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", id)
	}
	return n, nil
}

// findExperiment reads an experiment by id, whatever its stage.
func findExperiment(ctx context.Context, tx *sql.Tx, id string) (wire.Experiment, error) {
	n, err := parseExperimentID(id)
	if err != nil {
		return wire.Experiment{}, err
	}
	e, err := scanExperiment(tx.QueryRowContext(ctx, `SELECT `+experimentColumns+` FROM experiments WHERE experiment_id = ?`, n))
	if errors.Is(err, sql.ErrNoRows) {
		return e, refuse(wire.ResourceDoesNotExist, "No Experiment with id=%d exists", n)
	}
	if err != nil {
		return e, err
	}
	e.Tags, err = experimentTags(ctx, tx, e.ID)
	return e, err
}

func experimentActive(e wire.Experiment) error {
	if e.LifecycleStage != "active" {
		return invalid("The experiment %s must be in the 'active' state. Current state is %s.", e.ID, e.LifecycleStage)
	}
	return nil
}

func (s *Server) getExperiment(r *http.Request) (any, error) {
	id := r.URL.Query().Get("experiment_id")
	if id == "" {
		return nil, missing("experiment_id")
	}
	var answer experimentAnswer
	err := s.store.read(r.Context(), func(tx *sql.Tx) (err error) {
		answer.Experiment, err = findExperiment(r.Context(), tx, id)
		return err
	})
	return answer, err
}

func (s *Server) getExperimentByName(r *http.Request) (any, error) {
	name := r.URL.Query().Get("experiment_name")
	if name == "" {
		return nil, missing("experiment_name")
	}
	ctx := r.Context()
	var answer experimentAnswer
	err := s.store.read(ctx, func(tx *sql.Tx) error {
		e, err := scanExperiment(tx.QueryRowContext(ctx, `SELECT `+experimentColumns+` FROM experiments WHERE name = ?`, name))
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(wire.ResourceDoesNotExist, "Could not find experiment with name '%s'", name)
		}
		if err != nil {
			return err
		}
		e.Tags, err = experimentTags(ctx, tx, e.ID)
		answer.Experiment = e
		return err
	})
	return answer, err
}

// checkExperimentName applies the limit of 500 characters.
func checkExperimentName(name string) error {
	if utf8.RuneCountInString(name) > wire.MaxExperimentName {
		return tooLong("name", wire.MaxExperimentName)
	}
	return nil
}

// checkRoot refuses artifact roots on the server's own disk: a client could
// otherwise read any file through them.
func (s *Server) checkRoot(location string) error {
	if location == "" || s.opts.AllowLocalRoots {
		return nil
	}
	if utf8.RuneCountInString(location) > wire.MaxRoot {
		return invalid("Invalid artifact path length. The length of the artifact path cannot be greater than %d characters.", wire.MaxRoot)
	}
	u, err := url.Parse(location)
	if err == nil && u.Fragment != "" {
		return invalid("'artifact_location' URL can't include fragments or params.")
	}
	if err != nil || u.Scheme == "" || u.Scheme == "file" || len(u.Scheme) == 1 {
		return invalid("Invalid artifact_location: '%s'. This server accepts no artifact root on its own disk.", location)
	}
	if u.Scheme == "runs" {
		return invalid("Artifact location cannot be a runs:/ URI. Given: '%s'", location)
	}
	return nil
}

func checkExperimentTag(t wire.Tag) error {
	if err := checkKey("key", "key", t.Key); err != nil {
		return err
	}
	if utf8.RuneCountInString(t.Value) > wire.MaxExperimentTag {
		return tooLong("value", wire.MaxExperimentTag)
	}
	return nil
}

func (s *Server) createExperiment(r *http.Request) (any, error) {
	var in struct {
		Name     text       `json:"name"`
		Location text       `json:"artifact_location"`
		Tags     []wire.Tag `json:"tags"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	checks := []error{in.Name.required("name"), in.Location.optional("artifact_location"), checkExperimentName(in.Name.value), s.checkRoot(in.Location.value)}
	for _, t := range in.Tags {
		checks = append(checks, checkExperimentTag(t))
	}
	for _, err := range checks {
		if err != nil {
			return nil, err
		}
	}
	ctx := r.Context()
	var answer struct {
		ID string `json:"experiment_id"`
	}
	now := s.millis()
	err := s.store.write(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)
			VALUES (?, ?, 'active', ?, ?)`, in.Name.value, in.Location.value, now, now)
		if isUnique(err) {
			return refuse(wire.ResourceAlreadyExists, "Experiment(name=%s) already exists. Error: %v", in.Name.value, err)
		}
		if err != nil {
			return err
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		answer.ID = strconv.FormatInt(id, 10)
		if in.Location.value == "" {
			if _, err := tx.ExecContext(ctx, `UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?`, artifactRoot(answer.ID), id); err != nil {
				return err
			}
		}
		for _, t := range in.Tags {
			if err := putExperimentTag(ctx, tx, answer.ID, t); err != nil {
				return err
			}
		}
		return nil
	})
	return answer, err
}

func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func putExperimentTag(ctx context.Context, tx *sql.Tx, id string, t wire.Tag) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO experiment_tags ("key", value, experiment_id) VALUES (?, ?, ?)
		ON CONFLICT ("key", experiment_id) DO UPDATE SET value = excluded.value`, t.Key, t.Value, id)
	return err
}

func (s *Server) setExperimentTag(r *http.Request) (any, error) {
	var in struct {
		ID    text `json:"experiment_id"`
		Key   text `json:"key"`
		Value text `json:"value"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	tag := wire.Tag{Key: in.Key.value, Value: in.Value.value}
	for _, err := range []error{in.ID.required("experiment_id"), in.Key.required("key"), in.Value.optional("value"), checkExperimentTag(tag)} {
		if err != nil {
			return nil, err
		}
	}
	return s.changeExperiment(r, in.ID.value, func(ctx context.Context, tx *sql.Tx, e wire.Experiment) error {
		if err := experimentActive(e); err != nil {
			return err
		}
		return putExperimentTag(ctx, tx, e.ID, tag)
	})
}

func (s *Server) changeExperiment(r *http.Request, id string, change func(context.Context, *sql.Tx, wire.Experiment) error) (any, error) {
	ctx := r.Context()
	return empty{}, s.store.write(ctx, func(tx *sql.Tx) error {
		e, err := findExperiment(ctx, tx, id)
		if err != nil {
			return err
		}
		return change(ctx, tx, e)
	})
}

func (s *Server) updateExperiment(r *http.Request) (any, error) {
	var in struct {
		ID   text `json:"experiment_id"`
		Name text `json:"new_name"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	for _, err := range []error{in.ID.required("experiment_id"), in.Name.required("new_name"), checkExperimentName(in.Name.value)} {
		if err != nil {
			return nil, err
		}
	}
	return s.changeExperiment(r, in.ID.value, func(ctx context.Context, tx *sql.Tx, e wire.Experiment) error {
		if e.LifecycleStage != "active" {
			return refuse(wire.InvalidState, "Cannot rename a non-active experiment.")
		}
		_, err := tx.ExecContext(ctx, `UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?`, in.Name.value, s.millis(), e.ID)
		return err
	})
}

func (s *Server) deleteExperiment(r *http.Request) (any, error) {
	return s.setExperimentStage(r, "active", "deleted")
}

func (s *Server) restoreExperiment(r *http.Request) (any, error) {
	return s.setExperimentStage(r, "deleted", "active")
}

// setExperimentStage deletes or restores an experiment and its runs with it.
func (s *Server) setExperimentStage(r *http.Request, from, to string) (any, error) {
	var in struct {
		ID text `json:"experiment_id"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := in.ID.required("experiment_id"); err != nil {
		return nil, err
	}
	return s.changeExperiment(r, in.ID.value, func(ctx context.Context, tx *sql.Tx, e wire.Experiment) error {
		if e.LifecycleStage != from {
			return refuse(wire.ResourceDoesNotExist, "No Experiment with id=%s exists", e.ID)
		}
		now := s.millis()
		if _, err := tx.ExecContext(ctx, `UPDATE experiments SET lifecycle_stage = ?, last_update_time = ? WHERE experiment_id = ?`, to, now, e.ID); err != nil {
			return err
		}
		var deleted any
		if to == "deleted" {
			deleted = now
		}
		_, err := tx.ExecContext(ctx, `UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ?`, to, deleted, e.ID)
		return err
	})
}

// experimentQuery is a search over experiments, from a body or a query string.
type experimentQuery struct {
	ViewType   viewType `json:"view_type"`
	MaxResults integer  `json:"max_results"`
	Filter     text     `json:"filter"`
	OrderBy    []string `json:"order_by"`
	PageToken  text     `json:"page_token"`
}

// readExperimentQuery reads the query of an experiments/search.
func readExperimentQuery(r *http.Request) (in experimentQuery, err error) {
	if r.Method == http.MethodPost {
		return in, decode(r, &in)
	}
	q := r.URL.Query()
	n, err := queryInt(q, "max_results", wire.DefaultSearchResults)
	return experimentQuery{ViewType: viewType(q.Get("view_type")), MaxResults: integer{value: int64(n), set: true}, Filter: text{value: q.Get("filter")},
		OrderBy: q["order_by"], PageToken: text{value: q.Get("page_token")}}, err
}

// experimentPage is a page of found experiments.
type experimentPage struct {
	Experiments []wire.Experiment `json:"experiments,omitempty"`
	NextPage    string            `json:"next_page_token,omitempty"`
}

func (s *Server) searchExperiments(r *http.Request) (any, error) {
	in, err := readExperimentQuery(r)
	if err != nil {
		return nil, err
	}
	if n := in.MaxResults.value; n > wire.MaxSearchResults {
		return nil, invalid("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", n, wire.MaxSearchResults)
	}
	limit, err := pageSize(in.MaxResults)
	if err := firstError(in.Filter.optional("filter"), in.PageToken.optional("page_token"), err); err != nil {
		return nil, err
	}
	offset, err := pageOffset(in.PageToken.value)
	if err != nil {
		return nil, err
	}
	q, err := experimentSQL(in)
	if err != nil {
		return nil, err
	}
	var answer experimentPage
	err = s.store.read(r.Context(), func(tx *sql.Tx) (err error) {
		answer, err = readExperiments(r.Context(), tx, q, limit, offset)
		return err
	})
	return answer, err
}

// readExperiments reads a page of the experiments that a query selects.
func readExperiments(ctx context.Context, tx *sql.Tx, q query, limit, offset int) (experimentPage, error) {
	var page experimentPage
	err := q.page(ctx, tx, limit, offset, func(row scanner) error {
		e, err := scanExperiment(row)
		page.Experiments = append(page.Experiments, e)
		return err
	})
	if err != nil {
		return page, err
	}
	if len(page.Experiments) > limit {
		page.Experiments, page.NextPage = page.Experiments[:limit], pageToken(offset+limit)
	}
	for i := range page.Experiments {
		e := &page.Experiments[i]
		if e.Tags, err = experimentTags(ctx, tx, e.ID); err != nil {
			return page, err
		}
	}
	return page, nil
}
