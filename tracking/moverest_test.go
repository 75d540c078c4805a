package tracking

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/tracking/wire"
)

// post sends one request of a test to a server.
func post(t *testing.T, c *Client, method, path string, in, out any) {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = "/api/3.0/mlflow" + path
	} else {
		path = apiPath + path
	}
	must(t, c.rest.call(t.Context(), request{method: method, path: path, in: in, what: "test"}, out))
}

type object = map[string]any

// logModel logs a run with a logged model, a trace with two assessments and a
// registered model of three versions, the second of which is deleted.
func logModels(t *testing.T, c *Client, name string) {
	t.Helper()
	run := mustStart(t, c, "one")
	e := run.ExperimentID()
	var made struct {
		Model wire.LoggedModel `json:"model"`
	}
	post(t, c, "POST", "logged-models", object{"experiment_id": e, "name": "m", "model_type": "tree", "source_run_id": run.ID(),
		"params": []wire.Param{{Key: "depth", Value: "5"}}, "tags": []wire.Tag{{Key: "k", Value: "v"}}}, &made)
	id := made.Model.Info.ID
	must(t, c.putArtifact(t.Context(), made.Model.Info.ArtifactURI, operation{Op: opArtifact, Path: "a/MLmodel", Size: 3, source: strings.NewReader("abc")}))
	post(t, c, "PATCH", "logged-models/"+id, object{"model_id": id, "status": "LOGGED_MODEL_READY"}, nil)
	post(t, c, "POST", "runs/log-batch", object{"run_id": run.ID(), "metrics": []object{{"key": "acc", "value": 0.5, "timestamp": 5, "step": 1, "model_id": id}}}, nil)
	post(t, c, "POST", "runs/outputs", object{"run_id": run.ID(), "models": []object{{"model_id": id, "step": 3}}}, nil)
	must(t, run.LogArtifact(t.Context(), "old/x.txt", strings.NewReader("x")))
	must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))

	trace := "tr-" + strings.Repeat("1", 24) + fmt.Sprintf("%08x", len(name))
	var begun traceAnswer
	post(t, c, "POST", "/traces", object{"trace": object{"trace_info": object{"trace_id": trace, "request_time": "2026-01-01T00:00:01.500Z", "execution_duration": "0.100s", "state": "OK",
		"trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": e}},
		"tags":           object{"mlflow.traceName": "top"}, "trace_metadata": object{traceRunKey: run.ID()}, "request_preview": "in", "response_preview": "out"}}}, &begun)
	spans := `{"spans": []}`
	must(t, c.putArtifact(t.Context(), begun.Trace.Info.Tags[traceArtifactsTag], operation{Op: opArtifact, Path: traceFile, Size: int64(len(spans)), source: strings.NewReader(spans)}))
	for i, what := range []object{{"feedback": object{"value": true}, "rationale": "so"}, {"expectation": object{"value": "42"}}} {
		what["assessment_name"], what["source"] = fmt.Sprint("a", i), object{"source_type": "HUMAN", "source_id": "me"}
		what["create_time"], what["last_update_time"] = "2026-01-01T00:00:02.000Z", "2026-01-01T00:00:02.000Z"
		post(t, c, "POST", "/traces/"+trace+"/assessments", object{"assessment": what}, nil)
	}

	post(t, c, "POST", "registered-models/create", object{"name": name, "description": "d", "tags": []wire.Tag{{Key: "a", Value: "b"}}}, nil)
	for _, v := range []object{{"source": "models:/" + id, "run_id": run.ID(), "model_id": id, "description": "v1"},
		{"source": "s3://bucket/gone"}, {"source": "runs:/" + run.ID() + "/old", "run_id": run.ID(), "tags": []wire.Tag{{Key: "x", Value: "y"}}}} {
		v["name"] = name
		post(t, c, "POST", "model-versions/create", v, nil)
	}
	post(t, c, "DELETE", "model-versions/delete", object{"name": name, "version": "2"}, nil)
	post(t, c, "POST", "model-versions/transition-stage", object{"name": name, "version": "3", "stage": "Production", "archive_existing_versions": false}, nil)
	post(t, c, "POST", "registered-models/alias", object{"name": name, "alias": "champion", "version": "1"}, nil)
}

// checkModels verifies what logModels logged, once, where it was moved to.
func checkModels(t *testing.T, c *Client, name string) {
	t.Helper()
	e, err := c.ExperimentByName(t.Context(), c.experimentName())
	must(t, err)
	m := &mover{c: c}
	all := runs(t, c)
	i := slices.IndexFunc(all, func(r RunRecord) bool { return r.Name == "one" })
	if i < 0 {
		t.Fatalf("no run among %d", len(all))
	}
	run := all[i]
	models, err := m.modelsOf(t.Context(), e.ID)
	must(t, err)
	if len(models) != 1 {
		t.Fatalf("%d logged models", len(models))
	}
	l := models[0]
	if l.Info.Name != "m" || l.Info.Status != "LOGGED_MODEL_READY" || *l.Info.ModelType != "tree" || *l.Info.SourceRunID != run.ID || tagOf(l.Info.Tags, "k") != "v" ||
		len(l.Data.Params) != 1 || len(l.Data.Metrics) != 1 || l.Data.Metrics[0].Value != 0.5 || l.Data.Metrics[0].RunID != run.ID {
		t.Errorf("logged model %+v", l)
	}
	if files, err := m.modelArtifacts(t.Context(), l.Info.ID, "a"); err != nil || len(files) != 1 || files[0].Size != 3 {
		t.Errorf("artifacts of the model: %v, %v", files, err)
	}
	whole, err := c.rest.getRun(t.Context(), run.ID)
	must(t, err)
	if whole.Outputs == nil || len(whole.Outputs.ModelOutputs) != 1 || whole.Outputs.ModelOutputs[0] != (wire.ModelOutput{ModelID: l.Info.ID, Step: 3}) {
		t.Errorf("outputs %+v", whole.Outputs)
	}
	var found struct{ Traces []wire.TraceInfo }
	post(t, c, "POST", "/traces/search", object{"locations": []object{{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": e.ID}}}}, &found)
	if len(found.Traces) != 1 {
		t.Fatalf("%d traces", len(found.Traces))
	}
	tr := found.Traces[0]
	var whole2 traceAnswer
	post(t, c, "GET", "/traces/"+tr.ID, nil, &whole2)
	tr = whole2.Trace.Info
	if tr.Tags["mlflow.traceName"] != "top" || tr.Metadata[traceRunKey] != run.ID || tr.Time != "2026-01-01T00:00:01.500Z" || tr.Request != "in" || tr.Response != "out" {
		t.Errorf("trace %+v", tr)
	}
	slices.SortFunc(tr.Assessments, func(a, b wire.Assessment) int { return strings.Compare(a.Name, b.Name) })
	if len(tr.Assessments) != 2 || string(tr.Assessments[0].Feedback.Value) != "true" || *tr.Assessments[0].Rationale != "so" || string(tr.Assessments[1].Expectation.Value) != `"42"` {
		data, _ := json.Marshal(tr.Assessments)
		t.Errorf("assessments %s", data)
	}
	if spans, err := m.spans(t.Context(), tr.ID); err != nil || !strings.Contains(string(spans), `"spans"`) {
		t.Errorf("spans %q, %v", spans, err)
	}
	model, err := m.registeredModel(t.Context(), name)
	must(t, err)
	versions, err := m.versionsOf(t.Context(), model)
	must(t, err)
	if *model.Description != "d" || tagOf(model.Tags, "a") != "b" || !slices.Equal(model.Aliases, []wire.ModelAlias{{Alias: "champion", Version: "1"}}) || len(versions) != 2 {
		t.Fatalf("registered model %+v with %d versions", model, len(versions))
	}
	one, three := versions[0], versions[1]
	if one.Version != "1" || *one.Source != "models:/"+l.Info.ID || *one.RunID != run.ID || *one.Description != "v1" || one.Stage != "None" {
		t.Errorf("version 1: %+v", one)
	}
	if three.Version != "3" || *three.Source != "runs:/"+run.ID+"/old" || *three.RunID != run.ID || three.Stage != "Production" || tagOf(three.Tags, "x") != "y" {
		t.Errorf("version 3: %+v", three)
	}
}

// A move that is cut off after each of its requests and repeated brings all of
// it once.
func TestMoveModelsOnce(t *testing.T) {
	from, to := newRemote(t), newRemote(t)
	cfg := config(t, from.URL)
	c := mustOpen(t, cfg)
	logModels(t, c, "ctr")
	checkModels(t, c, "ctr")
	o := MoveOptions{Dir: t.TempDir(), Experiments: []string{"exp"}}
	got := export(t, cfg, o)
	if got.LoggedModels != 1 || got.Traces != 1 || got.RegisteredModels != 1 || got.ModelVersions != 2 || len(got.NotMoved) != 0 {
		t.Errorf("exported %+v", got)
	}
	again := Moved{Experiments: 1, Unchanged: 1}
	if got := export(t, cfg, o); fmt.Sprint(got) != fmt.Sprint(again) {
		t.Errorf("exported again %+v", got)
	}
	if got, err := Import(t.Context(), cfg, o); err != nil || fmt.Sprint(got) != fmt.Sprint(again) {
		t.Errorf("imported at home %+v, %v", got, err)
	}
	toCfg := config(t, to.URL)
	toCfg.Env = mapEnv(map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
	done := false
	for served := 1; !done; served++ {
		if served > 200 {
			t.Fatal("it does not come to an end")
		}
		n := 0
		to.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			to.mu.Lock()
			n++
			mine := n
			to.mu.Unlock()
			if mine == served { // done, but the answer is lost
				to.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			return mine >= served && down(w, req)
		})
		_, err := Import(t.Context(), toCfg, o)
		done = err == nil
	}
	to.setRefuse(nil)
	checkModels(t, mustOpen(t, toCfg), "ctr")
	if got, err := Import(t.Context(), toCfg, o); err != nil || fmt.Sprint(got) != fmt.Sprint(again) {
		t.Errorf("imported again %+v, %v", got, err)
	}
}

// What a target has no place for is named, and the rest goes on.
func TestMoveNamesWhatStays(t *testing.T) {
	from, to := newRemote(t), newRemote(t)
	cfg := config(t, from.URL)
	c := mustOpen(t, cfg)
	logModels(t, c, "ctr")
	other := cfg
	other.ExperimentName = "other"
	run := mustStart(t, mustOpen(t, other), "two")
	post(t, c, "POST", "model-versions/create", object{"name": "ctr", "source": "runs:/" + run.ID() + "/model", "run_id": run.ID()}, nil)
	o := MoveOptions{Dir: t.TempDir(), Experiments: []string{"exp"}}
	export(t, cfg, o)
	to.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/3.0/mlflow/traces") {
			return false
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	got, err := Import(t.Context(), config(t, to.URL), o)
	must(t, err)
	var left []string
	for _, n := range got.NotMoved {
		left = append(left, n.What)
	}
	if len(left) != 2 || !strings.HasPrefix(left[0], "trace tr-") || left[1] != "version 4 of model ctr" || got.ModelVersions != 2 {
		t.Errorf("%+v", got)
	}
}

// A prompt is a registered model that searches keep out; it moves all the same.
func TestMovePrompt(t *testing.T) {
	from, to := newRemote(t), newRemote(t)
	cfg, toCfg := config(t, from.URL), config(t, to.URL)
	c := mustOpen(t, cfg)
	mark := wire.Tag{Key: promptTag, Value: "true"}
	post(t, c, "POST", "registered-models/create", object{"name": "ask", "tags": []wire.Tag{mark}}, nil)
	for _, text := range []string{"one", "two", "three"} {
		post(t, c, "POST", "model-versions/create", object{"name": "ask", "source": "dummy-source", "tags": []wire.Tag{mark, {Key: "mlflow.prompt.text", Value: text}}}, nil)
	}
	post(t, c, "DELETE", "model-versions/delete", object{"name": "ask", "version": "1"}, nil)
	o := MoveOptions{Dir: t.TempDir()}
	export(t, cfg, o)
	for i := range 2 {
		if got, err := Import(t.Context(), toCfg, o); err != nil || got.RegisteredModels != 1-i || got.ModelVersions != 2*(1-i) || len(got.NotMoved) > 0 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	m := &mover{c: mustOpen(t, toCfg)}
	model, err := m.registeredModel(t.Context(), "ask")
	must(t, err)
	versions, err := m.versionsOf(t.Context(), model)
	must(t, err)
	if len(versions) != 2 || versions[0].Version != "2" || tagOf(versions[1].Tags, "mlflow.prompt.text") != "three" {
		t.Errorf("%+v", versions)
	}
}
