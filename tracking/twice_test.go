package tracking

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A creation that hangs takes place after it was looked up and repeated: the
// next Sync deletes the second run, and keeps one that something was logged to.
func TestCreatedTwice(t *testing.T) {
	for _, spooled := range []bool{false, true} {
		r := newRemote(t)
		cfg := config(t, r.URL)
		if spooled {
			cfg.OnError = Spool
		}
		var late *http.Request
		var mu sync.Mutex
		r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasSuffix(req.URL.Path, "runs/create") || late != nil && !spooled {
				return false
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Error(err)
			}
			if late == nil {
				late = req.Clone(t.Context())
				late.Body = io.NopCloser(bytes.NewReader(body))
			}
			return down(w, req) // a gateway gave up waiting
		})
		c := mustOpen(t, cfg)
		run := mustStart(t, c, "one")
		logAll(t, run)
		must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
		if run.Spooled() != spooled {
			t.Fatalf("spooled: %v", run.Spooled())
		}
		r.setRefuse(nil)
		mustSync(t, cfg)
		r.store.ServeHTTP(&discard{header: http.Header{}}, late)
		if n := len(runs(t, c)); n != 2 {
			t.Fatalf("%d runs", n)
		}
		mustSync(t, cfg)
		all := runs(t, c)
		if len(all) != 1 || all[0].Status != Finished {
			t.Errorf("spooled %v: %+v", spooled, all)
		}
		checkAll(t, c, all[0].ID)
		if notes, _ := filepath.Glob(filepath.Join(cfg.doubtDir(), "*"+doubtSuffix)); len(notes) != 0 {
			t.Errorf("notes %v", notes)
		}
		if id, err := c.RunByKey(t.Context(), all[0].Tag(RunKeyTag)); err != nil || id != all[0].ID {
			t.Errorf("by its key %s, %v", id, err)
		}
	}
}

// A note that nothing came of goes after its time.
func TestDoubtEnds(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	now := time.UnixMilli(1000)
	cfg.Now = func() time.Time { return now }
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	c.noteDoubt(run.ExperimentID(), run.key, run.ID())
	note := filepath.Join(cfg.doubtDir(), run.key+doubtSuffix)
	for _, after := range []time.Duration{0, doubtTime / 2, doubtTime} {
		now = time.UnixMilli(1000).Add(after)
		mustSync(t, cfg)
		if _, err := os.Stat(note); (err == nil) != (after < doubtTime) {
			t.Errorf("after %v: %v", after, err)
		}
	}
	if len(runs(t, c)) != 1 {
		t.Error("the run itself is gone")
	}
}
