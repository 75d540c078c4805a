package ui_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ctrx/tracking/server"
	"ctrx/tracking/ui"
)

// hostile is what a run could be called to make a page run code.
const hostile = `"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}`

// site is a server with an interface and some runs.
type site struct {
	t          testing.TB
	url        string
	token      string
	login      func() string // makes the path of a link that logs a browser in
	experiment string
	runs       map[string]string // ids by name
}

// newSite serves an interface on a fresh store.
func newSite(t testing.TB, o ui.Options, token string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, token: token, runs: map[string]string{}}
	var srv *server.Server
	if o.Env == nil {
		o.Env = os.Getenv
	}
	o.Landing = func(ctx ctx) (string, error) { return srv.Landing(ctx, "clicks") }
	page, err := ui.Choose(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	srv = server.New(server.Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts"), UI: page, Token: token})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	s.login = func() string {
		t.Helper()
		path, err := srv.Login()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	web := &http.Server{Handler: srv, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- web.Serve(l) }()
	t.Cleanup(func() {
		web.Close()
		<-done
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type m = map[string]any

// call sends a request that must succeed and gives the answer.
func (s *site) call(method, path string, body any) m {
	s.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = bytes.NewReader([]byte(b))
	case []byte:
		r = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, data, err)
	}
	var out m
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, &out); err != nil {
			s.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return out
}

func (s *site) post(call string, body m) m { return s.call("POST", "/api/2.0/mlflow/"+call, body) }

// aRun is a run to make.
type aRun struct {
	name, parent, status string
	start                time.Time
	took                 time.Duration
	params, tags         map[string]string
	metrics              map[string][]float64 // a point for each step
}

func (s *site) add(r aRun) string {
	s.t.Helper()
	all := map[string]string{"mlflow.user": "ann", "mlflow.source.name": "dvc.yaml"}
	maps.Copy(all, r.tags)
	if r.parent != "" {
		all["mlflow.parentRunId"] = s.runs[r.parent]
	}
	var tags []m
	for k, v := range all {
		tags = append(tags, m{"key": k, "value": v})
	}
	created := s.post("runs/create", m{"experiment_id": s.experiment, "run_name": r.name, "start_time": r.start.UnixMilli(), "tags": tags})
	id := created["run"].(m)["info"].(m)["run_id"].(string)
	s.runs[r.name] = id
	var params, metrics []m
	for k, v := range r.params {
		params = append(params, m{"key": k, "value": v})
	}
	for k, values := range r.metrics {
		for step, v := range values {
			at := r.start.Add(r.took * time.Duration(step+1) / time.Duration(len(values)))
			value := any(v)
			if math.IsNaN(v) {
				value = "NaN"
			}
			metrics = append(metrics, m{"key": k, "value": value, "timestamp": at.UnixMilli(), "step": step})
		}
	}
	for len(metrics) > 900 {
		s.post("runs/log-batch", m{"run_id": id, "metrics": metrics[:900]})
		metrics = metrics[900:]
	}
	s.post("runs/log-batch", m{"run_id": id, "params": params, "metrics": metrics})
	if r.status != "RUNNING" {
		s.post("runs/update", m{"run_id": id, "status": r.status, "end_time": r.start.Add(r.took).UnixMilli()})
	}
	return id
}

func (s *site) artifact(run, path string, content []byte) {
	s.t.Helper()
	s.call("PUT", fmt.Sprintf("/api/2.0/mlflow-artifacts/artifacts/%s/%s/artifacts/%s", s.experiment, s.runs[run], path), content)
}

// seed makes runs as a week of work leaves them: single ones, a sweep with
// children, one that failed and one that still runs.
func (s *site) seed() {
	s.t.Helper()
	s.experiment = s.post("experiments/create", m{"name": "clicks"})["experiment_id"].(string)
	random := rand.New(rand.NewPCG(7, 7))
	now := time.Now().Add(-time.Minute)
	curve := func(n int, from, to, noise float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = to + (from-to)*math.Exp(-4*float64(i)/float64(n)) + noise*random.NormFloat64()
		}
		return out
	}
	train := func(name, parent, model string, lr float64, depth int, quality float64, age time.Duration) {
		commit := fmt.Sprintf("%016x%016x%08x", random.Uint64(), random.Uint64(), random.Uint32())
		s.add(aRun{name: name, parent: parent, status: "FINISHED", start: now.Add(-age), took: time.Duration(60+random.IntN(400)) * time.Second,
			params: map[string]string{"train.model": model, "train.lr": fmt.Sprint(lr), "train.depth": fmt.Sprint(depth), "dataset.rows": "50000", "featurize.hashing": "true"},
			tags:   map[string]string{"mlflow.source.git.commit": commit, "mlflow.source.git.repoURL": "https://github.com/example/clicks.git", "mlflow.source.git.branch": "main", "ctrx.experiment": name},
			metrics: map[string][]float64{
				"roc_auc": curve(40, 0.52, quality, 0.004), "log_loss": curve(40, 0.69, 1.12-quality, 0.004), "train_loss": curve(120, 0.69, 0.98-quality, 0.012),
				"f1": {quality - 0.55 + 0.01*random.NormFloat64()}}})
	}
	day := 24 * time.Hour
	train("clear-otter", "", "catboost", 0.1, 6, 0.724, 6*day)
	train("proud-heron", "", "catboost", 0.03, 6, 0.731, 5*day)
	train("calm-badger", "", "lightgbm", 0.1, 8, 0.718, 4*day)
	s.add(aRun{name: "sweep-depth", status: "FINISHED", start: now.Add(-3 * day), took: 50 * time.Minute,
		params: map[string]string{"train.model": "catboost"}, metrics: map[string][]float64{"roc_auc": {0.741}}, tags: map[string]string{"ctrx.sweep": "depth"}})
	for i, depth := range []int{4, 6, 8, 10} {
		train(fmt.Sprintf("sweep-depth-%d", i+1), "sweep-depth", "catboost", 0.05, depth, 0.72+0.007*float64(min(i, 4-i)), 3*day-time.Duration(i+1)*10*time.Minute)
	}
	s.add(aRun{name: "rainy-wolf", status: "FAILED", start: now.Add(-2 * day), took: 9 * time.Second,
		params: map[string]string{"train.model": "xgboost", "train.lr": "3", "train.depth": "6", "dataset.rows": "50000", "featurize.hashing": "false"}})
	train("amber-eagle", "", "catboost", 0.05, 8, 0.743, 5*time.Hour)
	s.add(aRun{name: "swift-lynx", status: "RUNNING", start: now, took: time.Minute,
		params:  map[string]string{"train.model": "catboost", "train.lr": "0.02", "train.depth": "8", "dataset.rows": "50000", "featurize.hashing": "true"},
		metrics: map[string][]float64{"roc_auc": curve(14, 0.52, 0.70, 0.004), "train_loss": curve(42, 0.69, 0.30, 0.012), "log_loss": curve(14, 0.69, 0.45, 0.004)}})
	s.post("runs/log-inputs", m{"run_id": s.runs["amber-eagle"], "datasets": []m{{
		"tags":    []m{{"key": "mlflow.data.context", "value": "training"}},
		"dataset": m{"name": "data/train.csv", "digest": "5f4dcc3b5aa765d61d8327deb882cf99", "source_type": "dvc", "source": `{"url":"s3://bucket/data"}`, "profile": `{"num_rows":50000}`}}}})
	s.artifact("amber-eagle", "dvc.lock", []byte("schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n"))
	s.artifact("amber-eagle", "plots/roc.csv", []byte("fpr,tpr\n0,0\n0.1,0.45\n0.5,0.86\n1,1\n"))
	s.artifact("amber-eagle", "plots/roc.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200" viewBox="0 0 320 200"><rect width="320" height="200" fill="#eef6f6"/><path d="M10 190C40 90 120 40 310 12" fill="none" stroke="#0b6e75" stroke-width="4"/></svg>`))
	s.artifact("amber-eagle", "metrics.json", []byte(`{"roc_auc": 0.743, "log_loss": 0.377}`))
}

// attack adds a run whose every text wants to be code.
func (s *site) attack() {
	s.t.Helper()
	s.add(aRun{name: hostile, status: "FINISHED", start: time.Now(), took: time.Second,
		params: map[string]string{"train.model": hostile, "evil": "javascript:window.hacked=1"}, metrics: map[string][]float64{"roc_auc": {0.5, math.NaN(), 0.6}},
		tags: map[string]string{"note": hostile, "mlflow.note.content": hostile, "mlflow.source.git.repoURL": "javascript:window.hacked=1", "mlflow.source.git.commit": hostile, "mlflow.source.name": hostile}})
	s.post("runs/log-inputs", m{"run_id": s.runs[hostile], "datasets": []m{{"dataset": m{"name": hostile, "digest": "x", "source_type": hostile, "source": hostile}}}})
	s.artifact(hostile, "a.html", []byte(`<script>top.hacked=1;window.hacked=1</script>`+hostile))
	s.artifact(hostile, "b.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="top.hacked=1" width="9" height="9"><script>top.hacked=1</script></svg>`))
	s.artifact(hostile, "c.csv", []byte("a,\""+`<img src=x onerror=window.hacked=1>`+"\"\n1,2\n"))
}
