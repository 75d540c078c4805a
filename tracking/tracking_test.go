package tracking

import (
	"context"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

func TestSanitizeKey(t *testing.T) {
	long := strings.Repeat("ü", 300)
	for in, want := range map[string]string{
		"train.lr": "train.lr", "a b/c:d-e_f": "a b/c:d-e_f", "ünï/日本": "ünï/日本",
		"a[0]": "a_0_", "a=b,c!": "a_b_c_", `a\b`: "a_b", "a\xff": "a_",
		"/a": "a", "a//b/": "a/b", "./a": "_/a", "../a": "__/a", "a/../b": "a/__/b", "..a": "__a", "": "_", "/": "_", ".": "_", "..": "__",
	} {
		if got := SanitizeKey(in); got != want {
			t.Errorf("SanitizeKey(%q) = %q, want %q", in, got, want)
		}
	}
	if got := SanitizeKey(long); len([]rune(got)) != 250 || !strings.HasPrefix(got, strings.Repeat("ü", 241)+"-") {
		t.Errorf("long key became %q", got)
	}
	var m keyMap
	a, b, c := m.key("a[0]"), m.key("a(0)"), m.key("a[0]")
	if a != "a_0_" || b == a || c != a || wire.CheckKey(b) != wire.KeyOK {
		t.Errorf("keys that collide: %q, %q, %q", a, b, c)
	}
}

func FuzzSanitizeKey(f *testing.F) {
	for _, s := range []string{"", "a", "../..", "/./", strings.Repeat("/a", 200), strings.Repeat("x", 240) + "/y/zzzzzzzzzzzz", "\xff", "...", "a/...", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		got := SanitizeKey(key)
		if p := wire.CheckKey(got); p != wire.KeyOK {
			t.Errorf("SanitizeKey(%q) = %q, which MLflow refuses (%d)", key, got, p)
		}
		if again := SanitizeKey(got); again != got {
			t.Errorf("SanitizeKey(%q) = %q, and of that %q", key, got, again)
		}
		if h := withHash(got, key); wire.CheckKey(h) != wire.KeyOK {
			t.Errorf("withHash(%q) = %q, which MLflow refuses", got, h)
		}
	})
}

func TestSplitBatch(t *testing.T) {
	var op operation
	for range 250 {
		op.Params = append(op.Params, wire.Param{Key: "p", Value: "1"})
	}
	for range 130 {
		op.Tags = append(op.Tags, wire.Tag{Key: "t", Value: strings.Repeat("<", 8000)})
	}
	for range 2500 {
		op.Metrics = append(op.Metrics, wire.Metric{Key: "m", Value: wire.Float(math.NaN())})
	}
	var p, tags, m int
	parts := splitBatch(op)
	for i, part := range parts {
		n := len(part.Params) + len(part.Tags) + len(part.Metrics)
		if n == 0 || len(part.Params) > 100 || len(part.Tags) > 100 || len(part.Metrics) > 1000 || n > 1000 {
			t.Errorf("request %d has %d params, %d tags, %d metrics", i, len(part.Params), len(part.Tags), len(part.Metrics))
		}
		if size := jsonSize(batchBody{strings.Repeat("x", 256), part.Metrics, part.Params, part.Tags}); size >= wire.MaxBatchBytes {
			t.Errorf("request %d has %d bytes", i, size)
		}
		p, tags, m = p+len(part.Params), tags+len(part.Tags), m+len(part.Metrics)
	}
	if p != 250 || tags != 130 || m != 2500 {
		t.Errorf("the requests hold %d params, %d tags, %d metrics", p, tags, m)
	}
	if len(splitBatch(operation{})) != 0 {
		t.Error("nothing must make no request")
	}
}

func TestEmbedded(t *testing.T) {
	cfg := config(t, "")
	c := mustOpen(t, cfg)
	if entries, _ := os.ReadDir(cfg.Dir); len(entries) != 0 {
		t.Errorf("Open made %v", entries)
	}
	r := mustStart(t, c, "one")
	logAll(t, r)
	must(t, r.LogMetrics(t.Context(), []Metric{{Key: "odd", Value: math.NaN()}, {Key: "big", Value: math.Inf(-1)}}))
	var many []Metric
	for i := range int64(2500) {
		many = append(many, Metric{Key: "many", Value: float64(i), Step: i, Time: time.UnixMilli(i)})
	}
	must(t, r.LogMetrics(t.Context(), many))
	must(t, r.Finish(t.Context(), Finished, time.UnixMilli(9000)))
	checkAll(t, c, r.ID())
	if history, err := c.MetricHistory(t.Context(), r.ID(), "many"); err != nil || len(history) != 2500 || history[2499].Value != 2499 {
		t.Errorf("%d of 2500 points, %v", len(history), err)
	}
	run, err := c.GetRun(t.Context(), r.ID())
	must(t, err)
	if run.Status != Finished || run.Name != "one" || !run.StartTime.Equal(time.UnixMilli(1000)) || !run.EndTime.Equal(time.UnixMilli(9000)) {
		t.Errorf("run %+v", run)
	}
	files, err := c.ListArtifacts(t.Context(), r.ID(), "")
	must(t, err)
	if len(files) != 3 || files[0] != (Artifact{"dvc.lock", false, 14}) || files[1] != (Artifact{"params", true, 0}) {
		t.Errorf("artifacts %v", files)
	}
	if r.Spooled() || r.URL() != "" || !c.Embedded() {
		t.Error("a run in the embedded store has no page and no spool")
	}
	if n, err := Spooled(cfg.Dir); n != 0 || err != nil {
		t.Errorf("%d runs in the spool, %v", n, err)
	}
}

// The same store by the URI that the client reports, and by a relative one.
func TestSqliteURI(t *testing.T) {
	cfg := config(t, "")
	c := mustOpen(t, cfg)
	id := mustStart(t, c, "one").ID()
	for _, uri := range []string{c.URI(), "sqlite:///mlflow.db"} {
		again := cfg
		again.URI = uri
		if run, err := mustOpen(t, again).GetRun(t.Context(), id); err != nil || run.Name != "one" {
			t.Errorf("%s: %+v, %v", uri, run, err)
		}
	}
}

func TestBadURI(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///tmp/mlruns": "file store", "./mlruns": "file store", "/abs/mlruns": "file store", "databricks": "file store",
		"databricks://profile": `scheme "databricks"`, "postgresql://u:secret@h/db": `scheme "postgresql"`, "sqlite:///": "names no database file", "http://": `scheme "http"`, "http://u:secret@h:x/": "not a URL",
	} {
		_, err := Open(t.Context(), Config{URI: uri, Dir: t.TempDir(), Env: mapEnv(nil)})
		if errs.KindOf(err) != errs.Usage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || errs.HintOf(err) == "" {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// Stage code that uses an MLflow client must reach the embedded store.
func TestServe(t *testing.T) {
	c := mustOpen(t, config(t, ""))
	r := mustStart(t, c, "one")
	uri, stop, err := c.Serve(t.Context())
	must(t, err)
	stage := mustOpen(t, config(t, uri))
	run, err := stage.GetRun(t.Context(), r.ID())
	must(t, err)
	if run.Name != "one" {
		t.Errorf("the stage sees %+v", run)
	}
	must(t, stage.rest.call(t.Context(), request{method: "POST", path: apiPath + "runs/log-metric",
		in: map[string]any{"run_id": r.ID(), "key": "from_stage", "value": 1, "timestamp": 1}}, nil))
	must(t, stop())
	must(t, stop())
	history, err := c.MetricHistory(t.Context(), r.ID(), "from_stage")
	if err != nil || len(history) != 1 {
		t.Errorf("history %v, %v", history, err)
	}
	if _, err := stage.GetRun(t.Context(), r.ID()); errs.KindOf(err) != errs.Unreachable {
		t.Errorf("after stop: %v", err)
	}
}

func TestChangedParamBecomesTag(t *testing.T) {
	c := mustOpen(t, config(t, ""))
	r := mustStart(t, c, "one")
	ctx := t.Context()
	must(t, r.LogParams(ctx, []Param{{"a", "1"}}))
	must(t, r.LogParams(ctx, []Param{{"a", "2"}, {"a", "1"}}))
	// Somebody else, a stage command, logs b first.
	must(t, c.apply(ctx, target{id: r.ID()}, operation{Op: opBatch, Params: []wire.Param{{Key: "b", Value: "1"}}}))
	must(t, r.LogParams(ctx, []Param{{"b", "2"}, {"c", "3"}}))
	run, err := c.GetRun(ctx, r.ID())
	must(t, err)
	params := map[string]string{}
	for _, p := range run.Params {
		params[p.Key] = p.Value
	}
	if len(params) != 3 || params["a"] != "1" || params["b"] != "1" || params["c"] != "3" {
		t.Errorf("params %v", params)
	}
	if run.Tag("ctrx.param.a") != "2" || run.Tag("ctrx.param.b") != "2" {
		t.Errorf("tags %v", run.Tags)
	}
}

func TestExperimentDeleted(t *testing.T) {
	c := mustOpen(t, config(t, ""))
	e, err := c.Experiment(t.Context())
	must(t, err)
	must(t, c.rest.call(t.Context(), request{method: "POST", path: apiPath + "experiments/delete", in: map[string]string{"experiment_id": e.ID}}, nil))
	cfg := c.cfg
	_, err = mustOpen(t, cfg).StartRun(t.Context(), RunSpec{})
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "experiment exp (id 1) is deleted") || !strings.Contains(errs.HintOf(err), "mlflow experiments restore --experiment-id 1") {
		t.Errorf("%v; hint %s", err, errs.HintOf(err))
	}
}

// Two processes that create the same experiment at the same moment.
func TestExperimentRace(t *testing.T) {
	r := newRemote(t)
	c := mustOpen(t, config(t, r.URL))
	other := mustOpen(t, config(t, r.URL))
	r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, "experiments/create") {
			r.setRefuse(nil)
			if _, err := other.Experiment(context.WithoutCancel(req.Context())); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	a, err := c.Experiment(t.Context())
	must(t, err)
	b, err := other.Experiment(t.Context())
	must(t, err)
	if a.ID != b.ID {
		t.Errorf("experiments %s and %s", a.ID, b.ID)
	}
}

// A create whose answer is lost must not make a second run.
func TestCreateOnce(t *testing.T) {
	for name, lose := range map[string]func(http.ResponseWriter){
		"error 502":  func(w http.ResponseWriter) { w.WriteHeader(502) },
		"cut answer": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t)
			r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasSuffix(req.URL.Path, "runs/create") {
					return false
				}
				r.setRefuse(nil)
				r.store.ServeHTTP(&discard{header: http.Header{}}, req)
				lose(w)
				return true
			})
			c := mustOpen(t, config(t, r.URL))
			id := mustStart(t, c, "one").ID()
			if got := runs(t, c); len(got) != 1 || got[0].ID != id {
				t.Errorf("%d runs on the server", len(got))
			}
		})
	}
}

// discard is a response nobody gets.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func TestDatasetLimits(t *testing.T) {
	in, err := Dataset{Name: strings.Repeat("n", 600), Digest: strings.Repeat("d", 64), SourceType: "s", Source: "{}", Schema: strings.Repeat("s", wire.MaxDatasetSchema+1)}.input()
	if err != nil || len(in.Dataset.Name) != 500 || len(in.Dataset.Digest) != 36 || in.Dataset.Schema != "" {
		t.Errorf("%d %d %d %v", len(in.Dataset.Name), len(in.Dataset.Digest), len(in.Dataset.Schema), err)
	}
	for _, d := range []Dataset{{}, {Name: "n", Digest: "d", SourceType: "s"}, {Name: "n", Digest: "d", SourceType: "s", Source: strings.Repeat("x", 65536)}} {
		if _, err := d.input(); errs.KindOf(err) != errs.Usage {
			t.Errorf("dataset %.50v: %v", d, err)
		}
	}
}

func TestArtifactPaths(t *testing.T) {
	r := mustStart(t, mustOpen(t, config(t, "")), "one")
	for _, name := range []string{"", ".", "..", "../x", "/x", "a//b", "a/", `a\b`, "a/../../b", "x#y"} {
		if err := r.LogArtifact(t.Context(), name, strings.NewReader("x")); errs.KindOf(err) != errs.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := r.LogFile(t.Context(), "x", filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "log artifact x") {
		t.Errorf("missing file: %v", err)
	}
	// The content begins at the present position of the reader.
	content := strings.NewReader("0123456789")
	_, _ = content.Seek(4, 0)
	must(t, r.LogArtifact(t.Context(), "tail", content))
	var b strings.Builder
	must(t, r.c.DownloadArtifact(t.Context(), r.ID(), "tail", &b))
	if b.String() != "456789" {
		t.Errorf("tail is %q", b.String())
	}
}

func TestCutKeepsCharacters(t *testing.T) {
	r := mustStart(t, mustOpen(t, config(t, "")), "one")
	must(t, r.SetTags(t.Context(), []Tag{{"long", strings.Repeat("ü", 9000)}}))
	run, err := r.c.GetRun(t.Context(), r.ID())
	must(t, err)
	if v := run.Tag("long"); utf8.RuneCountInString(v) != 8000 || !utf8.ValidString(v) {
		t.Errorf("tag has %d characters", utf8.RuneCountInString(v))
	}
}

func BenchmarkEmbeddedOpenAndStart(b *testing.B) {
	for b.Loop() {
		c, err := Open(b.Context(), Config{Dir: b.TempDir(), Env: mapEnv(nil), ExperimentName: "exp"})
		must(b, err)
		_, err = c.StartRun(b.Context(), RunSpec{Name: "x"})
		must(b, err)
		must(b, c.Close())
	}
}
