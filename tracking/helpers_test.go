package tracking

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/event"
	"ctrx/tracking/server"
	"ctrx/tracking/wire"
)

// instant is a wait that does not.
func instant(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// mapEnv is an environment.
func mapEnv(vars map[string]string) func(string) string {
	return func(k string) string { return vars[k] }
}

// recorder keeps the events it gets.
type recorder struct {
	mu     sync.Mutex
	events []event.Event
}

func (r *recorder) Send(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) texts(t event.Type) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == t {
			out = append(out, e.Text)
		}
	}
	return out
}

// remote is a tracking server on a socket, whose answers a test can replace.
type remote struct {
	*httptest.Server
	store *server.Server

	mu       sync.Mutex
	refuse   func(w http.ResponseWriter, r *http.Request) bool // true: it answered
	requests []string
}

func newRemote(t testing.TB) *remote {
	t.Helper()
	dir := t.TempDir()
	r := &remote{store: server.New(server.Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")})}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.Server.Close()
		if err := r.store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return r
}

func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+strings.TrimPrefix(req.URL.Path, apiPath))
	refuse := r.refuse
	r.mu.Unlock()
	if refuse != nil && refuse(w, req) {
		return
	}
	r.store.ServeHTTP(w, req)
}

// setRefuse makes the server fail, or well again with nil.
func (r *remote) setRefuse(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

func down(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// unhurried lets a busy machine take its time: a server that answers late is in
// trouble for a run, and its run would go to the spool.
func unhurried(k string) string { return map[string]string{"MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}[k] }

// config is a test configuration for a server.
func config(t testing.TB, uri string) Config {
	return Config{URI: uri, ExperimentName: "exp", Dir: t.TempDir(), Env: unhurried, Wait: instant, Sink: &recorder{}}
}

func mustOpen(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close client: %v", err)
		}
	})
	return c
}

func mustStart(t testing.TB, c *Client, name string) *Run {
	t.Helper()
	start := time.UnixMilli(2000)
	if name == "one" {
		start = time.UnixMilli(1000)
	}
	r, err := c.StartRun(t.Context(), RunSpec{Name: name, Tags: []Tag{{"team", "ctr"}}, StartTime: start})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// points is the number of points that logAll logs. More would show nothing
// more here and are slow under the race detector; TestEmbedded logs thousands.
const points = 30

// logAll logs one of everything.
func logAll(t testing.TB, r *Run) {
	t.Helper()
	ctx := t.Context()
	must(t, r.LogParams(ctx, []Param{{"lr", "0.1"}, {"notes", strings.Repeat("ä", 6001)}}))
	var history []Metric
	for i := range int64(points) {
		history = append(history, Metric{Key: "loss", Value: 1 / float64(i+1), Step: i, Time: time.UnixMilli(i)})
	}
	must(t, r.LogMetrics(ctx, history))
	must(t, r.SetTags(ctx, []Tag{{"mlflow.note.content", "a note"}}))
	must(t, r.LogInputs(ctx, []Dataset{{Name: "data/raw", Digest: strings.Repeat("a", 32) + ".dir", SourceType: "dvc", Source: `{"uri":"s3://b/x"}`, Context: "training"}}))
	must(t, r.LogArtifact(ctx, "dvc.lock", strings.NewReader("schema: '2.0'\n")))
	must(t, r.LogArtifact(ctx, "plots/a b/ü%.txt", strings.NewReader("")))
}

// checkAll verifies on the server what logAll logged, exactly once.
func checkAll(t testing.TB, c *Client, id string) {
	t.Helper()
	ctx := t.Context()
	run, err := c.GetRun(ctx, id)
	must(t, err)
	params := map[string]string{}
	for _, p := range run.Params {
		params[p.Key] = p.Value
	}
	if len(params) != 2 || params["lr"] != "0.1" {
		t.Errorf("run %s has the parameters %.200v", id, params)
	}
	note := "... [6001 characters, all in artifact params/notes.txt]"
	if v := params["notes"]; len([]rune(v)) != 6000 || !strings.HasSuffix(v, "ä"+note) {
		t.Errorf("the long value has %d characters and ends %q", len([]rune(v)), v[max(0, len(v)-60):])
	}
	history, err := c.MetricHistory(ctx, id, "loss")
	must(t, err)
	if len(history) != points || history[points-1].Step != points-1 || history[1].Value != 0.5 {
		t.Errorf("run %s has %d points of loss", id, len(history))
	}
	if len(run.Datasets) != 1 || run.Datasets[0].Context != "training" || run.Datasets[0].Digest != strings.Repeat("a", 32)+".dir" {
		t.Errorf("datasets %+v", run.Datasets)
	}
	if run.Tag("team") != "ctr" || run.Tag("mlflow.note.content") != "a note" || run.Tag(RunKeyTag) == "" {
		t.Errorf("tags %v", run.Tags)
	}
	for name, want := range map[string]string{"dvc.lock": "schema: '2.0'\n", "plots/a b/ü%.txt": "", "params/notes.txt": strings.Repeat("ä", 6001)} {
		var b bytes.Buffer
		if err := c.DownloadArtifact(ctx, id, name, &b); err != nil || b.String() != want {
			t.Errorf("artifact %s: %d bytes, %v", name, b.Len(), err)
		}
	}
}

// runs lists the runs of the client's experiment.
func runs(t testing.TB, c *Client) []RunRecord {
	t.Helper()
	e, err := c.ExperimentByName(t.Context(), c.experimentName())
	must(t, err)
	page, err := c.SearchRuns(t.Context(), RunQuery{Experiments: []string{e.ID}})
	must(t, err)
	return page.Runs
}

// failingReader cannot be read to its end.
type failingReader struct{ *strings.Reader }

func (f failingReader) Read(p []byte) (int, error) {
	if f.Len() < 5 {
		return 0, errors.New("the disk is on fire")
	}
	return f.Reader.Read(p[:min(len(p), 3)])
}

func paramsOf(key, value string) []wire.Param { return []wire.Param{{Key: key, Value: value}} }
