package server

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func execSQL(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := openDB(path, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// testdata/schema-facts.txt was read from a database that MLflow 3.17.2's own
// migrations made at this revision: one line per column, key, index,
// constraint and check.
func TestSchemaFacts(t *testing.T) {
	data, err := os.ReadFile("testdata/schema-facts.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(data)), "\n")
	db, err := openDB("", 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), schemaSQL); err != nil {
		t.Fatal(err)
	}
	got := schemaFacts(t.Context(), t, db)
	slices.Sort(want)
	slices.Sort(got)
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("too much: %s", line)
		}
	}
}

func schemaFacts(ctx context.Context, t *testing.T, db *sql.DB) []string {
	t.Helper()
	strs := func(query string, args ...any) (out []string) {
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	var out []string
	add := func(table string, lines []string) {
		for _, l := range lines {
			out = append(out, table+" "+l)
		}
	}
	for _, table := range strs(`SELECT name FROM sqlite_master WHERE type = 'table'`) {
		add(table, strs(`SELECT 'column ' || name || ' ' || type || ' notnull=' || "notnull" || ' default=' || coalesce(dflt_value, 'None') || ' pk=' || pk FROM pragma_table_info(?)`, table))
		add(table, strs(`SELECT 'foreign ' || "table" || ' ' || "from" || '->' || "to" || ' update=' || on_update || ' delete=' || on_delete FROM pragma_foreign_key_list(?)`, table))
		for _, index := range strs(`SELECT name FROM pragma_index_list(?)`, table) {
			head := strs(`SELECT 'index ' || name || ' unique=' || "unique" || ' origin=' || origin FROM pragma_index_list(?) WHERE name = ?`, table, index)
			add(table, []string{head[0] + " " + strings.Join(strs(`SELECT name FROM pragma_index_info(?)`, index), ",")})
		}
		text := strs(`SELECT sql FROM sqlite_master WHERE name = ?`, table)[0]
		for _, m := range regexp.MustCompile(`CONSTRAINT (\w+) (PRIMARY KEY|FOREIGN KEY|CHECK|UNIQUE)`).FindAllStringSubmatch(text, -1) {
			out = append(out, fmt.Sprintf("%s constraint %s %s", table, m[1], m[2]))
		}
		for _, m := range regexp.MustCompile(`CHECK \((.*)\)`).FindAllStringSubmatch(text, -1) {
			out = append(out, fmt.Sprintf("%s check %s", table, m[1]))
		}
	}
	return out
}

// A file whose core tables changed in a way that an INSERT of ours would get
// wrong is not written, and the message says what to do.
func TestForeignSchemaIsNotWritten(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string // in the refusal; empty: it must work
	}{
		"new nullable column":         {[]string{`ALTER TABLE runs ADD COLUMN extra TEXT`}, ""},
		"new column with default":     {[]string{`ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL`}, ""},
		"new table":                   {[]string{`CREATE TABLE spans (id TEXT NOT NULL)`}, ""},
		"lost column":                 {[]string{`ALTER TABLE runs DROP COLUMN deleted_time`}, "lacks runs.deleted_time"},
		"lost table":                  {[]string{`DROP TABLE input_tags`}, "lacks table input_tags"},
		"new column without default":  {[]string{`DROP TABLE input_tags`, `CREATE TABLE input_tags (input_uuid TEXT, name TEXT, value TEXT, owner TEXT NOT NULL)`}, "input_tags.owner must be filled"},
		"database of another program": {[]string{`DROP TABLE input_tags`, `DROP TABLE inputs`, `DROP TABLE datasets`}, "lacks table datasets, table input_tags, table inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.newRun(t)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			execSQL(t, filepath.Join(f.dir, "mlflow.db"), c.change...)
			status, answer := f.request(t, "POST", api+"runs/set-tag", m{"run_id": id, "key": "k", "value": "v"})
			switch {
			case c.want == "" && status != 200:
				t.Errorf("refused: %d %s", status, answer)
			case c.want != "" && (status != 500 || !strings.Contains(answer, c.want)):
				t.Errorf("got %d %s, want a refusal with %q", status, answer, c.want)
			}
		})
	}
}

func TestNotADatabase(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(filepath.Join(f.dir, "mlflow.db"), []byte(strings.Repeat("not a database ", 100)), 0o666); err != nil {
		t.Fatal(err)
	}
	status, answer := f.request(t, "POST", api+"runs/create", m{"experiment_id": "0"})
	if status != 500 || !strings.Contains(answer, "mlflow.db") {
		t.Errorf("%d %s", status, answer)
	}
}

// An empty file is what a kill in the middle of the creation leaves.
func TestEmptyFile(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(filepath.Join(f.dir, "mlflow.db"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	f.get(t, "experiments/get?experiment_id=0", nil)
	f.newRun(t)
}
