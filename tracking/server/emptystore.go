package server

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// emptyStore opens the database that stands for a file that is not there: in
// memory, with the tables and the experiment 0. Such a database is its
// connection's own, and a request that is cancelled ends the connection; so the
// tables are made with each of them.
func emptyStore(nowMS int64) (*sql.DB, error) {
	name := dsn("", "")
	registered, err := sql.Open("sqlite", name) // for its driver; it connects to nothing
	if err != nil {
		return nil, err
	}
	c := emptyConnector{driver: registered.Driver(), name: name, statements: schemaSQL + fmt.Sprintf(`;
		INSERT INTO alembic_version (version_num) VALUES ('%s');
		INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
			VALUES (0, 'Default', '%s', 'active', %d, %d)`, Revision, artifactRoot("0"), nowMS, nowMS)}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, registered.Close()
}

type emptyConnector struct {
	driver     driver.Driver
	name       string
	statements string
}

// Connect implements driver.Connector.
func (c emptyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	e, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver cannot execute statements"), conn.Close())
	}
	if _, err := e.ExecContext(context.WithoutCancel(ctx), c.statements, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Driver implements driver.Connector.
func (c emptyConnector) Driver() driver.Driver { return c.driver }
