package server

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"ctrx/tracking/wire"
)

// filterAnswer is what a real MLflow makes of a filter: see testdata/filters.py.
type filterAnswer struct {
	Filter string  `json:"filter"`
	Runs   *string `json:"runs"`
	Error  string  `json:"error"`
	Crash  string  `json:"crash"` // of MLflow itself, which answers 500
}

// Filters find what they find in a real MLflow, or are refused with its words.
func TestFilterLikeMLflow(t *testing.T) {
	f := newFixture(t)
	makeFilterRuns(t, f)
	var all []filterAnswer
	readLines(t, "testdata/filters-3.17.2.jsonl", &all)
	if len(all) < 300 {
		t.Fatalf("%d filters", len(all))
	}
	for _, want := range all {
		status, answer := f.request(t, "POST", api+"runs/search", m{"experiment_ids": []string{"0"}, "filter": want.Filter})
		var out struct {
			Runs    []wire.Run
			Message string
		}
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatalf("%q: %d %s", want.Filter, status, answer)
		}
		var names []string
		for _, r := range out.Runs {
			names = append(names, r.Info.RunName)
		}
		got := strings.Join(names, " ")
		if outcome := differsOnPurpose()[want.Filter]; outcome != 0 {
			if status != outcome {
				t.Errorf("%q: %d %s, want %d", want.Filter, status, answer, outcome)
			}
			continue
		}
		switch {
		case want.Crash != "":
			if status != 400 && status != 200 {
				t.Errorf("%q: %d %s", want.Filter, status, answer)
			}
		case want.Runs != nil:
			if status != 200 || got != *want.Runs {
				t.Errorf("%q finds %q in MLflow, here %d %q %s", want.Filter, *want.Runs, status, got, out.Message)
			}
		case status != 400:
			t.Errorf("%q is refused by MLflow with %s, here %d %q", want.Filter, want.Error, status, got)
		case !slices.Contains(otherWords(), want.Filter) && words(out.Message) != words(want.Error):
			t.Errorf("%q: MLflow says %s\nctrx says %s", want.Filter, want.Error, out.Message)
		}
	}
}

// words makes messages equal that differ in the order of a Python set, or in
// the quote after it, which MLflow sometimes forgets.
func words(message string) any {
	if before, ok := strings.CutSuffix(message, "'}"); ok {
		message = before + "'}'"
	}
	return normal(message, nil)
}

func makeFilterRuns(t *testing.T, f fixture) {
	t.Helper()
	params := map[string]m{"a": {"lr": "0.1", "a b": "x", "empty": "", "q": "it's"}, "b": {"lr": "0.2", "big": "LoNg 100%_x"}}
	metrics := map[string]map[string]float64{"a": {"auc": 0.7, "my-m/x": -1e-3, "n n": 5}, "b": {"auc": 0.8, "zero": 0}, "c": {"auc": math.NaN()}}
	tags := map[string]m{"a": {"team": "Red", "mlflow.user": "Me"}, "b": {"team": "blue", "x.y": "1"}, "c": {"only": "c"}}
	for i, name := range []string{"a", "b", "c"} {
		var out runAnswer
		f.post(t, "runs/create", m{"experiment_id": "0", "start_time": 1000 + i, "run_name": name, "user_id": "me"}, &out)
		id := out.Run.Info.RunID
		body := m{"run_id": id}
		list := func(kind string, pairs m) {
			var items []m
			for k, v := range pairs {
				items = append(items, m{"key": k, "value": v})
			}
			body[kind] = items
		}
		list("params", params[name])
		list("tags", tags[name])
		var points []m
		for k, v := range metrics[name] {
			points = append(points, m{"key": k, "value": wire.Float(v), "timestamp": 1})
		}
		body["metrics"] = points
		f.post(t, "runs/log-batch", body, nil)
		if name == "b" {
			f.post(t, "runs/update", m{"run_id": id, "status": "FINISHED", "end_time": 5000}, nil)
		}
		if name == "a" {
			f.post(t, "runs/log-inputs", m{"run_id": id, "datasets": []m{{"tags": []m{{"key": "mlflow.data.context", "value": "training"}},
				"dataset": m{"name": "ds", "digest": "d1", "source_type": "l", "source": "s"}}}}, nil)
		}
	}
}

// differsOnPurpose are filters that MLflow reads by accidents of Python and of
// its SQL parser, and two whose answer depends on the random ids of the runs,
// with the status that they have here.
func differsOnPurpose() map[string]int {
	return map[string]int{
		"attr.run_id ILIKE '%e%'":           200,
		"artifact_uri LIKE '%e%'":           200,
		"run_id IN ('a' 'b')":               400, // one string in Python
		`params.q = 'it\'s'`:                400, // MLflow keeps the backslash in the value
		"params. lr = '0.1'":                400, // a key that begins with a space
		"start_time > 99999999999999999999": 200, // MLflow fails in SQLite
	}
}

// otherWords are filters whose refusal has other words here: MLflow's tell how
// its SQL parser has cut them.
func otherWords() []string {
	return []string{
		"attr.run_id LIKE ()", "attributes.end_time ILIKE -1", "created NOT LIKE 1e-3", "datasets.digest != ()", "dataset.context LIKE ('a', 'b')", "metrics.auc > 1e",
		"run_id IN (a)", "run_id IN ('a'", "params.lr = '0.1", "params.lr = 0.1'", "params.`lr = '0.1'", "params.`a b = 'x'", "params.a b = 'x'", "/* x */ params.lr = '0.1'",
		"params.lr = '0.1' -- x", "params.lr = '0.1' # x", "params .lr = '0.1'", "params.lr = '0.1', params.lr = '0.2'",
	}
}
