package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ctrx/internal/errs"
)

// store owns the SQLite handles. Both are opened by the first request that
// needs them: one connection writes, so writers in this process queue in Go
// and not in SQLite, and a few read beside it.
type store struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	reader *sql.DB
	memory bool // reader is the empty database that stands for a missing or empty file
	writer *sql.DB
}

const readers = 4

// dsn is the address of the file with the session settings that MLflow uses
// too: wait for other processes, enforce foreign keys, LIKE by case.
func dsn(path, extra string) string {
	const session = "_pragma=busy_timeout(20000)&_pragma=foreign_keys(1)&_pragma=case_sensitive_like(1)"
	if path == "" {
		return "file::memory:?" + session + extra
	}
	slash := filepath.ToSlash(path)
	if !strings.HasPrefix(slash, "/") {
		slash = "/" + slash // a drive letter
	}
	u := url.URL{Scheme: "file", Path: slash}
	return u.String() + "?" + session + extra
}

// read runs fn in a transaction that sees one state of the database and
// cannot change it.
func (s *store) read(ctx context.Context, fn func(*sql.Tx) error) error {
	db, err := s.openReader(ctx)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return fn(tx)
}

// write runs fn in a transaction that holds the write lock from its begin, so
// what fn read is still true when it commits. An error of fn rolls back.
func (s *store) write(ctx context.Context, fn func(*sql.Tx) error) error {
	db, err := s.openWriter(ctx)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *store) openReader(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	exists, err := hasContent(s.path)
	if err != nil {
		return nil, err
	}
	if s.reader != nil && !(s.memory && exists) {
		return s.reader, nil
	}
	var db *sql.DB
	if exists {
		if db, err = s.openFile(ctx); err != nil {
			return nil, err
		}
	}
	if db == nil && s.reader != nil {
		return s.reader, nil
	}
	if s.memory = db == nil; s.memory {
		if db, err = emptyStore(s.now().UnixMilli()); err != nil {
			return nil, err
		}
	}
	if s.reader != nil {
		err = s.reader.Close()
	}
	s.reader = db
	return db, err
}

// openFile opens the file for reading. It is nil without an error for a file
// without a table: another process has just made it, or was killed over it.
func (s *store) openFile(ctx context.Context) (*sql.DB, error) {
	db, err := openDB(s.path, readers, "&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	st, err := inspect(ctx, db)
	if err != nil {
		return nil, errors.Join(describe(s.path, err), db.Close())
	}
	if st.empty {
		return nil, db.Close()
	}
	return db, nil
}

func (s *store) openWriter(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer != nil {
		return s.writer, nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o777); err != nil {
		return nil, err
	}
	// NORMAL in WAL mode keeps the file valid after any crash; only a power
	// cut may lose the last transactions.
	db, err := openDB(s.path, 1, "&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, db); err != nil {
		return nil, errors.Join(describe(s.path, err), db.Close())
	}
	s.writer = db
	return db, nil
}

// prepare makes a new file complete and checks an old one.
func (s *store) prepare(ctx context.Context, db *sql.DB) error {
	if err := useWAL(ctx, db); err != nil {
		return err
	}
	st, err := inspect(ctx, db)
	if err != nil {
		return err
	}
	if st.empty {
		if err := s.create(ctx, db); err != nil {
			return err
		}
		st, err = inspect(ctx, db)
		if err != nil {
			return err
		}
	}
	if err := st.problem(s.path); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, indexSQL)
	return err
}

func openDB(path string, limit int, extra string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, extra))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(limit)
	db.SetMaxIdleConns(limit)
	return db, nil
}

// useWAL switches a file to the write-ahead log once; the mode is kept in the
// file. Two processes that switch at the same moment get SQLITE_BUSY at once,
// whatever the busy timeout, hence the few attempts. Without the log the
// store still works, only slower.
func useWAL(ctx context.Context, db *sql.DB) error {
	for attempt := range 10 {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
		if err != nil {
			return err
		}
		if strings.EqualFold(mode, "wal") {
			return nil
		}
		if err := db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err == nil && strings.EqualFold(mode, "wal") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(attempt+1) * 10 * time.Millisecond):
		}
	}
	return nil
}

// create makes all tables and the experiment 0 in one transaction, so that a
// process killed on the way leaves an empty file and not half a schema.
func (s *store) create(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	var tables int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return err
	}
	if tables > 0 { // another process was faster
		return nil
	}
	if _, err := tx.ExecContext(ctx, schemaSQL); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO alembic_version (version_num) VALUES (?)", Revision); err != nil {
		return err
	}
	now := s.now().UnixMilli()
	if _, err := tx.ExecContext(ctx,
		`INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
		 VALUES (0, 'Default', ?, 'active', ?, ?)`, artifactRoot("0"), now, now); err != nil {
		return err
	}
	return tx.Commit()
}

// close folds the write-ahead log into the file, so that it can be copied
// alone, and lets go of it.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	if s.reader != nil {
		problems = append(problems, s.reader.Close())
		s.reader = nil
	}
	if s.writer != nil {
		// Another process that reads at this moment may prevent it; then the
		// log stays, which is just as valid.
		_, _ = s.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		problems = append(problems, s.writer.Close())
		s.writer = nil
	}
	return errors.Join(problems...)
}

// CheckFile refuses a path that cannot be a tracking database: a folder, or a
// file that is no SQLite database (errs.ProjectFile). One that is not there, or
// is empty, will be made. It does not wait for other programs and reads 16 bytes.
func CheckFile(path string) error {
	if exists, err := hasContent(path); err != nil || !exists {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const header = "SQLite format 3\x00" // https://www.sqlite.org/fileformat.html
	begin := make([]byte, len(header))
	n, err := io.ReadFull(f, begin)
	switch {
	case n == 0: // all of it is in the log beside it
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case string(begin[:n]) != header:
		return errs.Hint(errs.New(errs.ProjectFile, "%s is not an SQLite database", path), "name the file of the runs: --backend-store-uri sqlite:///mlflow.db")
	}
	return nil
}

// hasContent tells whether the file exists and is not empty. SQLite creates an
// empty file before the first commit, and a kill may leave it.
func hasContent(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir():
		return false, errs.New(errs.ProjectFile, "%s is a folder, not a tracking database", path)
	}
	if info.Size() > 0 {
		return true, nil
	}
	wal, err := os.Stat(path + "-wal")
	return err == nil && wal.Size() > 0, nil
}

func describe(path string, err error) error {
	if errs.HintOf(err) != "" {
		return err
	}
	return fmt.Errorf("open tracking database %s: %w", path, err)
}
