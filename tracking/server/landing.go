package server

import (
	"context"
	"database/sql"
	"errors"
)

// Landing gives the id of the experiment whose runs a visitor most likely
// wants to see: the active one of that name, else the active one that a run
// was started in last, else the default one. An empty name names none.
func (s *Server) Landing(ctx context.Context, name string) (id string, err error) {
	id = "0"
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		const active = ` lifecycle_stage = 'active'`
		err := tx.QueryRowContext(ctx, `SELECT experiment_id FROM experiments WHERE name = ? AND`+active, name).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			err = tx.QueryRowContext(ctx, `SELECT experiment_id FROM runs WHERE`+active+` AND experiment_id IN
				(SELECT experiment_id FROM experiments WHERE`+active+`) ORDER BY start_time DESC LIMIT 1`).Scan(&id)
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return id, err
}
