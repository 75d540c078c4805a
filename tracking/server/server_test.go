package server

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ctrx/tracking/wire"
)

// fixture is a server on a fresh folder.
type fixture struct {
	*Server
	dir string
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	dir := t.TempDir()
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return fixture{s, dir}
}

// request sends a request with a JSON body, which may be nil, a string or a
// value to encode.
func (f fixture) request(t testing.TB, method, target string, body any) (int, string) {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r = strings.NewReader(string(data))
	}
	req := httptest.NewRequest(method, "http://localhost"+target, r)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

const api = "/api/2.0/mlflow/"

type m = map[string]any

// post sends a call that must succeed and decodes the answer.
func (f fixture) post(t testing.TB, call string, body any, out any) {
	t.Helper()
	status, answer := f.request(t, "POST", api+call, body)
	f.decode(t, call, status, answer, out)
}

func (f fixture) get(t testing.TB, call string, out any) {
	t.Helper()
	status, answer := f.request(t, "GET", api+call, nil)
	f.decode(t, call, status, answer, out)
}

func (f fixture) decode(t testing.TB, call string, status int, answer string, out any) {
	t.Helper()
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", call, status, answer)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), out); err != nil {
		t.Fatalf("%s: %v in %s", call, err, answer)
	}
}

func (f fixture) newRun(t testing.TB) string {
	t.Helper()
	var out runAnswer
	f.post(t, "runs/create", m{"experiment_id": "0", "start_time": 5, "run_name": "one"}, &out)
	return out.Run.Info.RunID
}

func (f fixture) run(t testing.TB, id string) wire.Run {
	t.Helper()
	var out runAnswer
	f.get(t, "runs/get?run_id="+id, &out)
	return out.Run
}

// The statuses and texts are the answers of a real MLflow 3.17.2.
func TestRefusals(t *testing.T) {
	f := newFixture(t)
	run := f.newRun(t)
	f.post(t, "runs/log-parameter", m{"run_id": run, "key": "a b", "value": "x"}, nil)
	f.post(t, "experiments/create", m{"name": "taken"}, nil)
	points := func(n int) (out []m) {
		for i := range n {
			out = append(out, m{"key": "a", "value": 1, "timestamp": i, "step": i})
		}
		return out
	}
	pairs := func(n int) (out []m) {
		for i := range n {
			out = append(out, m{"key": fmt.Sprint("k", i), "value": "1"})
		}
		return out
	}
	param := func(key string) m { return m{"run_id": run, "key": key, "value": "x"} }
	const code400, code404 = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
	for _, c := range []struct {
		call   string
		body   any // nil: GET
		status int
		code   string
		text   string
	}{
		{"experiments/create", m{"name": "taken"}, 400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=taken) already exists."},
		{"experiments/create", m{}, 400, code400, "Missing value for required parameter 'name'. See the API docs for more information about request parameters."},
		{"experiments/create", m{"name": strings.Repeat("x", 501)}, 400, code400, "'name' exceeds the maximum length of 500 characters"},
		{"experiments/create", m{"name": 7}, 400, code400, "Invalid value 7 for parameter 'name' supplied:  Hint: Value was of type 'int'."},
		{"experiments/create", m{"name": "x", "artifact_location": "/etc"}, 400, code400, "no artifact root on its own disk"},
		{"experiments/create", m{"name": "x", "artifact_location": "file:///etc"}, 400, code400, "no artifact root on its own disk"},
		{"experiments/get-by-name?experiment_name=nope", nil, 404, code404, "Could not find experiment with name 'nope'"},
		{"experiments/get?experiment_id=99999", nil, 404, code404, "No Experiment with id=99999 exists"},
		{"experiments/get?experiment_id=x", nil, 400, code400, "Invalid experiment ID 'x'."},
		{"experiments/get", nil, 400, code400, "Missing value for required parameter 'experiment_id'."},
		{"runs/create", m{"experiment_id": "98989"}, 404, code404, "No Experiment with id=98989 exists"},
		{"runs/create", m{"experiment_id": "0", "run_name": "a", "tags": []m{{"key": "mlflow.runName", "value": "b"}}}, 400, code400,
			"Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='a', mlflow.runName='b')."},
		{"runs/get?run_id=00", nil, 404, code404, "Run with id=00 not found"},
		{"runs/log-batch", m{"run_id": run, "metrics": points(1001)}, 400, code400, "at most 1000 metrics. Got 1001 metrics. Please split up metrics"},
		{"runs/log-batch", m{"run_id": run, "params": pairs(101)}, 400, code400, "at most 100 params. Got 101 params."},
		{"runs/log-batch", m{"run_id": run, "tags": pairs(101)}, 400, code400, "at most 100 tags. Got 101 tags."},
		{"runs/log-batch", m{"run_id": run, "metrics": points(1000), "params": pairs(100)}, 400, code400, "at most 1000 metrics, params, and tags. Got 1100"},
		{"runs/log-batch", m{"run_id": run, "params": []m{{"key": "dd", "value": "1"}, {"key": "dd", "value": "2"}}}, 400, code400, "Duplicate parameter keys have been submitted: ['dd']."},
		{"runs/log-batch", m{"run_id": run, "params": []m{{"key": "a b", "value": "z"}}}, 400, code400, "Changing param values is not allowed. Params were already logged='[{'key': 'a b', 'old_value': 'x', 'new_value': 'z'}]'"},
		{"runs/log-batch", m{"run_id": run, "metrics": []m{{"key": "a", "value": 1}}}, 400, code400, "Missing value for required parameter 'metrics[0].timestamp'"},
		{"runs/log-batch", m{"run_id": run, "metrics": []m{{"key": "a", "value": 1, "timestamp": -1}}}, 400, code400, "Timestamp must be a nonnegative long"},
		{"runs/log-parameter", param(strings.Repeat("k", 251)), 400, code400, "'Param key' exceeds the maximum length of 250 characters"},
		{"runs/log-parameter", param("a!b"), 400, code400, `Invalid value "a!b" for parameter 'key' supplied: Names may only contain alphanumerics, unders`},
		{"runs/log-parameter", param(`a\b`), 400, code400, `Invalid value "a\\b" for parameter 'key' supplied: Names may only contain`},
		{"runs/log-parameter", param("a/../b"), 400, code400, `Invalid value "a/../b" for parameter 'key' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to 'b'`},
		{"runs/log-parameter", param(""), 400, code400, "Missing value for required parameter 'key'."},
		{"runs/log-parameter", m{"run_id": run, "key": "a b", "value": "y"}, 400, code400, "Param with key='a b' was already logged with value='x' for run ID='" + run + "'. Attempted logging new value 'y'."},
		{"runs/log-metric", m{"run_id": run, "key": "m", "value": "abc", "timestamp": 1}, 400, code400, `Invalid value "abc" for parameter 'value' supplied:  Hint: Value was of type 'str'.`},
		// Here a real server answers 200 and stores 0.
		{"runs/log-batch", m{"run_id": run, "metrics": []m{{"key": "m", "value": "abc", "timestamp": 1}}}, 400, code400, `Invalid value "abc" for parameter 'metrics[0].value' supplied:`},
		{"runs/log-metric", m{"run_id": run, "key": "m", "value": nil, "timestamp": 1}, 400, code400, "Missing value for required parameter 'value'."},
		{"runs/log-metric", m{"run_id": run, "key": "m", "value": 1}, 400, code400, "Missing value for required parameter 'timestamp'."},
		{"runs/delete-tag", m{"run_id": run, "key": "nope"}, 404, code404, "No tag with name: nope in run with id " + run},
		{"runs/log-inputs", m{"run_id": run, "datasets": []m{{"dataset": m{"name": "d", "digest": strings.Repeat("a", 37), "source_type": "l", "source": "s"}}}}, 400, code400, "'digest' exceeds the maximum length of 36 characters"},
		{"runs/search", m{"experiment_ids": []string{"0"}, "max_results": 50001}, 400, code400, "Invalid value 50001 for parameter 'max_results' supplied:"},
		{"runs/search", m{"experiment_ids": []string{"0"}, "order_by": []string{"bogus DESC"}}, 400, code400, "Invalid attribute key 'bogus' specified."},
		{"runs/search", m{"experiment_ids": []string{"0"}, "page_token": "!"}, 400, code400, "Invalid page token"},
		{"metrics/get-history?run_id=" + run + "&metric_key=m&max_results=0", nil, 400, code400, "It must be a positive integer."},
		{"runs/create", "{bad", 400, "BAD_REQUEST", "not the JSON object"},
		{"runs/create", "[1]", 400, "BAD_REQUEST", "not the JSON object"},
	} {
		method := "POST"
		if c.body == nil {
			method = "GET"
		}
		status, answer := f.request(t, method, api+c.call, c.body)
		var e wire.Error
		if err := json.Unmarshal([]byte(answer), &e); err != nil {
			t.Errorf("%s: %v in %s", c.call, err, answer)
		}
		if status != c.status || e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s %v:\n got %d %s %s\nwant %d %s %s", c.call, c.body, status, e.Code, e.Message, c.status, c.code, c.text)
		}
	}
}

// Paths and methods that no call has: a page below /api/, as a real server
// sends it, and JSON for the interface.
func TestNoSuchCall(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"POST", "/api/2.0/mlflow/runs/nope", 404, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found"},
		{"GET", "/api/2.0/mlflow/runs/create", 405, "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n<p>The method is not allowed for the requested URL.</p>\n"},
		{"POST", "/ajax-api/2.0/mlflow/runs/nope", 404, `"No API found for 'POST /ajax-api/2.0/mlflow/runs/nope'"`},
		{"GET", "/ajax-api/2.0/mlflow/runs/create", 405, `"error_code":"ENDPOINT_NOT_FOUND"`},
		{"GET", "/nope", 404, `"error_code":"ENDPOINT_NOT_FOUND"`},
	} {
		if status, answer := f.request(t, c.method, c.path, m{}); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, answer)
		}
	}
}

func TestContentType(t *testing.T) {
	f := newFixture(t)
	for header, text := range map[string]string{
		"":                                "Content-Type header is missing.",
		"text/plain":                      "Content-Type must be one of ['application/json'].",
		"application/json; charset=utf-8": "",
	} {
		req := httptest.NewRequest("POST", "http://localhost"+api+"runs/create", strings.NewReader(`{"experiment_id": "0"}`))
		if header != "" {
			req.Header.Set("Content-Type", header)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, req)
		if ok := text == ""; ok != (w.Code == 200) || !strings.Contains(w.Body.String(), text) {
			t.Errorf("Content-Type %q: %d %s", header, w.Code, w.Body)
		}
	}
}

// What a real server takes and loses in a log-batch is refused or kept, but for a
// bare NaN.
func TestBatchOfWrongTypes(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	send := func(call, fields string) (int, string) {
		req := httptest.NewRequest("POST", api+"runs/"+call, strings.NewReader(fmt.Sprintf(`{"run_id": %q, %s}`, id, fields)))
		req.Host = "localhost"
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		call, fields string
		status       int
		text         string
	}{
		{"log-batch", `"metrics": [{"key": "a", "value": "abc", "timestamp": 5}, {"key": "b", "value": 1, "timestamp": 5}]`, 400, `Invalid value \"abc\" for parameter 'metrics[0].value'`},
		{"log-batch", `"metrics": [{"key": "a", "value": 1, "timestamp": "abc"}]`, 400, "'metrics[0].timestamp'"},
		{"log-batch", `"metrics": [{"key": "a", "value": 1, "timestamp": NaN}]`, 400, "Invalid value NaN for parameter 'metrics[0].timestamp' supplied:  Hint: Value was of type 'float'"},
		{"log-batch", `"metrics": [{"key": NaN, "value": 1, "timestamp": 1}]`, 400, "Invalid value NaN for parameter 'metrics[0].key'"},
		{"log-batch", `"metrics": "x"`, 400, `Invalid value \"x\" for parameter 'metrics' supplied:  Hint: Value was of type 'str'`},
		{"log-batch", `"metrics": [{"key": "nan", "value": NaN, "timestamp": 5, "step": 3}, {"key": "inf", "value": -Infinity, "timestamp": 5, "step": 3}, {"key": "after", "value": true, "timestamp": 5}]`, 200, "{}"},
		{"log-metric", `"key": "one", "value": NaN, "timestamp": 5, "step": 3`, 200, "{}"},
		{"log-parameter", `"key": "p", "value": NaN`, 400, "Invalid value NaN for parameter 'value' supplied:  Hint: Value was of type 'float'"},
		{"set-tag", `"key": "p", "value": Infinity`, 400, "Invalid value Infinity for parameter 'value'"},
		{"log-batch", `"params": [{"key": "n", "value": 5}, {"key": "nan", "value": NaN}, {"key": "text", "value": "NaN"}, {"key": "none", "value": null}], "tags": [{"key": "b", "value": true}]`, 200, "{}"},
	} {
		if status, answer := send(c.call, c.fields); status != c.status || !strings.Contains(answer, c.text) {
			t.Errorf("%s %s: %d %s, want %d %s", c.call, c.fields, status, answer, c.status, c.text)
		}
	}
	data := f.run(t, id).Data
	var got []string
	for _, m := range data.Metrics {
		got = append(got, fmt.Sprint(m.Key, "=", float64(m.Value), "@", m.Step))
	}
	for _, p := range data.Params {
		got = append(got, p.Key+"="+p.Value)
	}
	for _, tag := range data.Tags {
		if tag.Key == "b" {
			got = append(got, "tag="+tag.Value)
		}
	}
	slices.Sort(got)
	if want := "after=1@0 inf=0@0 n=5 nan=0@0 nan=NaN none= one=0@0 tag=true text=NaN"; strings.Join(got, " ") != want {
		t.Errorf("stored %s\nwant   %s", strings.Join(got, " "), want)
	}
}

func TestRunLife(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	f.post(t, "runs/log-batch", m{"run_id": id,
		"metrics": []m{{"key": "auc", "value": 0.5, "timestamp": 100, "step": 5}, {"key": "auc", "value": 0.3, "timestamp": 200, "step": 3},
			{"key": "auc", "value": 0.9, "timestamp": 90, "step": 5}, {"key": "auc", "value": 0.7, "timestamp": 100, "step": 5}, {"key": "nan", "value": "NaN", "timestamp": 1}},
		"params": []m{{"key": "lr", "value": "0.1"}, {"key": "long", "value": strings.Repeat("ä", 6001)}},
		"tags":   []m{{"key": "team", "value": "ctr"}, {"key": "mlflow.runName", "value": "renamed"}}}, nil)
	f.post(t, "runs/log-metric", m{"run_id": id, "key": "auc", "value": 0.6, "timestamp": 100, "step": 5}, nil)
	f.post(t, "runs/log-metric", m{"run_id": id, "key": "inf", "value": "-Infinity", "timestamp": 1, "step": 1.5}, nil)
	f.post(t, "runs/log-inputs", m{"run_id": id, "datasets": []m{{"tags": []m{{"key": "mlflow.data.context", "value": "training"}},
		"dataset": m{"name": "train", "digest": "abc", "source_type": "local", "source": "{}"}}}}, nil)
	f.post(t, "runs/update", m{"run_id": id, "status": "FINISHED", "end_time": 9}, nil)
	f.post(t, "runs/update", m{"run_id": id, "status": "BOGUS"}, nil)

	run := f.run(t, id)
	i := run.Info
	if i.RunName != "renamed" || i.Status != "FINISHED" || *i.StartTime != 5 || *i.EndTime != 9 || i.ArtifactURI != "mlflow-artifacts:/0/"+id+"/artifacts" {
		t.Errorf("info %+v", i)
	}
	metrics := map[string]wire.Metric{}
	for _, m := range run.Data.Metrics {
		metrics[m.Key] = m
	}
	if m := metrics["auc"]; m.Value != 0.7 || m.Step != 5 || m.Timestamp != 100 {
		t.Errorf("newest auc is %+v, want the greatest (step, timestamp, value)", m)
	}
	if !math.IsNaN(float64(metrics["nan"].Value)) || metrics["inf"].Value != -math.MaxFloat64 || metrics["inf"].Step != 0 {
		t.Errorf("odd values: %+v", metrics)
	}
	params := map[string]string{}
	for _, p := range run.Data.Params {
		params[p.Key] = p.Value
	}
	if params["lr"] != "0.1" || params["long"] != strings.Repeat("ä", 6000) {
		t.Errorf("params: lr %q, long has %d bytes", params["lr"], len(params["long"]))
	}
	if d := run.Inputs.DatasetInputs; len(d) != 1 || d[0].Dataset.Name != "train" || d[0].Tags[0].Value != "training" {
		t.Errorf("inputs %+v", d)
	}

	f.post(t, "runs/delete", m{"run_id": id}, nil)
	if status, answer := f.request(t, "POST", api+"runs/set-tag", m{"run_id": id, "key": "x", "value": "y"}); status != 400 || !strings.Contains(answer, "must be in the 'active' state. Current state is deleted.") {
		t.Errorf("tag on a deleted run: %d %s", status, answer)
	}
	f.post(t, "runs/restore", m{"run_id": id}, nil)
	f.post(t, "runs/delete-tag", m{"run_id": id, "key": "team"}, nil)
	for _, tag := range f.run(t, id).Data.Tags {
		if tag.Key == "team" {
			t.Error("the deleted tag is still there")
		}
	}
}

// A batch is stored whole or not at all, and may be sent twice.
func TestBatchAtomic(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	batch := m{"run_id": id, "params": []m{{"key": "p", "value": "1"}}, "metrics": []m{{"key": "m", "value": 1, "timestamp": 1}}, "tags": []m{{"key": "t", "value": "1"}}}
	f.post(t, "runs/log-batch", batch, nil)
	f.post(t, "runs/log-batch", batch, nil)
	if status, _ := f.request(t, "POST", api+"runs/log-batch", m{"run_id": id, "params": []m{{"key": "q", "value": "1"}, {"key": "p", "value": "2"}},
		"metrics": []m{{"key": "n", "value": 1, "timestamp": 1}}, "tags": []m{{"key": "u", "value": "1"}}}); status != 400 {
		t.Fatalf("changed parameter: status %d", status)
	}
	d := f.run(t, id).Data
	if len(d.Params) != 1 || len(d.Metrics) != 1 || len(d.Tags) != 2 {
		t.Errorf("the refused batch left something: %+v", d)
	}
	var history struct{ Metrics []wire.Metric }
	f.get(t, "metrics/get-history?run_id="+id+"&metric_key=m", &history)
	if len(history.Metrics) != 1 {
		t.Errorf("%d points after the same batch twice", len(history.Metrics))
	}
}

func TestHistoryPages(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	for _, step := range []int{3, 1, 2, 4, 5} {
		f.post(t, "runs/log-metric", m{"run_id": id, "key": "m", "value": step * 10, "timestamp": step, "step": step}, nil)
	}
	var steps []wire.Int
	token := ""
	for pages := 1; ; pages++ {
		var out struct {
			Metrics []wire.Metric
			Next    string `json:"next_page_token"`
		}
		f.get(t, "metrics/get-history?run_id="+id+"&metric_key=m&max_results=2&page_token="+strings.ReplaceAll(token, "=", "%3D"), &out)
		for _, m := range out.Metrics {
			steps = append(steps, m.Step)
		}
		if token = out.Next; token == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
	}
	if fmt.Sprint(steps) != "[1 2 3 4 5]" {
		t.Errorf("steps %v", steps)
	}
}

// Reading must not make files, and an absent store looks like an empty one.
func TestReadingCreatesNothing(t *testing.T) {
	f := newFixture(t)
	var out struct{ Experiments []wire.Experiment }
	f.get(t, "experiments/search", &out)
	if len(out.Experiments) != 1 || out.Experiments[0].Name != "Default" {
		t.Errorf("experiments of an absent store: %+v", out)
	}
	if status, _ := f.request(t, "GET", "/api/2.0/mlflow-artifacts/artifacts?path=x", nil); status != 200 {
		t.Errorf("list artifacts: status %d", status)
	}
	if status, _ := f.request(t, "GET", "/api/2.0/mlflow-artifacts/artifacts/x", nil); status != 404 {
		t.Errorf("get artifact: status %d", status)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("reading made %v, %v", entries, err)
	}
	// The first write is seen by the reader that was opened before it.
	id := f.newRun(t)
	if f.run(t, id).Info.RunName != "one" {
		t.Error("the new run is not seen")
	}
}

func TestExperimentLife(t *testing.T) {
	f := newFixture(t)
	var made struct {
		ID string `json:"experiment_id"`
	}
	f.post(t, "experiments/create", m{"name": "e", "tags": []m{{"key": "k", "value": "v"}}}, &made)
	f.post(t, "experiments/set-experiment-tag", m{"experiment_id": made.ID, "key": "k", "value": "w"}, nil)
	f.post(t, "experiments/update", m{"experiment_id": made.ID, "new_name": "f"}, nil)
	var out experimentAnswer
	f.get(t, "experiments/get-by-name?experiment_name=f", &out)
	if e := out.Experiment; e.ID != made.ID || e.ArtifactLocation != "mlflow-artifacts:/"+made.ID || len(e.Tags) != 1 || e.Tags[0].Value != "w" {
		t.Errorf("experiment %+v", e)
	}
	var run runAnswer
	f.post(t, "runs/create", m{"experiment_id": made.ID}, &run)
	f.post(t, "experiments/delete", m{"experiment_id": made.ID}, nil)
	f.get(t, "experiments/get-by-name?experiment_name=f", &out)
	if out.Experiment.LifecycleStage != "deleted" || f.run(t, run.Run.Info.RunID).Info.LifecycleStage != "deleted" {
		t.Error("a deleted experiment, or its run, is not marked so")
	}
	if status, answer := f.request(t, "POST", api+"runs/create", m{"experiment_id": made.ID}); status != 400 || !strings.Contains(answer, "must be in the 'active' state") {
		t.Errorf("run in a deleted experiment: %d %s", status, answer)
	}
	var list struct{ Experiments []wire.Experiment }
	f.get(t, "experiments/search?view_type=DELETED_ONLY&filter=name+LIKE+%27F%25%27", &list)
	if len(list.Experiments) != 0 {
		t.Error("LIKE must look at the case")
	}
	f.post(t, "experiments/search", m{"view_type": "ALL", "max_results": 10, "filter": "name ILIKE 'F%' AND tags.k = 'w'"}, &list)
	if len(list.Experiments) != 1 {
		t.Errorf("search found %+v", list)
	}
	f.post(t, "experiments/restore", m{"experiment_id": made.ID}, nil)
	if f.run(t, run.Run.Info.RunID).Info.LifecycleStage != "active" {
		t.Error("the run was not restored with its experiment")
	}
}

// Several servers on one file stand for several processes; all begin at once,
// so they also race to create it.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	const servers, runs = 4, 10
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() {
			s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")})
			defer s.Close()
			f := fixture{s, dir}
			for j := range runs {
				status, answer := f.request(t, "POST", api+"runs/create", m{"experiment_id": "0", "run_name": fmt.Sprint(i, "-", j)})
				if status != 200 {
					t.Errorf("create: %d %s", status, answer)
				}
			}
		})
	}
	wg.Wait()
	f := fixture{New(Options{DB: filepath.Join(dir, "mlflow.db")}), dir}
	defer f.Close()
	var out struct{ Runs []wire.Run }
	f.post(t, "runs/search", m{"experiment_ids": []string{"0"}}, &out)
	if len(out.Runs) != servers*runs {
		t.Errorf("%d runs, want %d", len(out.Runs), servers*runs)
	}
}

func BenchmarkOpenAndCreateRun(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		f := fixture{New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")}), dir}
		f.newRun(b)
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogBatch(b *testing.B) {
	f := newFixture(b)
	id := f.newRun(b)
	n := 0
	for b.Loop() {
		metrics := make([]m, 1000)
		for i := range metrics {
			n++
			metrics[i] = m{"key": "loss", "value": float64(n), "timestamp": n, "step": n}
		}
		f.post(b, "runs/log-batch", m{"run_id": id, "metrics": metrics}, nil)
	}
}
