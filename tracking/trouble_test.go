package tracking

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/event"
)

// hang never answers.
func hang(_ http.ResponseWriter, req *http.Request) bool {
	_, _ = io.Copy(io.Discard, req.Body) // else nobody notices that the client has gone
	<-req.Context().Done()
	return true
}

// reset breaks the connection in the middle of the answer.
func reset(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"run": {"info"`)
	panic(http.ErrAbortHandler)
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "1000")
		w.WriteHeader(code)
		return true
	}
}

// A server gets into trouble at some request of a run. The run goes on at once:
// after the first attempts it asks the server nothing more, all is in the
// spool, and a later Sync brings everything there, once.
func TestFaultyServer(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"hangs": hang, "resets": reset, "500": status(500), "503": down, "full": status(507), "429": status(429),
	} {
		for _, at := range []int{1, 4, 9} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRemote(t)
				var mu sync.Mutex
				n, faults := 0, 0
				r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
					mu.Lock()
					n++
					faulty := n >= at
					if faulty {
						faults++
					}
					mu.Unlock()
					return faulty && fault(w, req)
				})
				cfg := config(t, r.URL)
				cfg.Env = mapEnv(nil)
				if at > 1 && name != "hangs" { // only what is asked of time is in a hurry
					cfg.Env = unhurried
				}
				cfg.Wait = wait
				c := mustOpen(t, cfg)
				run := mustStart(t, c, "one")
				logAll(t, run)
				must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
				if !run.Spooled() {
					t.Error("the run did not go to the spool")
				}
				// Two for an artifact, two for what comes next: the artifact store
				// alone may be in trouble. One that hangs is not asked again.
				mu.Lock()
				asked := faults
				mu.Unlock()
				if asked > 4 || name == "hangs" && asked > 1 {
					t.Errorf("%d requests to a server in trouble", asked)
				}
				r.setRefuse(nil)
				mustSync(t, cfg)
				all := runs(t, c)
				if len(all) != 1 || all[0].Status != Finished {
					t.Fatalf("%d runs on the server: %+v", len(all), all)
				}
				checkAll(t, c, all[0].ID)
			})
		}
	}
}

// Each answer of a slow server comes, but together they cost a run no more than
// a second over what is usual.
func TestSlowServer(t *testing.T) {
	r := newRemote(t)
	var mu sync.Mutex
	now := time.UnixMilli(1_000_000)
	r.setRefuse(func(http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(usual + 300*time.Millisecond)
		return false
	})
	cfg := config(t, r.URL)
	cfg.Env = mapEnv(nil)
	cfg.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	run := mustStart(t, mustOpen(t, cfg), "one")
	asked := 0
	for !run.Spooled() && asked < 100 {
		must(t, run.SetTags(t.Context(), []Tag{{"n", "x"}}))
		asked++
	}
	// Two requests find that the experiment is new and make it, one makes the run.
	if asked > 2 { // a busy machine may make it fewer
		t.Errorf("%d requests after the start", asked)
	}
	if w := cfg.Sink.(*recorder).texts(event.Warn); len(w) != 1 || !strings.Contains(w[0], "no answer within") {
		t.Errorf("warnings %q", w)
	}
}

func TestTrouble(t *testing.T) {
	failure := &networkError{errors.New("gone")}
	type step struct {
		took, expected time.Duration
		err            error
		left           time.Duration
	}
	const ms = time.Millisecond
	for name, steps := range map[string][]step{
		"usual answers":    {{200 * ms, 250 * ms, nil, 1000 * ms}},
		"slow answers":     {{650 * ms, 250 * ms, nil, 600 * ms}, {650 * ms, 250 * ms, nil, 200 * ms}, {650 * ms, 250 * ms, nil, 0}},
		"failures":         {{300 * ms, 250 * ms, failure, 700 * ms}, {800 * ms, 250 * ms, failure, 0}},
		"well again":       {{900 * ms, 250 * ms, failure, 100 * ms}, {10 * ms, 250 * ms, nil, 1000 * ms}},
		"a refusal is one": {{10 * ms, 250 * ms, &ServerError{Status: 400}, 1000 * ms}},
		"a full disk":      {{10 * ms, 250 * ms, &ServerError{Status: 507}, 990 * ms}},
	} {
		tr := newTrouble(time.Second)
		now := time.UnixMilli(0)
		for i, s := range steps {
			tr.settle(s.took, s.expected, now, s.err)
			if tr.left != s.left {
				t.Errorf("%s, step %d: %v left, want %v", name, i, tr.left, s.left)
			}
		}
		if tr.left > 0 {
			continue
		}
		if _, err := tr.room(now.Add(afresh-1), 0); !isNetwork(err) {
			t.Errorf("%s: room where there is none: %v", name, err)
		}
		if room, err := tr.room(now.Add(afresh), 0); room != time.Second || err != nil {
			t.Errorf("%s: later: %v, %v", name, room, err)
		}
	}
}

// poisoned refuses every request that has the word in it, as MLflow refuses a
// key that it does not like.
func poisoned(r *remote) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, apiPath+"runs/log-") {
			return false
		}
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		if !bytes.Contains(body, []byte("poison")) || bytes.Contains(body, []byte(RefusedTag)) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error_code": "INVALID_PARAMETER_VALUE", "message": "not this"}`)
		return true
	}
}

// One bad item costs itself, and that visibly.
func TestRefusedItems(t *testing.T) {
	for _, spooled := range []bool{false, true} {
		r := newRemote(t)
		cfg := config(t, r.URL)
		c := mustOpen(t, cfg)
		if spooled {
			r.setRefuse(down)
		} else {
			r.setRefuse(poisoned(r))
		}
		run := mustStart(t, c, "one")
		var points []Metric
		for i := range int64(40) {
			points = append(points, Metric{Key: "loss", Value: float64(i), Step: i})
		}
		points = append(points[:20:20], append([]Metric{{Key: "poison", Value: 7}}, points[20:]...)...)
		must(t, run.LogParams(t.Context(), []Param{{"a", "1"}, {"b", "poison"}, {"c", "3"}}))
		must(t, run.LogMetrics(t.Context(), points))
		must(t, run.SetTags(t.Context(), []Tag{{"good", "yes"}, {"bad", "poison"}}))
		must(t, run.LogInputs(t.Context(), []Dataset{
			{Name: "poison", Digest: "1", SourceType: "local", Source: "{}"}, {Name: "clean", Digest: "2", SourceType: "local", Source: "{}"},
		}))
		must(t, run.Finish(t.Context(), Finished, time.Time{}))
		if run.Spooled() != spooled {
			t.Errorf("spooled: %v", run.Spooled())
		}
		if spooled {
			r.setRefuse(poisoned(r))
			mustSync(t, cfg)
		}
		all := runs(t, c)
		if len(all) != 1 {
			t.Fatalf("%d runs", len(all))
		}
		got := all[0]
		history, err := c.MetricHistory(t.Context(), got.ID, "loss")
		must(t, err)
		if len(history) != 40 || len(got.Params) != 2 || got.Tag("good") != "yes" || len(got.Datasets) != 1 || got.Status != Finished {
			t.Errorf("%d points, run %+v", len(history), got)
		}
		if !strings.Contains(got.Tag(RefusedTag), "not this") {
			t.Errorf("tag %q", got.Tag(RefusedTag))
		}
		kept, err := c.ListArtifacts(t.Context(), got.ID, refusedDir)
		must(t, err)
		var text strings.Builder
		for _, a := range kept {
			must(t, c.DownloadArtifact(t.Context(), got.ID, a.Path, &text))
		}
		for _, want := range []string{`"metrics":[{"key":"poison"`, `"value":"poison"`, `"name":"poison"`} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("kept: %s, without %s", text.String(), want)
			}
		}
		if w := strings.Join(cfg.Sink.(*recorder).texts(event.Warn), "\n"); !strings.Contains(w, "1 item(s) that the server does not take") {
			t.Errorf("warnings %s", w)
		}
	}
}

// A run that somebody deletes while it is logged goes to the spool, and the
// restored run gets the rest.
func TestDeletedUnderWay(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	change := func(call string) {
		must(t, c.rest.call(context.Background(), request{method: "POST", path: apiPath + "runs/" + call, in: map[string]string{"run_id": run.ID()}}, nil))
	}
	change("delete")
	must(t, run.SetTags(t.Context(), []Tag{{"a", "b"}}))
	must(t, run.Finish(t.Context(), Finished, time.Time{}))
	if _, err := Sync(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "is deleted") {
		t.Errorf("sync: %v", err)
	}
	change("restore")
	mustSync(t, cfg)
	if got, err := c.GetRun(t.Context(), run.ID()); err != nil || got.Tag("a") != "b" || got.Status != Finished {
		t.Errorf("%+v, %v", got, err)
	}
}
