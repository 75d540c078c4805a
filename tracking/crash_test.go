package tracking

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"ctrx/internal/errs"
)

// crashEnv makes the test binary a process that syncs the spool of the folder
// in it to the server in crashURI.
const crashEnv, crashURI = "CTRX_TEST_SYNC_DIR", "CTRX_TEST_SYNC_URI"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		_, err := Sync(context.Background(), Config{URI: os.Getenv(crashURI), Dir: dir, Env: func(string) string { return "" }})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(runEnv); dir != "" {
		if err := logARun(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Sync is killed with kill -9 at each of its requests, before and after the
// server has done the work. In the end everything is there, once.
func TestSyncKilled(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(down)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	for _, name := range []string{"one", "two"} {
		run := mustStart(t, c, name)
		logAll(t, run)
		must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
	}
	hold := make(chan struct{})
	defer close(hold)
	kills := 0
	for at, progress := 1, true; progress; at++ {
		if kills > 80 {
			t.Fatal("no end")
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+cfg.Dir, crashURI+"="+r.URL)
		cmd.Stderr = os.Stderr
		n := 0
		reached := make(chan struct{})
		r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			if n++; n != min(at, 4) {
				return false
			}
			if at%2 == 0 { // the work is done, the answer does not arrive
				r.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			close(reached)
			select {
			case <-hold:
			case <-req.Context().Done():
			}
			return true
		})
		must(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-reached:
			must(t, cmd.Process.Kill())
			<-done
			kills++
		case err := <-done:
			must(t, err)
			progress = false
		}
	}
	r.setRefuse(nil)
	if kills < 8 {
		t.Errorf("only %d kills", kills)
	}
	all := runs(t, c)
	if len(all) != 2 {
		t.Errorf("%d runs on the server, want 2", len(all))
	}
	for _, run := range all {
		checkAll(t, c, run.ID)
		if run.Status != Finished {
			t.Errorf("run %s is %s", run.Name, run.Status)
		}
	}
	if left := spoolFiles(t, cfg); len(left) != 0 {
		t.Errorf("the spool still has %v", left)
	}
	// A killed Sync leaves no lock.
	if _, err := Sync(t.Context(), cfg); errs.KindOf(err) == errs.Conflict {
		t.Error(err)
	}
}
