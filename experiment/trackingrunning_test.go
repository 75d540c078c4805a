package experiment

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/tracking/ui"
)

// listen begins to serve a folder on a free port; the second value ends it.
func listen(t *testing.T, root string) (*TrackingServer, func()) {
	t.Helper()
	s, err := ListenTracking(t.Context(), TrackingServerOptions{Dir: root, Root: root, Project: true, UI: ui.Builtin, Experiment: "clicks",
		Env: func(string) string { return "" }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return s, end
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", address, resp.Status, err)
	}
	return string(text)
}

// A server of a project is found by the next one, for as long as it lives.
func TestRunningTracking(t *testing.T) {
	root := t.TempDir()
	running := func(want string) {
		t.Helper()
		got, err := RunningTracking(t.Context(), root)
		if err != nil || got != want {
			t.Errorf("running is %q, %v, want %q", got, err, want)
		}
	}
	running("")
	first, endFirst := listen(t, root)
	running(first.URL())
	_, endSecond := listen(t, root)
	endSecond()
	running(first.URL())

	// Its page leads to the project's experiment, which does not exist at first.
	if page := fetch(t, first.URL()+"/"); !strings.Contains(page, "static-files/start.js") {
		t.Errorf("the page is %.300s", page)
	}
	if script := fetch(t, first.URL()+"/static-files/start.js"); !strings.Contains(script, "#/experiments/0/runs") {
		t.Errorf("it leads to %s", script)
	}
	for _, name := range []string{"other", "clicks"} {
		resp, err := http.Post(first.URL()+"/api/2.0/mlflow/experiments/create", "application/json", strings.NewReader(`{"name": "`+name+`"}`))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("create %s: %v, %v", name, resp, err)
		}
		resp.Body.Close()
	}
	if script := fetch(t, first.URL()+"/static-files/start.js"); !strings.Contains(script, "#/experiments/2/runs") {
		t.Errorf("it leads to %s", script)
	}
	endFirst()
	running("")

	// What a killed server leaves is no server.
	_, note := serverFiles(root)
	if err := os.MkdirAll(filepath.Dir(note), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(note, []byte(`{"url": "http://127.0.0.1:1"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	running("")
	again, _ := listen(t, root)
	running(again.URL())
}

// A port that is taken is a conflict, and the hint says how to go on.
func TestPortTaken(t *testing.T) {
	root := t.TempDir()
	s, _ := listen(t, root)
	port, err := strconv.Atoi(s.URL()[strings.LastIndexByte(s.URL(), ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	_, err = ListenTracking(t.Context(), TrackingServerOptions{Dir: root, Port: port, UI: ui.Builtin, Env: func(string) string { return "" }, Now: time.Now})
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--port 0") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}
