package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testreq"
	"ctrx/internal/testserver"
)

// startMLflow runs a real server on a store of the embedded one until the test
// ends.
func startMLflow(t *testing.T, address, dir string) {
	t.Helper()
	server, err := testserver.StartMLflow(t.Context(), testserver.MLflow{Dir: dir, Address: address})
	must(t, err)
	t.Cleanup(func() {
		server.Stop()
		if t.Failed() {
			t.Logf("mlflow server:\n%s", server.Log())
		}
	})
}

// pythonClient reads runs with MLflow's own client through a server and
// straight from the file, then logs to a run as a stage command would.
const pythonClient = `
import json, math, os, sys, tempfile, warnings
warnings.filterwarnings("ignore")
import mlflow
from mlflow import MlflowClient

http, sqlite, serve, stage_run, *ids = sys.argv[1:]

def dump(client, id):
    r = client.get_run(id)
    return {
        "name": r.info.run_name, "status": r.info.status, "start": r.info.start_time, "end": r.info.end_time,
        "params": r.data.params, "tags": r.data.tags,
        "loss": len(client.get_metric_history(id, "loss")),
        "nan": math.isnan(r.data.metrics["odd"]), "inf": r.data.metrics["big"],
        "inputs": [[i.dataset.name, i.dataset.digest, i.dataset.source_type, i.dataset.source, {t.key: t.value for t in i.tags}] for i in r.inputs.dataset_inputs],
        "artifacts": sorted(a.path for a in client.list_artifacts(id)),
    }

out = {"http": {}, "sqlite": {}}
for id in ids:
    out["http"][id] = dump(MlflowClient(http), id)
mlflow.set_tracking_uri(http)
with tempfile.TemporaryDirectory() as d:
    out["lock"] = open(mlflow.artifacts.download_artifacts(run_id=ids[0], artifact_path="dvc.lock", dst_path=d)).read()
sql = MlflowClient(sqlite)
for id in ids:
    r = sql.get_run(id)
    out["sqlite"][id] = r.info.run_name
experiment = sql.get_experiment_by_name("exp").experiment_id
out["found"] = [r.info.run_name for r in sql.search_runs([experiment], "params.lr = '0.1' and metrics.big < 0", order_by=["attributes.start_time ASC"])]

mlflow.set_tracking_uri(serve)
os.environ["MLFLOW_RUN_ID"] = stage_run
with mlflow.start_run():
    mlflow.log_metric("stage_auc", 0.75, step=3)
    mlflow.log_metrics({"stage_nan": float("nan")})
    mlflow.log_params({"stage.depth": 5})
    mlflow.set_tag("stage", "train")
    mlflow.log_text("from python", "stage/note.txt")
    mlflow.log_dict({"a": 1}, "stage/d.json")
print(json.dumps(out))
`

type pythonRun struct {
	Name, Status string
	Start, End   int64
	Params, Tags map[string]string
	Loss         int
	NaN          bool `json:"nan"`
	Inf          float64
	Inputs       [][]any
	Artifacts    []string
}

// One real server covers both directions: it migrates a store that the
// embedded server made, the client logs to it, and both write the same file
// afterwards.
func TestMLflow(t *testing.T) {
	testreq.Need(t, testreq.MLflow)
	testreq.NeedModules(t, "mlflow")
	ctx := t.Context()
	address := closedAddress(t)

	complete := func(c *Client, name string) *Run {
		t.Helper()
		run := mustStart(t, c, name)
		logAll(t, run)
		must(t, run.LogMetrics(ctx, []Metric{{Key: "odd", Value: math.NaN()}, {Key: "big", Value: math.Inf(-1)}}))
		must(t, run.Finish(ctx, Finished, time.UnixMilli(9000)))
		return run
	}

	local := config(t, "")
	embedded := mustOpen(t, local)
	before := complete(embedded, "one") // written before MLflow saw the file
	uri := "http://" + address
	spooled := complete(mustOpen(t, config(t, uri)), "spooled") // the server is not up yet
	spoolCfg := spooled.c.cfg

	startMLflow(t, address, local.Dir)
	remote := mustOpen(t, config(t, uri))
	direct := complete(remote, "direct")
	if direct.Spooled() {
		t.Fatalf("the run went to the spool: %q", remote.cfg.Sink.(*recorder).texts(1))
	}
	result := mustSync(t, spoolCfg)
	if len(result.Runs) != 1 || len(mustSync(t, spoolCfg).Runs) != 0 {
		t.Fatalf("sync: %+v", result)
	}
	after := complete(embedded, "after") // the embedded server on the migrated file
	ids := []string{before.ID(), direct.ID(), result.Runs[0].ID, after.ID()}
	for _, id := range ids {
		checkAll(t, remote, id)
		checkAll(t, embedded, id)
	}
	checkRefusalsOfMLflow(t, remote)
	checkMovesOfMLflow(t, remote.cfg, ids)
	checkModelsOfMLflow(t, remote.cfg)

	stage := mustStart(t, embedded, "stage")
	serve, stop, err := embedded.Serve(ctx)
	must(t, err)
	out := runPython(t, append([]string{uri, embedded.URI(), serve, stage.ID()}, ids...)...)
	must(t, stop())
	for i, name := range []string{"one", "direct", "spooled", "after"} {
		checkPythonRun(t, name, out.HTTP[ids[i]])
		if got := out.Sqlite[ids[i]]; got != name {
			t.Errorf("from the file, run %s has the name %q", name, got)
		}
	}
	if out.Lock != "schema: '2.0'\n" {
		t.Errorf("dvc.lock as Python downloads it: %q", out.Lock)
	}
	if got := strings.Join(out.Found, " "); got != "one direct spooled after" && !strings.HasPrefix(got, "one ") || len(out.Found) != 4 {
		t.Errorf("search found %q", got)
	}
	record, err := embedded.GetRun(ctx, stage.ID())
	must(t, err)
	var note strings.Builder
	must(t, embedded.DownloadArtifact(ctx, stage.ID(), "stage/note.txt", &note))
	if len(record.Metrics) != 2 || len(record.Params) != 1 || record.Params[0] != (Param{"stage.depth", "5"}) || record.Tag("stage") != "train" || note.String() != "from python" {
		t.Errorf("what the stage logged: %+v, note %q", record, note.String())
	}
}

// checkModelsOfMLflow moves models and traces to the real server and on to a
// third one, and home again.
func checkModelsOfMLflow(t *testing.T, remote Config) {
	t.Helper()
	home, third := config(t, ""), config(t, "")
	home.ExperimentName, third.ExperimentName, remote.ExperimentName = "models", "models", "models"
	c := mustOpen(t, home)
	logModels(t, c, "ctr")
	o := MoveOptions{Dir: t.TempDir(), Experiments: []string{"models"}}
	export(t, home, o)
	for i := range 2 {
		got, err := Import(t.Context(), remote, o)
		if want := 1 - i; err != nil || got.LoggedModels != want || got.Traces != want || got.RegisteredModels != want || got.ModelVersions != 2*want || len(got.NotMoved) != 0 {
			t.Errorf("import %d: %+v, %v", i+1, got, err)
		}
		checkModels(t, mustOpen(t, remote), "ctr")
	}
	back := MoveOptions{Dir: t.TempDir(), Experiments: []string{"models"}}
	if got := export(t, remote, back); got.LoggedModels != 1 || got.Traces != 1 || got.RegisteredModels != 1 || len(got.NotMoved) != 0 {
		t.Errorf("exported %+v", got)
	}
	for range 2 {
		if _, err := Import(t.Context(), third, back); err != nil {
			t.Fatal(err)
		}
		checkModels(t, mustOpen(t, third), "ctr")
	}
}

// checkMovesOfMLflow takes the runs of the real server elsewhere, and brings
// others to it; and ends a run there whose process was killed.
func checkMovesOfMLflow(t *testing.T, remote Config, ids []string) {
	t.Helper()
	o := MoveOptions{Dir: t.TempDir(), Experiments: []string{"exp"}}
	if got := export(t, remote, o); got.Runs < len(ids) {
		t.Errorf("exported %+v", got)
	}
	elsewhere := config(t, "")
	if _, err := Import(t.Context(), elsewhere, o); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, elsewhere)
	for _, r := range runs(t, c) {
		if slices.Contains(ids, r.Tag(movedFromTag)) {
			checkAll(t, c, r.ID)
			ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == r.Tag(movedFromTag) })
		}
	}
	if len(ids) > 0 {
		t.Errorf("not moved: %v", ids)
	}

	source := config(t, "")
	source.ExperimentName = "moved"
	nested(t, mustOpen(t, source))
	o = MoveOptions{Dir: t.TempDir(), Experiments: []string{"moved"}, Deleted: true}
	if got := export(t, source, o); got.Runs != 3 {
		t.Errorf("exported %+v", got)
	}
	for i, want := range []int{3, 0} {
		if got, err := Import(t.Context(), remote, o); err != nil || got.Runs != want || got.Unchanged != 3-want {
			t.Errorf("import %d: %+v, %v", i+1, got, err)
		}
	}
	server := mustOpen(t, remote)
	e, err := server.ExperimentByName(t.Context(), "moved")
	must(t, err)
	page, err := server.SearchRuns(t.Context(), RunQuery{Experiments: []string{e.ID}})
	must(t, err)
	if len(page.Runs) != 2 || page.Runs[1].Tag(parentTag) != page.Runs[0].ID {
		t.Errorf("on the server: %+v", page.Runs)
	}
	checkAll(t, server, page.Runs[0].ID)

	dead := mustStart(t, server, "dead")
	must(t, dead.lease.lock.Unlock()) // as the kernel does
	if reaped, err := server.Reap(t.Context()); err != nil || len(reaped) != 1 {
		t.Errorf("reaped %+v, %v", reaped, err)
	}
	if got, err := server.GetRun(t.Context(), dead.ID()); err != nil || got.Status != Killed || got.EndTime.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, dead.Reopen(t.Context()))
	if got, err := server.GetRun(t.Context(), dead.ID()); err != nil || got.Status != Running {
		t.Errorf("opened again: %+v, %v", got, err)
	}
}

// checkRefusalsOfMLflow tries on the real server what the client relies on.
func checkRefusalsOfMLflow(t *testing.T, c *Client) {
	t.Helper()
	ctx := t.Context()
	run := mustStart(t, c, "refusals")
	must(t, c.apply(ctx, target{id: run.ID()}, splitBatch(operation{Params: paramsOf("b", "1")})[0]))
	must(t, run.LogParams(ctx, []Param{{"b", "2"}, {"a[0]", "x"}, {"a(0)", "y"}, {"../odd//key", "z"}}))
	record, err := c.GetRun(ctx, run.ID())
	must(t, err)
	if len(record.Params) != 4 || record.Tag("ctrx.param.b") != "2" {
		t.Errorf("params %v, tags %v", record.Params, record.Tags)
	}
	must(t, run.Finish(ctx, Killed, time.Time{}))
	if _, err := c.GetRun(ctx, strings.Repeat("0", 32)); err == nil || !strings.Contains(err.Error(), "404 RESOURCE_DOES_NOT_EXIST") {
		t.Errorf("missing run: %v", err)
	}
	list, err := c.Experiments(ctx)
	must(t, err)
	if len(list) != 2 {
		t.Errorf("experiments %+v", list)
	}
}

type pythonOut struct {
	HTTP   map[string]pythonRun
	Sqlite map[string]string
	Lock   string
	Found  []string
}

func runPython(t *testing.T, args ...string) pythonOut {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-c", pythonClient}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	var out pythonOut
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &out); err != nil {
		t.Fatalf("python printed %s: %v", stdout.String(), err)
	}
	return out
}

func checkPythonRun(t *testing.T, name string, r pythonRun) {
	t.Helper()
	if r.Name != name || r.Status != "FINISHED" || r.End != 9000 {
		t.Errorf("run %s: name %q, status %s, end %d", name, r.Name, r.Status, r.End)
	}
	if r.Params["lr"] != "0.1" || len([]rune(r.Params["notes"])) != 6000 {
		t.Errorf("run %s: params %.100v", name, r.Params)
	}
	if r.Loss != points || !r.NaN || r.Inf != -math.MaxFloat64 {
		t.Errorf("run %s: %d points of loss, odd is NaN: %v, big %v", name, r.Loss, r.NaN, r.Inf)
	}
	if r.Tags["team"] != "ctr" || r.Tags["mlflow.note.content"] != "a note" || r.Tags["mlflow.runName"] != name {
		t.Errorf("run %s: tags %v", name, r.Tags)
	}
	if len(r.Inputs) != 1 || r.Inputs[0][0] != "data/raw" || r.Inputs[0][1] != strings.Repeat("a", 32)+".dir" || r.Inputs[0][4].(map[string]any)["mlflow.data.context"] != "training" {
		t.Errorf("run %s: inputs %v", name, r.Inputs)
	}
	if got := strings.Join(r.Artifacts, " "); got != "dvc.lock params plots" {
		t.Errorf("run %s: artifacts %s", name, got)
	}
}
