package tracking

import (
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/errs"
)

// nested logs a parent with one child, and a run that is deleted.
func nested(t *testing.T, c *Client) (parent, child, deleted *Run) {
	t.Helper()
	parent = mustStart(t, c, "one")
	logAll(t, parent)
	must(t, parent.Finish(t.Context(), Finished, time.UnixMilli(9000)))
	child, err := c.StartRun(t.Context(), RunSpec{Name: "child", Tags: []Tag{{parentTag, parent.ID()}}, StartTime: time.UnixMilli(500)})
	must(t, err)
	must(t, child.LogMetrics(t.Context(), []Metric{{Key: "odd", Value: math.NaN()}, {Key: "odd", Value: math.Inf(1), Step: 1}}))
	must(t, child.Finish(t.Context(), Failed, time.UnixMilli(8000)))
	deleted = mustStart(t, c, "two")
	must(t, deleted.Finish(t.Context(), Killed, time.UnixMilli(7000)))
	must(t, c.rest.call(t.Context(), request{method: "POST", path: apiPath + "runs/delete", in: map[string]string{"run_id": deleted.ID()}}, nil))
	return parent, child, deleted
}

func export(t *testing.T, cfg Config, o MoveOptions) Moved {
	t.Helper()
	moved, err := Export(t.Context(), cfg, o)
	must(t, err)
	return moved
}

func TestMoveBetweenServers(t *testing.T) {
	from, to := newRemote(t), newRemote(t)
	cfg := config(t, from.URL)
	c := mustOpen(t, cfg)
	parent, child, _ := nested(t, c)
	o := MoveOptions{Dir: filepath.Join(t.TempDir(), "export"), Experiments: []string{"exp"}}
	if got := export(t, cfg, o); got.Runs != 2 || got.Experiments != 1 || got.Artifacts != 3 || got.Bytes == 0 {
		t.Errorf("exported %+v", got)
	}
	if got := export(t, cfg, o); got.Runs != 0 || got.Unchanged != 2 {
		t.Errorf("exported again %+v", got)
	}
	must(t, child.SetTags(t.Context(), []Tag{{"late", "yes"}}))
	if got := export(t, cfg, o); got.Runs != 1 || got.Unchanged != 1 {
		t.Errorf("exported after a change %+v", got)
	}

	// Back to where it came from: nothing changes.
	if got, err := Import(t.Context(), cfg, o); err != nil || got.Runs != 0 || got.Unchanged != 2 {
		t.Errorf("imported at home: %+v, %v", got, err)
	}
	// The other server fails at each of its requests in turn.
	toCfg := config(t, to.URL)
	toCfg.Env = mapEnv(map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
	attempts := 0
	for served := 0; ; attempts++ {
		var mu sync.Mutex
		n := 0
		to.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			mu.Lock()
			n++
			mine := n
			mu.Unlock()
			if mine < served+4 {
				return false
			}
			if mine == served+4 {
				to.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			return down(w, req)
		})
		served += 2
		if _, err := Import(t.Context(), toCfg, o); err == nil {
			break
		} else if attempts > 60 {
			t.Fatal(err)
		}
	}
	if attempts < 3 {
		t.Errorf("done after %d attempts", attempts)
	}
	to.setRefuse(nil)
	if got, err := Import(t.Context(), toCfg, o); err != nil || got.Runs != 0 || got.Unchanged != 2 {
		t.Errorf("imported again: %+v, %v", got, err)
	}
	there := mustOpen(t, toCfg)
	all := runs(t, there)
	if len(all) != 2 {
		t.Fatalf("%d runs", len(all))
	}
	newParent, newChild := all[0], all[1] // by start time, newest first
	if newParent.Name != "one" || newParent.Status != Finished || !newParent.EndTime.Equal(time.UnixMilli(9000)) || newParent.Tag(movedFromTag) != parent.ID() {
		t.Errorf("parent %+v", newParent)
	}
	checkAll(t, there, newParent.ID)
	if newChild.Name != "child" || newChild.Status != Failed || newChild.Tag(parentTag) != newParent.ID || newChild.Tag("late") != "yes" {
		t.Errorf("child %+v", newChild)
	}
	history, err := there.MetricHistory(t.Context(), newChild.ID, "odd")
	must(t, err)
	if len(history) != 2 || !math.IsNaN(history[0].Value) || history[1].Value < 1e308 {
		t.Errorf("history %+v", history)
	}
}

func TestMoveDeleted(t *testing.T) {
	from, to := newRemote(t), newRemote(t)
	cfg := config(t, from.URL)
	nested(t, mustOpen(t, cfg))
	o := MoveOptions{Dir: t.TempDir(), Deleted: true}
	if got := export(t, cfg, o); got.Runs != 3 || got.Experiments != 2 {
		t.Errorf("exported %+v", got)
	}
	toCfg := config(t, to.URL)
	for range 2 {
		if _, err := Import(t.Context(), toCfg, o); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(runs(t, mustOpen(t, toCfg))); n != 2 {
		t.Errorf("%d runs are not deleted", n)
	}
	again := MoveOptions{Dir: t.TempDir(), Deleted: true}
	if got := export(t, toCfg, again); got.Runs != 3 {
		t.Errorf("exported from there %+v", got)
	}
}

func TestMoveErrors(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	dir := t.TempDir()
	for _, c := range []struct {
		what string
		call func() error
		kind errs.Kind
	}{
		{"no such experiment", func() error {
			_, err := Export(t.Context(), cfg, MoveOptions{Dir: dir, Experiments: []string{"nope"}})
			return err
		}, errs.NotFound},
		{"no folder", func() error {
			_, err := Import(t.Context(), cfg, MoveOptions{Dir: filepath.Join(dir, "nope")})
			return err
		}, errs.NotFound},
		{"no export", func() error { _, err := Import(t.Context(), cfg, MoveOptions{Dir: dir}); return err }, errs.NotFound},
		{"another version", func() error {
			must(t, os.WriteFile(filepath.Join(dir, "export.json"), []byte(`{"format": "ctrx tracking export", "version": 2}`), 0o666))
			_, err := Import(t.Context(), cfg, MoveOptions{Dir: dir})
			return err
		}, errs.Failed},
		{"something else", func() error {
			must(t, os.WriteFile(filepath.Join(dir, "export.json"), []byte(`{}`), 0o666))
			_, err := Export(t.Context(), cfg, MoveOptions{Dir: dir})
			return err
		}, errs.DataCorrupt},
	} {
		if err := c.call(); errs.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// A broken line is named.
	export(t, cfg, MoveOptions{Dir: filepath.Join(dir, "e")})
	run := filepath.Join(dir, "e", "runs", "0123456789abcdef0123456789abcdef")
	must(t, os.MkdirAll(run, 0o777))
	for _, content := range []string{"", "{"} {
		if content != "" {
			must(t, os.WriteFile(filepath.Join(run, "run.json"), []byte(content), 0o666))
		}
		if _, err := Import(t.Context(), cfg, MoveOptions{Dir: filepath.Join(dir, "e")}); errs.KindOf(err) != errs.DataCorrupt || !strings.Contains(err.Error(), "run.json") || errs.HintOf(err) == "" {
			t.Errorf("run.json of %q: %v", content, err)
		}
	}
	must(t, os.RemoveAll(run))
	must(t, os.WriteFile(filepath.Join(dir, "e", "experiments.jsonl"), []byte("{}\n"), 0o666))
	if _, err := Import(t.Context(), cfg, MoveOptions{Dir: filepath.Join(dir, "e")}); err == nil || !strings.Contains(err.Error(), "experiments.jsonl:1") {
		t.Errorf("%v", err)
	}
}
