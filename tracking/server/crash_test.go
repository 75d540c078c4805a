package server

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/tracking/wire"
)

// crashEnv makes the test binary a process that writes until it is killed.
const crashEnv = "CTRX_TEST_WRITE_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled creates runs and logs batches of ten points and ten tags.
func writeUntilKilled(dir string) {
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")})
	send := func(call, body string) string {
		req := httptest.NewRequest("POST", "http://localhost"+api+call, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if w.Code != 200 {
			fmt.Fprintln(os.Stderr, w.Body)
			os.Exit(1)
		}
		return w.Body.String()
	}
	for {
		_, id, _ := strings.Cut(send("runs/create", `{"experiment_id": "0"}`), `"run_uuid":"`)
		id = id[:32]
		fmt.Println(id) // the run is acknowledged from here on
		for n := range 20 {
			var points, tags []string
			for i := range 10 {
				points = append(points, fmt.Sprintf(`{"key": "k%d", "value": 1, "timestamp": %d}`, i, n))
				tags = append(tags, fmt.Sprintf(`{"key": "t%d-%d", "value": "x"}`, n, i))
			}
			send("runs/log-batch", fmt.Sprintf(`{"run_id": "%s", "metrics": [%s], "tags": [%s]}`, id, strings.Join(points, ","), strings.Join(tags, ",")))
		}
	}
}

// After a kill -9 the database is valid, acknowledged runs are there, and no
// batch is there in part.
func TestKill(t *testing.T) {
	for _, c := range []struct {
		runs  int // wait until so many runs are acknowledged; 0: until the file appears
		after time.Duration
	}{{0, 0}, {0, 3 * time.Millisecond}, {0, 10 * time.Millisecond}, {1, 0}, {2, 5 * time.Millisecond}, {3, 20 * time.Millisecond}} {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for c.runs == 0 {
			if _, err := os.Stat(filepath.Join(dir, "mlflow.db")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		var acknowledged []string
		lines := bufio.NewScanner(out)
		for len(acknowledged) < c.runs && lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
		}
		time.Sleep(c.after)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
		}
		if err := cmd.Wait(); err == nil || strings.Contains(err.Error(), "exit status") {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		if len(acknowledged) < c.runs {
			t.Fatalf("%d runs, want %d before the kill", len(acknowledged), c.runs)
		}
		checkAfterKill(t, dir, acknowledged)
	}
}

func checkAfterKill(t *testing.T, dir string, acknowledged []string) {
	t.Helper()
	f := fixture{New(Options{DB: filepath.Join(dir, "mlflow.db")}), dir}
	defer f.Close()
	f.newRun(t) // and it can be written
	for i, id := range acknowledged {
		if i == len(acknowledged)-1 && len(id) < 32 {
			break // the last line of the output may be cut
		}
		f.run(t, id)
	}
	var out struct{ Runs []wire.Run }
	f.post(t, "runs/search", m{"experiment_ids": []string{"0"}}, &out)
	for _, r := range out.Runs {
		if tags := len(r.Data.Tags) - 1; tags%10 != 0 || len(r.Data.Metrics) != 0 && len(r.Data.Metrics) != 10 || tags > 0 != (len(r.Data.Metrics) > 0) {
			t.Errorf("run %s has %d tags and %d metrics: a part of a batch", r.Info.RunID, tags, len(r.Data.Metrics))
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
