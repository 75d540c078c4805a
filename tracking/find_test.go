package tracking

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

func TestParseRunRef(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		in   string
		want RunRef
		kind errs.Kind // Failed: it is read
	}{
		{in: id, want: RunRef{Text: id, ID: id}},
		{in: "0123", want: RunRef{Text: "0123"}},
		{in: "amber-eagle", want: RunRef{Text: "amber-eagle"}},
		{in: "runs:/" + id + "/model", want: RunRef{Text: "runs:/" + id + "/model", ID: id}},
		{in: "runs:/amber/model", kind: errs.Usage},
		{in: "http://host:5000/#/experiments/1/runs/" + id, want: RunRef{Text: "http://host:5000/", ID: id, Server: "http://host:5000"}},
		{in: "https://host/mlflow/#/experiments/1/runs/" + id + "/model-metrics?workflowType=machine_learning",
			want: RunRef{Text: "https://host/mlflow/", ID: id, Server: "https://host/mlflow"}},
		{in: "http://host/api/2.0/mlflow/runs/get?run_id=" + id, want: RunRef{Text: "http://host/api/2.0/mlflow/runs/get", ID: id, Server: "http://host"}},
		{in: "http://host/get-artifact?path=dvc.lock&run_uuid=" + id, want: RunRef{Text: "http://host/get-artifact", ID: id, Server: "http://host"}},
		{in: "http://me:pw@host/experiments/7/runs/" + id, want: RunRef{Text: "http://host/experiments/7/runs/" + id, ID: id, Server: "http://me:pw@host"}},
		{in: "http://host/#/experiments/1", kind: errs.Usage},
		{in: "http://host/#/experiments/1/runs/" + id + "0", kind: errs.Usage},
		{in: "http://%zz/", kind: errs.Usage},
		{in: "", kind: errs.Usage},
		{in: " ", kind: errs.Usage},
	} {
		got, err := ParseRunRef(c.in)
		if errs.KindOf(err) != c.kind || err == nil && got != c.want {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: the password is in %v", c.in, err)
		}
	}
}

func TestConfigForAnotherServer(t *testing.T) {
	env := mapEnv(map[string]string{"MLFLOW_TRACKING_TOKEN": "secret", "HOME": "/home/me", "MLFLOW_TRACKING_INSECURE_TLS": "true"})
	ours := Config{URI: "https://ours:5000/mlflow", Env: env}
	for address, want := range map[string]string{
		"https://ours:5000/mlflow/#/experiments/1/runs/0123456789abcdef0123456789abcdef": "secret",
		"https://theirs:5000/#/experiments/1/runs/0123456789abcdef0123456789abcdef":      "",
		"http://ours:5000/#/experiments/1/runs/0123456789abcdef0123456789abcdef":         "",
		"amber-eagle": "secret",
	} {
		ref, err := ParseRunRef(address)
		must(t, err)
		cfg := ours.For(ref)
		if got := cfg.Env("MLFLOW_TRACKING_TOKEN"); got != want {
			t.Errorf("%s: token %q", address, got)
		}
		if (want == "secret") != (cfg.URI == ours.URI) {
			t.Errorf("%s: URI %s", address, cfg.URI)
		}
		if cfg.Env("MLFLOW_TRACKING_INSECURE_TLS") != "true" {
			t.Errorf("%s: another variable is gone", address)
		}
	}
}

// A run is told apart that was deleted, that never existed, and of which there
// are several.
func TestFindRun(t *testing.T) {
	r := newRemote(t)
	c := mustOpen(t, config(t, r.URL))
	ids := map[string]string{}
	start := time.UnixMilli(0)
	for _, name := range []string{"one", "twin", "gone", "it's", "half"} {
		start = start.Add(time.Second)
		run, err := c.StartRun(t.Context(), RunSpec{Name: name, StartTime: start})
		must(t, err)
		ids[name] = run.ID()
		if name == "twin" {
			run, err = c.StartRun(t.Context(), RunSpec{Name: name, StartTime: start.Add(time.Millisecond)})
			must(t, err)
			ids["newer twin"] = run.ID()
		}
	}
	half, err := c.StartRun(t.Context(), RunSpec{Name: "half", StartTime: start})
	must(t, err)
	for _, id := range []string{ids["gone"], half.ID()} {
		must(t, c.rest.call(t.Context(), request{method: http.MethodPost, path: apiPath + "runs/delete", in: map[string]string{"run_id": id}, what: "delete"}, nil))
	}
	for _, q := range []struct {
		text, want string
		kind       errs.Kind
		says       string
	}{
		{text: "one", want: ids["one"]},
		{text: ids["one"], want: ids["one"]},
		{text: ids["one"][:12], want: ids["one"]},
		{text: strings.ToUpper(ids["one"][:12]), want: ids["one"]},
		{text: "it's", want: ids["it's"]},
		{text: "half", want: ids["half"]}, // the other one of this name is deleted
		{text: "twin", kind: errs.Conflict, says: ids["newer twin"]},
		{text: "gone", kind: errs.Deleted, says: "was deleted"},
		{text: ids["gone"], kind: errs.Deleted, says: "was deleted"},
		{text: ids["gone"][:12], kind: errs.Deleted, says: "was deleted"},
		{text: "nosuch", kind: errs.NotFound, says: "never existed"},
		{text: `both ' and "`, kind: errs.NotFound, says: "never existed"},
		{text: strings.Repeat("0", 32), kind: errs.NotFound, says: "never existed"},
		{text: strings.Repeat("0", 8), kind: errs.NotFound, says: "never existed"},
	} {
		ref, err := ParseRunRef(q.text)
		must(t, err)
		got, err := c.FindRun(t.Context(), "exp", ref)
		if q.want != "" && (err != nil || got.ID != q.want) {
			t.Errorf("%s: %s, %v", q.text, got.ID, err)
		}
		if q.want == "" && (err == nil || errs.KindOf(err) != q.kind || !strings.Contains(err.Error(), q.says)) {
			t.Errorf("%s: kind %v of %v", q.text, errs.KindOf(err), err)
		}
	}
	ref := RunRef{Text: "one"}
	if _, err := c.FindRun(t.Context(), "no such experiment", ref); errs.KindOf(err) != errs.NotFound {
		t.Errorf("in an experiment that is not there: %v", err)
	}
}

func TestReadArtifact(t *testing.T) {
	r := newRemote(t)
	c := mustOpen(t, config(t, r.URL))
	run := mustStart(t, c, "one")
	must(t, run.LogArtifact(t.Context(), "ctrx/run.patch", bytes.NewReader([]byte("0123456789"))))
	record, err := c.GetRun(t.Context(), run.ID())
	must(t, err)
	data, err := c.ReadArtifact(t.Context(), record, "ctrx/run.patch", 10)
	if string(data) != "0123456789" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	for name, kind := range map[string]errs.Kind{"ctrx/run.json": errs.NotFound, "nosuch/x": errs.NotFound, "ctrx": errs.NotFound, "../x": errs.Usage} {
		if _, err := c.ReadArtifact(t.Context(), record, name, 10); errs.KindOf(err) != kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ReadArtifact(t.Context(), record, "ctrx/run.patch", 9); errs.KindOf(err) != errs.DataCorrupt {
		t.Errorf("a long one: %v", err)
	}
}
