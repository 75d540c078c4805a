package server

import (
	"fmt"
	"strings"
	"testing"

	"ctrx/tracking/wire"
)

func TestFilter(t *testing.T) {
	f := newFixture(t)
	ids := map[string]string{}
	for i, name := range []string{"a", "b", "c"} {
		var out runAnswer
		f.post(t, "runs/create", m{"experiment_id": "0", "start_time": 1000 + i, "run_name": "via-" + name, "user_id": "me"}, &out)
		ids[name] = out.Run.Info.RunID
	}
	f.post(t, "runs/log-batch", m{"run_id": ids["a"], "params": []m{{"key": "a b", "value": "x"}, {"key": "lr", "value": "0.1"}},
		"metrics": []m{{"key": "auc", "value": 0.7, "timestamp": 1}, {"key": "my-m/x", "value": -1e-3, "timestamp": 1}}, "tags": []m{{"key": "mlflow.user", "value": "Me"}}}, nil)
	f.post(t, "runs/log-batch", m{"run_id": ids["b"], "params": []m{{"key": "lr", "value": "0.2"}}, "metrics": []m{{"key": "auc", "value": 0.8, "timestamp": 1}}}, nil)
	f.post(t, "runs/log-batch", m{"run_id": ids["c"], "metrics": []m{{"key": "auc", "value": "NaN", "timestamp": 1}}}, nil)
	f.post(t, "runs/update", m{"run_id": ids["b"], "status": "FINISHED", "end_time": 5000}, nil)
	f.post(t, "runs/log-inputs", m{"run_id": ids["a"], "datasets": []m{{"tags": []m{{"key": "mlflow.data.context", "value": "training"}},
		"dataset": m{"name": "ds", "digest": "d1", "source_type": "l", "source": "s"}}}}, nil)
	for _, c := range []struct{ filter, want string }{ // want: run names in order of start, newest first; or the start of the message
		{"", "c b a"},
		{"params.`a b` = 'x'", "a"},
		{`params."a b" = "x"`, "a"},
		{"parameter.lr != '0.1'", "b"},
		{"metrics.auc > 0.1", "b a"},
		{"metrics.auc > 0.1 and params.lr = '0.1'", "a"},
		{"metrics.auc >= .8", "b"},
		{"metric.auc<8e-1", "a"},
		{"metrics.auc != 0.7", "c b"},
		{"metrics.auc = 0", ""},
		{"metrics.`my-m/x` < 0 AND metrics.`my-m/x` >= -0.001", "a"},
		{"tags.`mlflow.user` ILIKE 'mE'", "a"},
		{"tags.mlflow.user LIKE 'mE'", ""},
		{"attributes.status = 'FINISHED'", "b"},
		{"status != 'FINISHED' AND run_name LIKE 'via%'", "c a"},
		{"attribute.`run name` = 'via-a'", "a"},
		{"attributes.start_time > 1000", "c b"},
		{"created <= 1001", "b a"},
		{"end_time > 0", "b"},
		{"user_id = 'me'", "c b a"},
		{"run_id IN ('" + ids["a"] + "', '" + ids["c"] + "')", "c a"},
		{"run_id NOT IN ('" + ids["a"] + "')", "c b"},
		{"params.lr IS NULL", "c"},
		{"params.lr is not null", "b a"},
		{"dataset.name = 'ds'", "a"},
		{"datasets.digest IN ('d1', 'd2') AND dataset.context = 'training'", "a"},
		{"params.lr = '0.1' and and metrics.auc > 0", "a"},
		{"params.lr = 'it''s'", ""},
		{"metrics.auc > 0.1 or metrics.auc > 9", "! Invalid clause(s) in filter string: 'or'"},
		{"bogus", "! Invalid clause(s) in filter string: 'bogus'"},
		{"params.a < 'x'", "! Invalid comparator '<' not one of"},
		{"metrics.auc LIKE '1'", "! Expected numeric value type for metric. Found '1'"},
		{"metrics.auc > 'x'", "! Expected numeric value type for metric. Found 'x'"},
		{"params.lr = 0.1", "! Expected a quoted string value for parameter (e.g. 'my-value'). Got value 0.1"},
		{"start_time > 'x'", "! Expected numeric value type for numeric attribute: start_time. Found 'x'"},
		{"experiment_id = '3'", "! Invalid attribute key 'experiment_id' specified."},
		{"foo.bar = 'x'", "! Invalid entity type 'foo'."},
		{"dataset.size = 'x'", "! Invalid dataset key 'size' specified."},
		{"run_id IN ()", "! While parsing a list in the query"},
		{"run_id IN (1)", "! While parsing a list in the query"},
		{"run_id IN ('a'", "! While parsing a list in the query"},
		{"status IN ('a')", "! Only ['run_id'] attributes support comparison with a list"},
		{"metrics.auc IS NULL", "! IS NULL / IS NOT NULL is only supported for tags and params"},
		{"params.a NOT LIKE 'x'", "! Invalid comparator 'NOT LIKE' not one of"},
		{"params.a =", "! Invalid clause(s) in filter string: 'params.a', '='"},
		{"metrics.my-m/x > 1", "! Invalid comparison clause. Expected 'Identifier' found 'metrics.my-m/x'"},
		{"params.a = 'x", "! "},
		{"params.a = 'x'; DROP TABLE runs", "! Invalid clause(s) in filter string: ';', 'DROP', 'TABLE', 'runs'"},
	} {
		got := searchNames(t, f, m{"experiment_ids": []string{"0"}, "filter": c.filter})
		if want, refused := strings.CutPrefix(c.want, "! "); refused {
			if !strings.HasPrefix(got, "! "+want) {
				t.Errorf("%s: got %s, want a refusal with %s", c.filter, got, want)
			}
		} else if got != c.want {
			t.Errorf("%s: got %q, want %q", c.filter, got, c.want)
		}
	}
}

// searchNames gives the names found, without their prefix, or "! message".
func searchNames(t *testing.T, f fixture, body m) string {
	t.Helper()
	status, answer := f.request(t, "POST", api+"runs/search", body)
	if status == 400 {
		var e wire.Error
		f.decode(t, "", 200, answer, &e)
		return "! " + e.Message
	}
	var out struct{ Runs []wire.Run }
	f.decode(t, fmt.Sprint(body), status, answer, &out)
	var names []string
	for _, r := range out.Runs {
		names = append(names, strings.TrimPrefix(r.Info.RunName, "via-"))
	}
	return strings.Join(names, " ")
}

func TestOrderAndPages(t *testing.T) {
	f := newFixture(t)
	for i, v := range []any{2, "NaN", nil, 1, 3} {
		var out runAnswer
		f.post(t, "runs/create", m{"experiment_id": "0", "start_time": i, "run_name": fmt.Sprint(i)}, &out)
		if v != nil {
			f.post(t, "runs/log-metric", m{"run_id": out.Run.Info.RunID, "key": "x y", "value": v, "timestamp": 1}, nil)
		}
	}
	for _, c := range []struct {
		orderBy []string
		want    string
	}{
		{nil, "4 3 2 1 0"},
		{[]string{"metrics.`x y` ASC"}, "3 0 4 1 2"},
		{[]string{"metrics.`x y` DESC"}, "4 0 3 1 2"},
		{[]string{"metrics.`x y`"}, "3 0 4 1 2"},
		{[]string{"start_time asc"}, "0 1 2 3 4"},
		{[]string{"attributes.run_name DESC", "created"}, "4 3 2 1 0"},
		{[]string{"tags.`mlflow.runName` ASC"}, "0 1 2 3 4"},
		{[]string{"start_time", "created DESC"}, "0 1 2 3 4"},
		{[]string{"start_time sideways"}, "! Invalid ordering key in order_by clause 'start_time sideways'."},
		{[]string{"a b c"}, "! Invalid order_by clause 'a b c'. Could not be parsed."},
		{[]string{""}, "! Invalid order_by clause ''. Could not be parsed."},
	} {
		if got := searchNames(t, f, m{"experiment_ids": []string{"0"}, "order_by": c.orderBy}); got != c.want {
			t.Errorf("order by %v: %s, want %s", c.orderBy, got, c.want)
		}
	}
	var all []string
	token := ""
	for {
		var out struct {
			Runs []wire.Run
			Next string `json:"next_page_token"`
		}
		f.post(t, "runs/search", m{"experiment_ids": []string{"0"}, "max_results": 2, "page_token": token}, &out)
		for _, r := range out.Runs {
			all = append(all, r.Info.RunName)
		}
		if token = out.Next; token == "" {
			break
		}
	}
	if strings.Join(all, " ") != "4 3 2 1 0" {
		t.Errorf("pages gave %v", all)
	}
}

// Whatever the filter, the parser neither panics nor hangs, and what it accepts
// is SQL that SQLite accepts.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"params.`a b` = 'x'", "metrics.lat > 0.1 AND tags.t IS NOT NULL", `attributes.status != "F"`, "run_id NOT IN ('a', 'b',)",
		"dataset.context ILIKE '%a_'", "`metrics`.\"x\" <= -1e9", "x", "''", "params.a = '", "metrics.a = 1e999", "params.`", "IN ( IS NULL", "a.b.c = 'd'", "=\x00'",
	} {
		f.Add(s)
	}
	db, err := openDB("", 1, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	if _, err := db.Exec(schemaSQL); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		if len(filter) > 300 { // SQLite limits the depth of an expression
			return
		}
		total := 0
		for _, tok := range lex(filter) {
			if tok.text == "" {
				t.Fatalf("empty token in %q", filter)
			}
			total += len(tok.text)
		}
		if total > len(filter) {
			t.Fatalf("tokens are longer than %q", filter)
		}
		search, err := parseRunSearch([]int64{0}, "ALL", filter, nil)
		if err == nil {
			plans := []plan{{}, {window: 7}}
			for i := range search.conditions {
				if search.conditions[i].clauses[0].table() != "" {
					plans = append(plans, plan{driver: &search.conditions[i]})
				}
			}
			for _, p := range plans {
				q := search.sql(p)
				if _, err := db.ExecContext(t.Context(), q.text, q.args...); err != nil {
					t.Errorf("%q made %s: %v", filter, q.text, err)
				}
			}
		}
		if q, err := experimentSQL(experimentQuery{Filter: text{value: filter}}); err == nil {
			if _, err := db.ExecContext(t.Context(), q.text, q.args...); err != nil {
				t.Errorf("%q made %s: %v", filter, q.text, err)
			}
		}
		if search, err := parseRunSearch([]int64{0}, "ALL", "", []string{filter}); err == nil {
			q := search.sql(plan{ranked: tableOf(search.order[0].entity) != ""})
			if _, err := db.ExecContext(t.Context(), q.text, q.args...); err != nil {
				t.Errorf("order by %q made %s: %v", filter, q.text, err)
			}
		}
	})
}

// A filter that SQLite cannot take is refused, so that nobody sends it again.
func TestFilterTooLong(t *testing.T) {
	f := newFixture(t)
	f.newRun(t)
	search := func(comparisons, listed int) (int, string) {
		parts := []string{"run_id IN (" + strings.Repeat("'x', ", listed-1) + "'x')"}
		for range comparisons - 1 {
			parts = append(parts, "params.`a` != '1'")
		}
		return f.request(t, "POST", api+"runs/search", m{"experiment_ids": []string{"0"}, "filter": strings.Join(parts, " AND ")})
	}
	if status, answer := search(maxComparisons, maxListed); status != 200 {
		t.Errorf("as long as it may be: %d %.200s", status, answer)
	}
	for _, size := range [][2]int{{maxComparisons + 1, 1}, {1, maxListed + 1}} {
		if status, answer := search(size[0], size[1]); status != 400 || !strings.Contains(answer, "The filter is too long") {
			t.Errorf("%d comparisons, %d values: %d %.200s", size[0], size[1], status, answer)
		}
	}
}

// A filter that is no text is refused, and not taken for none.
func TestFilterOfAnotherType(t *testing.T) {
	f := newFixture(t)
	for path, body := range map[string]m{
		api + "runs/search":        {"experiment_ids": []string{"0"}},
		api + "experiments/search": {"max_results": 1},
		traces + "/search":         {},
	} {
		for field, text := range map[string]string{"filter": "Invalid value 5 for parameter 'filter' supplied:  Hint: Value was of type 'int'", "page_token": "'page_token'"} {
			with := m{field: 5}
			for k, v := range body {
				with[k] = v
			}
			if status, answer := f.request(t, "POST", path, with); status != 400 || !strings.Contains(answer, text) {
				t.Errorf("%s %v: %d %s", path, with, status, answer)
			}
		}
	}
}

// More experiments than SQLite takes arguments are searched, as with a real server.
func TestSearchManyExperiments(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	ids, places := make([]string, 40000), make([]m, 40000)
	for i := range ids {
		ids[i] = fmt.Sprint(len(ids) - 1 - i)
		places[i] = m{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": m{"experiment_id": ids[i]}}
	}
	var out struct{ Runs []wire.Run }
	for _, filter := range []string{"", "params.p = '1'"} {
		f.post(t, "runs/search", m{"experiment_ids": ids, "filter": filter}, &out)
		if found := len(out.Runs) == 1 && out.Runs[0].Info.RunID == id; found != (filter == "") {
			t.Errorf("filter %q found %v", filter, out.Runs)
		}
		out.Runs = nil
	}
	f.post(t, "logged-models/search", m{"experiment_ids": ids}, nil)
	if status, answer := f.request(t, "POST", traces+"/search", m{"locations": places}); status != 200 {
		t.Errorf("traces: %d %.200s", status, answer)
	}
}
