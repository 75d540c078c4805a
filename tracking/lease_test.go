package tracking

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// runEnv makes the test binary a process that logs a run to the server in
// crashURI, with its spool and lease below the folder in it, and writes a line
// after each step.
const runEnv = "CTRX_TEST_RUN_DIR"

func logARun(dir string) error {
	ctx := context.Background()
	c, err := Open(ctx, Config{URI: os.Getenv(crashURI), ExperimentName: "exp", Dir: dir, Env: unhurried, Wait: instant})
	if err != nil {
		return err
	}
	run, err := c.StartRun(ctx, RunSpec{Name: "one"})
	if err != nil {
		return err
	}
	fmt.Println(0)
	for i := range 3 {
		err = errors.Join(
			run.LogParams(ctx, []Param{{fmt.Sprint("p", i), "v"}}),
			run.LogMetrics(ctx, []Metric{{Key: "m", Value: float64(i), Step: int64(i)}}),
		)
		if err != nil {
			return err
		}
		fmt.Println(i + 1)
	}
	if err := run.Finish(ctx, Finished, time.Time{}); err != nil {
		return err
	}
	fmt.Println(4)
	return c.Close()
}

// startRun begins a process that logs a run; steps gives the lines it writes.
func startRun(t *testing.T, dir, uri string) (cmd *exec.Cmd, steps *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), runEnv+"="+dir, crashURI+"="+uri)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

func leases(t *testing.T, cfg Config) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(cfg.leaseDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".tmp" { // being written when the process was killed; it goes after an hour
			names = append(names, e.Name())
		}
	}
	return names
}

// A process that logs a run is killed with kill -9 at each of its requests,
// before and after the server has done the work. The next process finds the
// run, once, and gives it its end.
func TestLoggerKilled(t *testing.T) {
	for at := 1; ; at++ {
		r := newRemote(t)
		cfg := config(t, r.URL)
		reached := make(chan struct{})
		n := 0
		r.setRefuse(func(_ http.ResponseWriter, req *http.Request) bool {
			if n++; n != at {
				return false
			}
			if at%2 == 0 {
				r.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			close(reached)
			return hang(nil, req)
		})
		cmd, steps := startRun(t, cfg.Dir, r.URL)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for steps.Scan() {
			}
		}()
		killed := false
		select {
		case <-reached:
			must(t, cmd.Process.Kill())
			killed = true
		case <-done:
		}
		<-done
		if err := cmd.Wait(); err != nil && !killed {
			t.Fatal(err)
		}
		r.setRefuse(nil)
		result, err := Sync(t.Context(), cfg)
		must(t, err)
		if left := leases(t, cfg); len(left) > 0 {
			t.Errorf("killed at request %d: left %v", at, left)
		}
		if !killed {
			if at < 8 {
				t.Errorf("a run has %d requests only", at-1)
			}
			return
		}
		c := mustOpen(t, cfg)
		e, err := c.rest.experimentByName(t.Context(), "exp")
		if err != nil {
			if len(result.Reaped) != 0 {
				t.Errorf("killed at request %d: reaped %v", at, result.Reaped)
			}
			continue // killed before there was an experiment
		}
		page, err := c.SearchRuns(t.Context(), RunQuery{Experiments: []string{e.ID}})
		must(t, err)
		if len(page.Runs) > 1 || len(page.Runs) != len(result.Reaped) {
			t.Fatalf("killed at request %d: %d runs, reaped %v", at, len(page.Runs), result.Reaped)
		}
		for _, run := range page.Runs {
			if want := result.Reaped[0].Status; run.Status != want || run.EndTime.IsZero() {
				t.Errorf("killed at request %d: %s, ended %v, want %s", at, run.Status, run.EndTime, want)
			}
		}
	}
}

// The server is down, and the process is killed between two lines of its spool.
// All that it had logged is there in the end, and the run is KILLED.
func TestSpoolingLoggerKilled(t *testing.T) {
	for at := range 5 {
		r := newRemote(t)
		r.setRefuse(down)
		cfg := config(t, r.URL)
		cmd, steps := startRun(t, cfg.Dir, r.URL)
		for steps.Scan() && steps.Text() != strconv.Itoa(at) {
		}
		must(t, cmd.Process.Kill())
		for steps.Scan() {
		}
		_ = cmd.Wait()
		r.setRefuse(nil)
		result := mustSync(t, cfg)
		c := mustOpen(t, cfg)
		if len(result.Runs) != 1 || len(leases(t, cfg)) > 0 {
			t.Fatalf("%+v, left %v", result, leases(t, cfg))
		}
		run, err := c.GetRun(t.Context(), result.Runs[0].ID)
		must(t, err)
		// It may have come further before the kill arrived.
		if len(run.Params) < min(at, 3) || run.Status != Killed && run.Status != Finished || at == 4 && run.Status != Finished {
			t.Errorf("killed after step %d: %s with %v", at, run.Status, run.Params)
		}
	}
}

func TestReap(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	alive, dead := mustStart(t, c, "one"), mustStart(t, c, "two")
	must(t, dead.lease.lock.Unlock()) // as the kernel does
	seen := time.UnixMilli(77_000)
	must(t, os.Chtimes(dead.lease.base+".json", seen, seen))

	r.setRefuse(down)
	if reaped, err := c.Reap(t.Context()); err == nil || len(reaped) != 0 {
		t.Errorf("server down: %v, %v", reaped, err)
	}
	r.setRefuse(nil)
	c = mustOpen(t, cfg)
	reaped, err := c.Reap(t.Context())
	must(t, err)
	if len(reaped) != 1 || reaped[0].ID != dead.ID() || reaped[0].Status != Killed {
		t.Errorf("reaped %+v", reaped)
	}
	if got, err := c.GetRun(t.Context(), dead.ID()); err != nil || got.Status != Killed || !got.EndTime.Equal(seen) {
		t.Errorf("dead run: %+v, %v", got, err)
	}
	if got, err := c.GetRun(t.Context(), alive.ID()); err != nil || got.Status != Running {
		t.Errorf("living run: %+v, %v", got, err)
	}
	must(t, alive.Finish(t.Context(), Finished, time.Time{}))
	if left := leases(t, cfg); len(left) != 0 {
		t.Errorf("left %v", left)
	}

	// What cannot be read, and what is of another machine.
	must(t, os.WriteFile(filepath.Join(cfg.leaseDir(), "torn.json"), []byte(`{"ver`), 0o666))
	elsewhere := filepath.Join(cfg.leaseDir(), "elsewhere.json")
	must(t, os.WriteFile(elsewhere, []byte(`{"version": 1, "key": "elsewhere", "uri": "`+r.URL+`", "process": {"pid": 1, "host": "elsewhere"}}`), 0o666))
	if reaped, err := c.Reap(t.Context()); err != nil || len(reaped) != 0 {
		t.Errorf("%v, %v", reaped, err)
	}
	if left := leases(t, cfg); len(left) != 2 {
		t.Errorf("left %v, want the lease of the other machine and its lock", left)
	}
}
