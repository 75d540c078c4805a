package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// runSearch is a parsed search over runs.
type runSearch struct {
	experiments []int64
	view        viewType
	conditions  []condition // all of them must hold
	order       []order
	started     bool // every run has a start time
}

// condition is what a filter says about one thing: one clause, or all clauses
// about one metric, parameter or tag, which a run has once.
type condition struct {
	clauses []clause
	// matches is how many runs fulfil it, as far as they were counted; -1
	// where an index does not tell.
	matches int
}

// tables of what a run has by key.
func (c clause) table() string {
	if strings.HasPrefix(c.op, "IS ") {
		return ""
	}
	return tableOf(c.entity)
}

func tableOf(entity string) string {
	switch entity {
	case entityMetric:
		return "latest_metrics"
	case entityParam:
		return "params"
	case entityTag:
		return "tags"
	}
	return ""
}

// conditionsOf groups the clauses of a filter.
func conditionsOf(clauses []clause) []condition {
	var out []condition
	for _, c := range clauses {
		same := func(x condition) bool {
			return c.table() != "" && x.clauses[0].table() == c.table() && x.clauses[0].key == c.key
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].clauses = append(out[i].clauses, c)
			continue
		}
		out = append(out, condition{clauses: []clause{c}, matches: -1})
	}
	return out
}

// parseRunSearch reads the filter and the order of a search.
func parseRunSearch(experiments []int64, view viewType, filter string, orderBy []string) (runSearch, error) {
	words := runVocabulary()
	clauses, err := parseFilter(filter, words)
	if err != nil {
		return runSearch{}, err
	}
	search := runSearch{experiments: experiments, view: view, conditions: conditionsOf(clauses)}
	orderable := []string{"Created", "artifact_uri", "created", "end_time", "run_id", "run_name", "start_time", "status", "user_id"}
	for _, s := range orderBy {
		o, err := parseOrder(s, words, orderable)
		if err != nil {
			return search, err
		}
		if slices.ContainsFunc(search.order, func(x order) bool { return x.entity == o.entity && x.key == o.key }) {
			return search, refuse(wire.InternalError, "`order_by` contains duplicate fields: %v", orderBy)
		}
		if o.entity == entityDataset {
			return search, invalid("Invalid identifier type '%s'", o.entity)
		}
		search.order = append(search.order, o)
	}
	return search, nil
}

// rows appends the condition on row x of the table of a keyed condition.
func (q *query) rows(c condition) {
	q.add(`x."key" = ?`, c.clauses[0].key)
	if c.short() {
		q.add(" AND " + shortTag) // the index holds only these
	}
	for _, cl := range c.clauses {
		q.add(" AND ")
		if cl.entity != entityMetric {
			q.compare("x.value", cl)
			continue
		}
		// NaN is stored as 0: it satisfies != and nothing else.
		if cl.op == "!=" {
			q.add("(x.is_nan OR ")
		} else {
			q.add("(NOT x.is_nan AND ")
		}
		q.compare("x.value", cl)
		q.add(")")
	}
}

// short tells that a tag must be equal to a short value.
func (c condition) short() bool {
	return c.clauses[0].table() == "tags" && slices.ContainsFunc(c.clauses, func(cl clause) bool {
		return cl.op == "=" && len(cl.value.text) <= shortTagLength
	})
}

// holds appends a condition on the run whose id is in column run; r is its row
// in runs.
func (q *query) holds(c condition, run string) {
	one := c.clauses[0]
	if table := one.table(); table != "" {
		q.add("EXISTS (SELECT 1 FROM " + table + " x WHERE x.run_uuid = " + run + " AND ")
		q.rows(c)
		q.add(")")
		return
	}
	switch {
	case strings.HasPrefix(one.op, "IS "):
		not := "NOT "
		if one.op == "IS NOT NULL" {
			not = ""
		}
		q.add(not+"EXISTS (SELECT 1 FROM "+tableOf(one.entity)+" x WHERE x.run_uuid = "+run+` AND x."key" = ?)`, one.key)
	case one.entity == entityDataset:
		q.add("EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id")
		column := "d." + one.key
		if one.key == "context" {
			q.add(" JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = ?", wire.TagDataContext)
			column = "t.value"
		}
		q.add(" WHERE i.destination_id = " + run + " AND ")
		q.compare(column, one)
		q.add(")")
	case attributeColumn(one.key) == "r.name":
		// A real server compares the tag. The column has the same name and is
		// faster, but runs of old MLflow have none there.
		const tag = `EXISTS (SELECT 1 FROM tags x WHERE x.run_uuid = r.run_uuid AND x."key" = ?`
		q.add("CASE WHEN coalesce(r.name, '') = '' THEN "+tag+" AND ", wire.TagRunName)
		q.compare("x.value", one)
		q.add(") ELSE ")
		q.compare("r.name", one)
		q.add(" AND "+tag+") END", wire.TagRunName)
	default:
		q.compare(attributeColumn(one.key), one)
	}
}

// plan is a way to find the runs: where to begin reading. The zero plan reads
// the runs themselves, newest first where that is the order asked for.
type plan struct {
	driver *condition // begin at the rows that fulfil it
	// ranked begins at the metric or parameter that is the first key of the
	// order and reads it in that order from an index. Runs without it are not
	// found: they come last, so a page that is full is the right one.
	ranked bool
	window int // look only at so many newest runs; 0: at all
}

// complete tells whether a page that is not full is the last one.
func (p plan) complete() bool { return !p.ranked && p.window == 0 }

// sql makes the query of the ids of the runs, in order.
func (s runSearch) sql(p plan) query {
	q := query{}
	run := "r.run_uuid"
	switch {
	case p.driver != nil:
		q.add("SELECT r.run_uuid FROM (SELECT x.run_uuid FROM " + p.driver.clauses[0].table() + " x WHERE ")
		q.rows(*p.driver)
		q.add(") d CROSS JOIN runs r ON r.run_uuid = d.run_uuid")
		run = "d.run_uuid"
	case p.ranked:
		q.add("SELECT r.run_uuid FROM "+tableOf(s.order[0].entity)+` o0 CROSS JOIN runs r ON r.run_uuid = o0.run_uuid AND o0."key" = ?`, s.order[0].key)
		if s.order[0].entity == entityMetric {
			q.add(" AND NOT o0.is_nan")
		}
		run = "o0.run_uuid"
	case p.window > 0:
		q.add("SELECT r.run_uuid FROM (SELECT * FROM runs r WHERE ")
		s.scope(&q, "r.experiment_id")
		q.add(" ORDER BY r.start_time DESC, r.run_uuid LIMIT ?) r", p.window)
	default:
		q.add("SELECT r.run_uuid FROM runs r")
	}
	sorting := s.sorting(&q, p)
	q.add(" WHERE ")
	if p.driver != nil || p.ranked {
		s.scope(&q, "+r.experiment_id") // not by the index of runs
	} else {
		s.scope(&q, "r.experiment_id")
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; c != p.driver {
			q.add(" AND ")
			q.holds(*c, run)
		}
	}
	q.add(" ORDER BY " + strings.Join(sorting, ", "))
	return q
}

// scope appends the condition on experiment and life cycle.
func (s runSearch) scope(q *query, experiment string) {
	q.among(experiment, s.experiments)
	q.add(" AND " + s.view.where("r.lifecycle_stage"))
}

// sorting gives the terms of ORDER BY and joins the tables that they need.
func (s runSearch) sorting(q *query, p plan) []string {
	var sorting []string
	for i, o := range s.order {
		column := attributeColumn(o.key)
		last := fmt.Sprintf("(%s IS NULL)", column)
		if table := tableOf(o.entity); table != "" {
			alias := "o" + strconv.Itoa(i)
			column = alias + ".value"
			if p.ranked && i == 0 {
				sorting = append(sorting, column+o.direction())
				continue
			}
			q.add(fmt.Sprintf(` LEFT JOIN %s %s ON %s.run_uuid = r.run_uuid AND %s."key" = ?`, table, alias, alias, alias), o.key)
			last = fmt.Sprintf("(%s IS NULL)", column)
			if o.entity == entityMetric {
				last = fmt.Sprintf("CASE WHEN %s.is_nan THEN 1 WHEN %s IS NULL THEN 2 ELSE 0 END", alias, column)
			}
		}
		if column != "r.start_time" || !o.descending && !s.started { // a missing time is the smallest
			sorting = append(sorting, last)
		}
		sorting = append(sorting, column+o.direction())
	}
	if !s.byTime() {
		sorting = append(sorting, "r.start_time DESC")
	}
	return append(sorting, "r.run_uuid")
}

// byTime tells whether the order asked for has the start time in it.
func (s runSearch) byTime() bool {
	return slices.ContainsFunc(s.order, func(o order) bool { return o.entity == entityAttribute && attributeColumn(o.key) == "r.start_time" })
}

// newestFirst tells whether the order is that of ctrx_runs_by_time.
func (s runSearch) newestFirst() bool {
	return len(s.order) == 0 || s.order[0].entity == entityAttribute && attributeColumn(s.order[0].key) == "r.start_time" && s.order[0].descending
}
