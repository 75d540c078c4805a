package server

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// A question to a store without a file that its asker gives up, which ends the
// connection, does not cost the next one its tables.
func TestEmptyStoreOutlivesItsConnection(t *testing.T) {
	s := &store{path: filepath.Join(t.TempDir(), "mlflow.db"), now: time.Now}
	t.Cleanup(func() { _ = s.close() })
	count := func(ctx context.Context) (n int, err error) {
		err = s.read(ctx, func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT count(*) FROM experiments").Scan(&n)
		})
		return n, err
	}
	for range 3 {
		if n, err := count(t.Context()); n != 1 || err != nil {
			t.Fatalf("%d experiments, %v", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := s.read(ctx, func(tx *sql.Tx) error {
			cancel()
			_, err := tx.ExecContext(ctx, "SELECT count(*) FROM experiments")
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled question: %v", err)
		}
		// As the driver may do it after an interruption.
		s.reader.SetMaxIdleConns(-1)
		s.reader.SetMaxIdleConns(1)
	}
}

// A file that another process has begun, and has not put its tables into yet,
// is an empty store for those who ask, until the tables are there.
func TestFileWithoutTables(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(f.dir, "mlflow.db")
	other := &store{path: path, now: time.Now}
	t.Cleanup(func() { _ = other.close() })
	db, err := openDB(path, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(useWAL(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	if exists, err := hasContent(path); err != nil || !exists {
		t.Fatalf("the file has content: %v, %v", exists, err)
	}
	const ask = api + "experiments/get-by-name?experiment_name="
	for range 2 {
		if status, answer := f.request(t, "GET", ask+"Default", nil); status != 200 {
			t.Errorf("the experiment that each store has: %d %s", status, answer)
		}
		if status, answer := f.request(t, "GET", ask+"c", nil); status != 404 {
			t.Errorf("another one: %d %s", status, answer)
		}
	}
	err = other.write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE experiments SET name = 'c'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := f.request(t, "GET", ask+"c", nil); status != 200 {
		t.Errorf("when the tables are there: %d %s", status, answer)
	}
}
