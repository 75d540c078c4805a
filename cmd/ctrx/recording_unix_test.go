//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ctrx/tracking/server"
)

// slowBatches starts a tracking server. It calls arrived for the first batch
// that has the text, and lets that wait for a moment, or until its client gives
// up.
func (p *crashProject) slowBatches(t *testing.T, text string, arrived func()) (uri string) {
	t.Helper()
	store := server.New(server.Options{DB: filepath.Join(p.top, "server.db"), Artifacts: filepath.Join(p.top, "artifacts")})
	t.Cleanup(func() { check(t, store.Close()) })
	var once sync.Once
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/runs/log-batch") && bytes.Contains(body, []byte(text)) {
			once.Do(func() {
				arrived()
				select {
				case <-r.Context().Done():
				case <-time.After(500 * time.Millisecond):
				}
			})
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// checkRun looks for texts in what is known of the run 'x'.
func (p *crashProject) checkRun(t *testing.T, uri string, want ...string) {
	t.Helper()
	show := p.command(t, "ctrx", "runs", "show", "x", "--json")
	show.Env = append(show.Env, "MLFLOW_TRACKING_URI="+uri)
	text, err := show.Output()
	check(t, err)
	for _, w := range want {
		if !bytes.Contains(text, []byte(w)) {
			t.Errorf("the run has no %s: %.300s", w, text)
		}
	}
}

// TestInterruptedWhileRecording: a run whose stages are done is recorded whole
// although the signal comes while its results are on their way.
func TestInterruptedWhileRecording(t *testing.T) {
	t.Parallel()
	p := newCrashProject(t)
	check(t, os.Truncate(filepath.Join(p.dir, "raw.bin"), 1<<20))
	p.mustRun(t, "add", "-q", "raw.bin", "many")
	recording := make(chan struct{})
	uri := p.slowBatches(t, `"ctrx.experiment.commit"`, func() { close(recording) })

	cmd := p.command(t, "ctrx", "exp", "run", "-n", "x", "-S", "p=2")
	cmd.Env = append(cmd.Env, "MLFLOW_TRACKING_URI="+uri)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-recording:
	case err := <-ended:
		t.Fatalf("ended without results: %v\n%s", err, &out)
	}
	check(t, cmd.Process.Signal(syscall.SIGINT))
	err := <-ended
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	if !slices.Contains([]int{0, 130}, code) || strings.Contains(out.String(), "context canceled") {
		t.Errorf("exit code %d\n%s", code, &out)
	}
	p.checkRun(t, uri, `"status":"FINISHED"`, `"acc":1`, `"ctrx.experiment.commit"`)
}

// TestStageEndsWhilePointsAreSent: points that were read while the stage ran are
// sent although it ends before they have arrived.
func TestStageEndsWhilePointsAreSent(t *testing.T) {
	t.Parallel()
	p := newCrashProject(t)
	check(t, os.WriteFile(filepath.Join(p.dir, "dvc.yaml"), []byte(`stages:
  train:
    cmd: printf 'step,loss\n0,0.5\n1,0.25\n' > loss.csv; while ! test -e seen; do sleep 0.05; done
    plots:
    - loss.csv:
        cache: false
`), 0o666))
	uri := p.slowBatches(t, `"loss"`, func() {
		if err := os.WriteFile(filepath.Join(p.dir, "seen"), nil, 0o666); err != nil {
			t.Error(err)
		}
	})
	cmd := p.command(t, "ctrx", "exp", "run", "-n", "x")
	cmd.Env = append(cmd.Env, "MLFLOW_TRACKING_URI="+uri)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.checkRun(t, uri, `"status":"FINISHED"`, `"loss":0.25`)
}
