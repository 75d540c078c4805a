package server

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/testreq"
	"ctrx/internal/testserver"
	"ctrx/tracking/wire"
)

// `mlflow db upgrade` takes a file of this package to MLflow's newest revision.
// It keeps the indexes of ctrx, and ctrx goes on reading and writing. Then both
// servers write the file at once, and each sees all runs.
func TestUpgradedByMLflow(t *testing.T) {
	t.Parallel()
	testreq.Need(t, testreq.MLflow)
	testreq.NeedModules(t, "mlflow")
	f := newFixture(t)
	old := f.newRun(t)
	f.post(t, "runs/log-batch", m{"run_id": old, "params": []m{{"key": "lr", "value": "0.1"}}, "metrics": []m{{"key": "auc", "value": 0.5, "timestamp": 1}}, "tags": []m{{"key": "t", "value": "x"}}}, nil)
	before, revision := catalogue(t, f)
	if len(before) != strings.Count(indexSQL, "CREATE INDEX") || revision != Revision {
		t.Fatalf("indexes %v at revision %s", before, revision)
	}
	upgrade := exec.CommandContext(t.Context(), "mlflow", "db", "upgrade", "sqlite:///"+filepath.ToSlash(filepath.Join(f.dir, "mlflow.db")))
	upgrade.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true")
	if out, err := upgrade.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after, revision := catalogue(t, f)
	if revision == Revision {
		t.Errorf("the file is at %s still", revision)
	}
	for name, text := range before {
		if after[name] != text {
			t.Errorf("index %s was %s, is now %q", name, text, after[name])
		}
	}
	for _, filter := range []string{"params.lr = '0.1'", "metrics.auc > 0.4", "tags.t = 'x'"} {
		var out struct{ Runs []wire.Run }
		f.post(t, "runs/search", m{"experiment_ids": []string{"0"}, "filter": filter}, &out)
		if len(out.Runs) != 1 || out.Runs[0].Info.RunID != old {
			t.Errorf("%s finds %v", filter, out.Runs)
		}
	}
	writeBoth(t, f)
}

// catalogue gives the indexes of ctrx with their SQL, and MLflow's revision.
func catalogue(t *testing.T, f fixture) (found map[string]string, revision string) {
	t.Helper()
	found = map[string]string{}
	if err := f.store.read(t.Context(), func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(t.Context(), "SELECT version_num FROM alembic_version").Scan(&revision); err != nil {
			return err
		}
		return each(t.Context(), tx, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE ?", "ctrx_%", func(row scanner) error {
			var name, text string
			err := row.Scan(&name, &text)
			found[name] = text
			return err
		})
	}); err != nil {
		t.Fatal(err)
	}
	return found, revision
}

// writeBoth lets a real server and this one log runs to one file at once.
func writeBoth(t *testing.T, f fixture) {
	t.Helper()
	real, err := testserver.StartMLflow(t.Context(), testserver.MLflow{Dir: f.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer real.Stop()
	own := httptest.NewServer(f.Server)
	defer own.Close()
	status, answer := f.request(t, "POST", traces, traceOf("0", 1, "OK", m{"mlflow.traceName": "outer"}, m{}))
	f.decode(t, traces, status, answer, nil)
	const writers, each = 2, 15
	g, ctx := errgroup.WithContext(t.Context())
	for i, base := range []string{real.URL, own.URL} {
		for w := range writers {
			g.Go(func() error {
				for n := range each {
					if err := logRun(ctx, base, fmt.Sprintf("%d-%d-%d", i, w, n)); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, real.Log())
	}
	for _, base := range []string{real.URL, own.URL} {
		var found struct{ Traces []traceInfo }
		if err := ask(t.Context(), base, "../../3.0/mlflow/traces/search", m{"locations": []m{{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": m{"experiment_id": "0"}}},
			"filter": "attributes.name = 'outer' AND attributes.status = 'OK'"}, &found); err != nil {
			t.Fatal(err)
		}
		if len(found.Traces) != 1 || found.Traces[0].Tags["mlflow.traceName"] != "outer" || found.Traces[0].Request != "in" {
			t.Errorf("%s shows the traces %+v", base, found.Traces)
		}
		var out struct{ Runs []wire.Run }
		if err := ask(t.Context(), base, "runs/search", m{"experiment_ids": []string{"0"}, "filter": "tags.both = 'yes'", "max_results": 1000}, &out); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range out.Runs {
			seen[r.Info.RunName] = true
			if len(r.Data.Params) != 5 || len(r.Data.Metrics) != 5 || r.Info.Status != "FINISHED" {
				t.Errorf("%s: run %s is %s with %d parameters and %d metrics", base, r.Info.RunName, r.Info.Status, len(r.Data.Params), len(r.Data.Metrics))
			}
		}
		if len(seen) != 2*writers*each {
			t.Errorf("%s shows %d runs", base, len(seen))
		}
	}
	db, err := f.store.openReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var check string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("integrity check: %s, %v", check, err)
	}
}

func logRun(ctx context.Context, base, name string) error {
	var out runAnswer
	if err := ask(ctx, base, "runs/create", m{"experiment_id": "0", "run_name": name, "start_time": 1, "tags": []m{{"key": "both", "value": "yes"}}}, &out); err != nil {
		return err
	}
	id := out.Run.Info.RunID
	var params, metrics []m
	for k := range 5 {
		params = append(params, m{"key": fmt.Sprint("p", k), "value": name})
		metrics = append(metrics, m{"key": fmt.Sprint("m", k), "value": k, "timestamp": k})
	}
	if err := ask(ctx, base, "runs/log-batch", m{"run_id": id, "params": params, "metrics": metrics}, nil); err != nil {
		return err
	}
	return ask(ctx, base, "runs/update", m{"run_id": id, "status": "FINISHED", "end_time": 2}, nil)
}

// ask sends a request to a server on a socket.
func ask(ctx context.Context, base, call string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", base+path.Join(api, call), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		return fmt.Errorf("%s%s: %s %s %v", base, call, resp.Status, data, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}
