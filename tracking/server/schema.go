package server

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

//go:embed schema.sql
var schemaSQL string

// Revision is the alembic revision of schema.sql: the head of MLflow 3.0.0,
// the oldest that every MLflow 3 migrates from by itself.
const Revision = "6953534de441"

// indexSQL adds what MLflow's schema lacks for searches over many runs: the
// runs of an experiment by time, and the runs by the value of a metric, a
// parameter or a short tag. Notes and patches are tags too, and those are not
// kept twice. MLflow ignores indexes that it does not know, and its migrations
// keep them.
const indexSQL = `CREATE INDEX IF NOT EXISTS ctrx_runs_by_time ON runs (experiment_id, lifecycle_stage, start_time DESC, run_uuid);
CREATE INDEX IF NOT EXISTS ctrx_latest_metrics_by_value ON latest_metrics ("key", value, is_nan, run_uuid);
CREATE INDEX IF NOT EXISTS ctrx_params_by_value ON params ("key", value, run_uuid);
CREATE INDEX IF NOT EXISTS ctrx_tags_by_value ON tags ("key", value, run_uuid) WHERE length(value) <= 200;`

// shortTagLength is the longest value, in characters, in ctrx_tags_by_value;
// shortTag is its condition, which a query on tags x must repeat for SQLite to
// use it.
const (
	shortTagLength = 200
	shortTag       = "length(x.value) <= 200"
)

// coreColumns lists the tables this package reads and writes, with the columns
// it names. Newer revisions may add to them, and did.
func coreColumns() map[string][]string {
	return map[string][]string{
		"experiments":     {"experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"},
		"experiment_tags": {"key", "value", "experiment_id"},
		"runs": {"run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time", "end_time",
			"source_version", "lifecycle_stage", "artifact_uri", "experiment_id", "deleted_time"},
		"tags":           {"key", "value", "run_uuid"},
		"params":         {"key", "value", "run_uuid"},
		"metrics":        {"key", "value", "timestamp", "run_uuid", "step", "is_nan"},
		"latest_metrics": {"key", "value", "timestamp", "step", "is_nan", "run_uuid"},
		"datasets": {"dataset_uuid", "experiment_id", "name", "digest", "dataset_source_type", "dataset_source", "dataset_schema",
			"dataset_profile"},
		"inputs":     {"input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"},
		"input_tags": {"input_uuid", "name", "value"},
	}
}

// state is what inspect found in a database file.
type state struct {
	empty bool     // no table at all
	lost  []string // core tables and columns that are not there
	extra []string // columns that an INSERT of ours would have to fill
}

// inspect compares the core tables with what this package relies on. It reads
// the catalogue only.
func inspect(ctx context.Context, db *sql.DB) (state, error) {
	rows, err := db.QueryContext(ctx, `SELECT m.name, c.name, c."notnull", c.dflt_value IS NULL
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'`)
	if err != nil {
		return state{}, err
	}
	defer rows.Close()
	core := coreColumns()
	found := map[string]map[string]bool{}
	st := state{empty: true}
	for rows.Next() {
		var table, column string
		var notNull, noDefault bool
		if err := rows.Scan(&table, &column, &notNull, &noDefault); err != nil {
			return state{}, err
		}
		st.empty = false
		columns, ok := core[table]
		if !ok {
			continue
		}
		if found[table] == nil {
			found[table] = map[string]bool{}
		}
		found[table][column] = true
		if notNull && noDefault && !slices.Contains(columns, column) {
			st.extra = append(st.extra, table+"."+column)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(core)) {
		if found[table] == nil {
			st.lost = append(st.lost, "table "+table)
			continue
		}
		for _, column := range core[table] {
			if !found[table][column] {
				st.lost = append(st.lost, table+"."+column)
			}
		}
	}
	return st, rows.Err()
}

// problem tells why the file must not be written, or nil.
func (st state) problem(path string) error {
	switch {
	case len(st.lost) > 0:
		return errs.Hint(errs.New(errs.Conflict, "%s is not a tracking database that ctrx can write: it lacks %s", path, strings.Join(st.lost, ", ")),
			"if an older MLflow made it: mlflow db upgrade sqlite:///%s", path)
	case len(st.extra) > 0:
		return errs.Hint(errs.New(errs.Conflict, "%s has a newer schema than ctrx can write: %s must be filled", path, strings.Join(st.extra, ", ")),
			"a newer ctrx may know it; until then set MLFLOW_TRACKING_URI to a server of that MLflow")
	}
	return nil
}

// artifactRoot is where the artifacts of a new experiment go: a place relative
// to the server, so that a project folder can be moved.
func artifactRoot(experiment string) string { return fmt.Sprintf("mlflow-artifacts:/%s", experiment) }
