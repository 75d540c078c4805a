package server

import (
	"context"
	"database/sql"

	"ctrx/tracking/wire"
)

// countLimit is how many rows of an index are counted to see whether a
// condition is a good place to begin; that takes about a millisecond.
const countLimit = 20000

// indexes tells which indexes of indexSQL a file has: all of them once this
// package has written to it.
func indexes(ctx context.Context, tx *sql.Tx) (map[string]bool, error) {
	found := map[string]bool{}
	return found, each(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE ?`, "ctrx_%", func(row scanner) error {
		var name string
		err := row.Scan(&name)
		found[name] = true
		return err
	})
}

// indexOf names the index by value of a keyed thing, or "".
func indexOf(entity string) string {
	switch entity {
	case entityMetric:
		return "ctrx_latest_metrics_by_value"
	case entityParam:
		return "ctrx_params_by_value"
	case entityTag:
		return "ctrx_tags_by_value"
	}
	return ""
}

// plans looks at the size of things and gives the ways to answer a page that
// ends at run number need, the one to try first in front. The last is complete.
//
// Newest first, or by a metric, a page of a hundred is often found among the
// first few hundred runs. Where the conditions are so narrow that more runs
// would be looked at than fulfil the narrowest, the search begins at those.
func (s *runSearch) plans(ctx context.Context, tx *sql.Tx, need int) ([]plan, error) {
	has, err := indexes(ctx, tx)
	if err != nil {
		return nil, err
	}
	counted, err := s.count(ctx, tx, has)
	if err != nil {
		return nil, err
	}
	ranked := len(s.order) > 0 && s.order[0].entity != entityTag && has[indexOf(s.order[0].entity)]
	if !counted {
		if ranked {
			return []plan{{ranked: true}, {}}, nil
		}
		return []plan{{}}, nil
	}
	total := 0
	q := query{}
	q.add("SELECT count(*) FROM runs r WHERE ")
	s.scope(&q, "r.experiment_id")
	if err := tx.QueryRowContext(ctx, q.text, q.args...).Scan(&total); err != nil {
		return nil, err
	}
	var best *condition
	look := float64(need) // how many runs a search in order looks at, if conditions do not depend on each other
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.matches < 0 || c.matches >= countLimit {
			continue
		}
		look *= float64(total) / float64(max(c.matches, 1))
		if best == nil || c.matches < best.matches {
			best = c
		}
	}
	switch {
	case best == nil && ranked:
		return []plan{{ranked: true}, {}}, nil
	case best == nil:
		return []plan{{}}, nil
	case float64(best.matches) <= min(look, float64(total)) || !ranked && !s.newestFirst():
		return []plan{{driver: best}}, nil
	case ranked:
		return []plan{{ranked: true}, {driver: best}}, nil
	}
	// What fulfils a condition may all be old.
	return []plan{{window: int(4 * look)}, {driver: best}}, nil
}

// count counts what fulfils the conditions that an index can tell about, and
// tells whether there is one. It also looks for runs without a start time
// where that matters.
func (s *runSearch) count(ctx context.Context, tx *sql.Tx, has map[string]bool) (counted bool, err error) {
	for i := range s.conditions {
		c := &s.conditions[i]
		table := c.clauses[0].table()
		if table == "" || !has[indexOf(c.clauses[0].entity)] || table == "tags" && !c.short() {
			continue
		}
		q := query{}
		q.add("SELECT count(*) FROM (SELECT 1 FROM " + table + " x WHERE ")
		q.rows(*c)
		q.add(" LIMIT ?)", countLimit)
		if err := tx.QueryRowContext(ctx, q.text, q.args...).Scan(&c.matches); err != nil {
			return false, err
		}
		counted = true
	}
	if s.byTime() {
		q := query{}
		q.add("SELECT NOT EXISTS (SELECT 1 FROM runs r WHERE ")
		s.scope(&q, "r.experiment_id")
		q.add(" AND r.start_time IS NULL)")
		err = tx.QueryRowContext(ctx, q.text, q.args...).Scan(&s.started)
	}
	return counted, err
}

// page gives the ids of limit runs and one more, if there are so many.
func (s *runSearch) page(ctx context.Context, tx *sql.Tx, limit, offset int) ([]string, error) {
	plans, err := s.plans(ctx, tx, offset+limit+1)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range plans {
		ids = ids[:0]
		err := s.sql(p).page(ctx, tx, limit, offset, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		if p.complete() || len(ids) > limit {
			break
		}
	}
	return ids, nil
}

func (s *Server) search(ctx context.Context, in runQuery) (*runPage, error) {
	limit, err := pageSize(in.MaxResults)
	if err := firstError(in.Filter.optional("filter"), in.PageToken.optional("page_token"), err); err != nil {
		return nil, err
	}
	offset, err := pageOffset(in.PageToken.value)
	if err != nil {
		return nil, err
	}
	experiments := make([]int64, len(in.Experiments))
	for i, id := range in.Experiments {
		if experiments[i], err = parseExperimentID(id); err != nil {
			return nil, err
		}
	}
	search, err := parseRunSearch(experiments, in.View, in.Filter.value, in.OrderBy)
	if err != nil {
		return nil, err
	}
	var answer runPage
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		ids, err := search.page(ctx, tx, limit, offset)
		if err != nil {
			return err
		}
		if len(ids) > limit {
			ids, answer.NextPage = ids[:limit], pageToken(offset+limit)
		}
		answer.Runs, err = wholeRuns(ctx, tx, ids)
		return err
	})
	return &answer, err
}

// wholeRuns reads runs with all that was logged to them, in the order of ids.
func wholeRuns(ctx context.Context, tx *sql.Tx, ids []string) ([]wire.Run, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	place := make(map[string]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	in, err := wire.Marshal(ids)
	if err != nil {
		return nil, err
	}
	runs := make([]wire.Run, len(ids))
	err = each(ctx, tx, `SELECT `+runColumns+` FROM runs r WHERE r.run_uuid IN (SELECT value FROM json_each(?))`, string(in), func(row scanner) error {
		info, err := scanRun(row)
		runs[place[info.RunID]] = wire.Run{Info: info, Outputs: &wire.RunOutput{}}
		return err
	})
	if err != nil {
		return nil, err
	}
	return runs, fillRuns(ctx, tx, runs)
}
