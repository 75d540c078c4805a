package server

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Every way to search gives what reading all runs gives: the same runs in the
// same order, or, where it may give up, a page that is not full.
func TestSearchPlans(t *testing.T) {
	f := newFixture(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 150 {
		var out runAnswer
		f.post(t, "runs/create", m{"experiment_id": "0", "start_time": i / 2, "run_name": fmt.Sprint("r", i%7)}, &out)
		body := m{"run_id": out.Run.Info.RunID}
		var metrics, params, tags []m
		for k := range 3 {
			value := any(float64(random.IntN(10)))
			switch random.IntN(8) {
			case 0:
				value = "NaN"
			case 1:
				continue
			}
			metrics = append(metrics, m{"key": fmt.Sprint("m", k), "value": value, "timestamp": 1})
			params = append(params, m{"key": fmt.Sprint("p", k), "value": fmt.Sprint(random.IntN(5))})
			tags = append(tags, m{"key": fmt.Sprint("t", k), "value": strings.Repeat("é", random.IntN(2)*199) + fmt.Sprint(random.IntN(30))})
		}
		body["metrics"], body["params"], body["tags"] = metrics, params, tags
		f.post(t, "runs/log-batch", body, nil)
	}
	filters := []string{
		"", "params.p0 = '1'", "params.p0 = '1' AND params.p1 = '2'", "metrics.m0 > 2 AND metrics.m0 <= 4", "metrics.m0 != 3", "params.p2 LIKE '%3%' AND tags.t0 = '7'",
		"tags.t1 = '4' AND tags.t1 LIKE '4%'", "tags.t0 = '" + strings.Repeat("é", 199) + "5'", "tags.t0 = '" + strings.Repeat("é", 199) + "15'", "tags.t2 LIKE '%9'", "params.p1 IS NULL AND params.p0 != '1'",
		"attributes.run_name = 'r3' AND metrics.m1 >= 5", "params.p0 = 'none'", "start_time > 30 AND params.p1 = '1'",
	}
	orders := [][]string{nil, {"metrics.m0 DESC"}, {"metrics.m1 ASC", "params.p0"}, {"params.p1 DESC"}, {"start_time ASC"}, {"start_time DESC"}, {"tags.t0"}, {"attributes.run_name DESC"}}
	if err := f.store.read(t.Context(), func(tx *sql.Tx) error {
		for _, filter := range filters {
			for _, order := range orders {
				comparePlans(t, tx, filter, order)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func comparePlans(t *testing.T, tx *sql.Tx, filter string, order []string) {
	t.Helper()
	search, err := parseRunSearch([]int64{0}, "", filter, order)
	if err != nil {
		t.Fatal(err)
	}
	ids := func(p plan, limit, offset int) (out []string) {
		err := search.sql(p).page(t.Context(), tx, limit, offset, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			out = append(out, id)
			return err
		})
		if err != nil {
			t.Fatalf("%q by %q, plan %+v: %v", filter, order, p, err)
		}
		return out
	}
	for _, c := range []struct{ limit, offset int }{{1000, 0}, {3, 0}, {3, 4}} {
		want := ids(plan{}, c.limit, c.offset)
		got, err := search.page(t.Context(), tx, c.limit, c.offset)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q by %q: %d runs %v %v, want %d %v", filter, order, len(got), got, err, len(want), want)
		}
		plans := []plan{}
		if search.newestFirst() {
			plans = append(plans, plan{window: 20}, plan{window: 1000})
		}
		if len(order) > 0 && (strings.HasPrefix(order[0], "metrics") || strings.HasPrefix(order[0], "params")) {
			plans = append(plans, plan{ranked: true})
		}
		for i := range search.conditions {
			if search.conditions[i].clauses[0].table() != "" {
				plans = append(plans, plan{driver: &search.conditions[i]})
			}
		}
		for _, p := range plans {
			if got := ids(p, c.limit, c.offset); (p.complete() || len(got) > c.limit) && !slices.Equal(got, want) {
				t.Errorf("%q by %q, plan %+v: %v, want %v", filter, order, p, got, want)
			}
		}
	}
}

// The searches that are slow over many runs without an index use it.
func TestSearchUsesIndexes(t *testing.T) {
	f := newFixture(t)
	f.newRun(t)
	if err := f.store.read(t.Context(), func(tx *sql.Tx) error {
		for _, c := range []struct {
			filter string
			order  []string
			plan   plan // with driver: the first condition
			driven bool
			want   string
		}{
			{filter: "params.p = 'x'", driven: true, want: "COVERING INDEX ctrx_params_by_value (key=? AND value=?)"},
			{filter: "params.p LIKE '%x'", driven: true, want: "COVERING INDEX ctrx_params_by_value (key=?)"},
			{filter: "metrics.m > 1 AND metrics.m < 2", driven: true, want: "COVERING INDEX ctrx_latest_metrics_by_value (key=? AND value>? AND value<?)"},
			{filter: "tags.t = 'x'", driven: true, want: "INDEX ctrx_tags_by_value (key=? AND value=?)"},
			{filter: "status = 'FAILED'", want: "INDEX ctrx_runs_by_time (experiment_id=? AND lifecycle_stage=?)"},
			{order: []string{"metrics.m DESC"}, plan: plan{ranked: true}, want: "COVERING INDEX ctrx_latest_metrics_by_value (key=?)"},
			{order: []string{"params.p ASC"}, plan: plan{ranked: true}, want: "COVERING INDEX ctrx_params_by_value (key=?)"},
		} {
			search, err := parseRunSearch([]int64{0}, "", c.filter, c.order)
			if err != nil {
				return err
			}
			if c.driven {
				c.plan.driver = &search.conditions[0]
			}
			q := search.sql(c.plan)
			var steps []string
			rows, err := tx.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text, q.args...)
			if err != nil {
				return err
			}
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				steps = append(steps, detail)
			}
			rows.Close()
			if !strings.Contains(strings.Join(steps, "\n"), c.want) {
				t.Errorf("%q by %q: %q, want %s", c.filter, c.order, steps, c.want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
