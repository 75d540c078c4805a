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
