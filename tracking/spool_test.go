package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// spoolFiles lists what is in the spool, but for the lock of Sync.
func spoolFiles(t *testing.T, cfg Config) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(cfg.spoolDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "sync.lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func mustSync(t *testing.T, cfg Config) SyncResult {
	t.Helper()
	result, err := Sync(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if left := spoolFiles(t, cfg); len(left) != 0 {
		t.Errorf("the spool still has %v", left)
	}
	return result
}

func TestServerDownFromTheStart(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(down)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	second := mustStart(t, c, "two")
	if !run.Spooled() || len(run.ID()) != 32 || run.URL() != "" {
		t.Errorf("spooled %v, id %q, page %q", run.Spooled(), run.ID(), run.URL())
	}
	logAll(t, run)
	must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
	must(t, second.Finish(t.Context(), Failed, time.UnixMilli(9500)))
	warnings := cfg.Sink.(*recorder).texts(event.Warn)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "503") || !strings.Contains(warnings[0], "ctrx tracking sync") {
		t.Errorf("warnings %q", warnings)
	}
	if n, err := Spooled(cfg.Dir); n != 2 || err != nil {
		t.Errorf("%d runs in the spool, %v", n, err)
	}
	// Still down: nothing is lost, and the second run does not wait again.
	before := len(r.requests)
	if _, err := Sync(t.Context(), cfg); errs.KindOf(err) != errs.Unreachable {
		t.Errorf("sync with the server down: %v", err)
	}
	if tried := len(r.requests) - before; tried > 8 {
		t.Errorf("%d requests to a server that is down", tried)
	}
	r.setRefuse(nil)
	result := mustSync(t, cfg)
	if len(result.Runs) != 2 || result.Left != 0 || result.Runs[0].Key != run.ID() || result.Runs[0].URI != r.URL {
		t.Errorf("result %+v", result)
	}
	checkAll(t, c, result.Runs[0].ID)
	one, err := c.GetRun(t.Context(), result.Runs[0].ID)
	must(t, err)
	if one.Name != "one" || one.Status != Finished || !one.StartTime.Equal(time.UnixMilli(1000)) || !one.EndTime.Equal(time.UnixMilli(9000)) {
		t.Errorf("run %+v", one)
	}
	if all := runs(t, c); len(all) != 2 {
		t.Errorf("%d runs on the server", len(all))
	}
	if again := mustSync(t, cfg); len(again.Runs) != 0 {
		t.Errorf("a second sync sent %+v", again)
	}
}

// The server goes away between each two requests of a run.
func TestServerDiesInTheMiddle(t *testing.T) {
	for dies := 1; ; dies++ {
		r := newRemote(t)
		var mu sync.Mutex
		n := 0
		r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if n++; n < dies {
				return false
			}
			if n == dies { // it does the work, but nobody hears of it
				r.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			return down(w, req)
		})
		cfg := config(t, r.URL)
		c := mustOpen(t, cfg)
		run := mustStart(t, c, "one")
		logAll(t, run)
		must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
		r.setRefuse(nil)
		mustSync(t, cfg)
		all := runs(t, c)
		if len(all) != 1 || all[0].Status != Finished {
			t.Fatalf("died at request %d: %d runs on the server", dies, len(all))
		}
		checkAll(t, c, all[0].ID)
		if n < dies { // it lived through the whole run
			if dies < 10 {
				t.Errorf("a whole run has only %d requests", n)
			}
			return
		}
	}
}

// Sync itself loses the server between each two requests, and is repeated.
func TestSyncInterrupted(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(down)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	for _, name := range []string{"one", "two"} {
		run := mustStart(t, c, name)
		logAll(t, run)
		must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9000)))
	}
	for attempt := 1; ; attempt++ {
		served := 0
		r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodGet {
				return false
			}
			served++
			if served == 3 { // its work is done and its answer lost
				r.store.ServeHTTP(&discard{header: http.Header{}}, req)
			}
			if served >= 3 {
				return down(w, req)
			}
			return false
		})
		_, err := Sync(t.Context(), cfg)
		if err == nil {
			if attempt < 5 {
				t.Errorf("done in %d attempts of 2 requests", attempt)
			}
			break
		}
		if attempt > 40 {
			t.Fatalf("no end: %v", err)
		}
	}
	r.setRefuse(nil)
	all := runs(t, c)
	if len(all) != 2 {
		t.Errorf("%d runs on the server, want 2", len(all))
	}
	for _, run := range all {
		checkAll(t, c, run.ID)
	}
	if left := spoolFiles(t, cfg); len(left) != 0 {
		t.Errorf("the spool still has %v", left)
	}
}

// Wrong credentials are found after hours of training, too: they do not cost
// the run either.
func TestRefusedCredentialsSpool(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	cfg := config(t, strings.Replace(r.URL, "http://", "http://user:hunter2@", 1))
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	must(t, run.Finish(t.Context(), Finished, time.Time{}))
	if w := cfg.Sink.(*recorder).texts(event.Warn); len(w) != 1 || !strings.Contains(w[0], "MLFLOW_TRACKING_USERNAME") {
		t.Errorf("warnings %q", w)
	}
	err := filepath.WalkDir(cfg.spoolDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "hunter2") || strings.Contains(string(data), "user:") {
			t.Errorf("%s holds a secret: %s", path, data)
		}
		return err
	})
	must(t, err)
	// Without a URI the run goes to the server it was meant for.
	r.setRefuse(nil)
	cfg.URI = ""
	if result := mustSync(t, cfg); len(result.Runs) != 1 || result.Runs[0].URI != r.URL {
		t.Errorf("result %+v", result)
	}
}

func TestOnErrorFail(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	cfg.OnError = Fail
	run := mustStart(t, mustOpen(t, cfg), "one")
	r.setRefuse(down)
	if err := run.SetTags(t.Context(), []Tag{{"a", "b"}}); errs.KindOf(err) != errs.Unreachable {
		t.Errorf("tags: %v", err)
	}
	if _, err := mustOpen(t, cfg).StartRun(t.Context(), RunSpec{}); errs.KindOf(err) != errs.Unreachable {
		t.Errorf("start: %v", err)
	}
	if left := spoolFiles(t, cfg); len(left) != 0 {
		t.Errorf("the spool has %v", left)
	}
}

// What the server refuses for its content would be refused later too.
func TestBadRequestIsNotSpooled(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	run := mustStart(t, mustOpen(t, cfg), "one")
	r.setRefuse(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadRequest)
		return true
	})
	if err := run.SetTags(t.Context(), []Tag{{"a", "b"}}); err == nil || run.Spooled() {
		t.Errorf("tags: %v, spooled %v", err, run.Spooled())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run.SetTags(ctx, []Tag{{"a", "b"}}); errs.KindOf(err) != errs.Interrupted || run.Spooled() {
		t.Errorf("after Ctrl-C: %v, spooled %v", err, run.Spooled())
	}
}

// A bucket that cannot be written costs its artifacts a detour, while the rest
// of the run goes to the server as ever.
func TestArtifactStoreDown(t *testing.T) {
	r := newRemote(t)
	bucket := &fakeBucket{objects: map[string]string{}, err: errs.New(errs.Auth, "no credentials for the bucket")}
	cfg := config(t, r.URL)
	cfg.ObjectStore = func(context.Context, ObjectStoreSpec) (ObjectStore, error) { return bucket, nil }
	c := mustOpen(t, cfg)
	must(t, c.rest.call(t.Context(), request{method: "POST", path: apiPath + "experiments/create", in: map[string]string{"name": "exp", "artifact_location": "s3://bucket/exp"}}, nil))
	run := mustStart(t, c, "one")
	must(t, run.LogArtifact(t.Context(), "a/b.txt", strings.NewReader("hello")))
	must(t, run.SetTags(t.Context(), []Tag{{"late", "yes"}}))
	must(t, run.Finish(t.Context(), Finished, time.Time{}))
	record, err := c.GetRun(t.Context(), run.ID())
	must(t, err)
	if record.Status != Finished || record.Tag("late") != "yes" || run.Spooled() {
		t.Errorf("run %+v, spooled %v", record, run.Spooled())
	}
	if _, err := Sync(t.Context(), cfg); errs.KindOf(err) != errs.Auth {
		t.Errorf("sync: %v", err)
	}
	bucket.err = nil
	mustSync(t, cfg)
	if bucket.objects["exp/"+run.ID()+"/artifacts/a/b.txt"] != "hello" {
		t.Errorf("objects %v", bucket.objects)
	}
	if record, err := c.GetRun(t.Context(), run.ID()); err != nil || record.Status != Finished {
		t.Errorf("after sync: %+v, %v", record, err)
	}
}

// A process was killed while it spooled: the last line is cut, and there is no
// end. Its run becomes KILLED, with all that was whole.
func TestKilledWhileSpooling(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(down)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	logAll(t, run)
	must(t, run.spool.close()) // the kernel does that
	run.spool = nil
	file := filepath.Join(cfg.spoolDir(), run.key+".jsonl")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(`{"op":"batch","params":[{"key":"half`)
	must(t, errors.Join(err, f.Close()))
	r.setRefuse(nil)
	result := mustSync(t, cfg)
	checkAll(t, c, result.Runs[0].ID)
	if record, err := c.GetRun(t.Context(), result.Runs[0].ID); err != nil || record.Status != Killed || record.EndTime.IsZero() {
		t.Errorf("run %+v, %v", record, err)
	}
}

// What a crash may leave beside whole runs.
func TestSyncOddFiles(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	dir := cfg.spoolDir()
	must(t, os.MkdirAll(filepath.Join(dir, "gone.files"), 0o777))
	for name, content := range map[string]string{
		"empty.jsonl":       "",
		"cut.jsonl":         `{"op":"run","version":1,"key":"cut"`,
		"broken.jsonl":      "not json\n",
		"headless.jsonl":    `{"op":"finish"}` + "\n",
		"newer.jsonl":       `{"op":"run","version":2,"key":"newer"}` + "\n",
		"traversal.jsonl":   `{"op":"run","version":1,"key":"traversal","experiment":"exp","detached":true}` + "\n" + `{"op":"artifact","path":"x","file":"../../../../etc/passwd"}` + "\n",
		"gone.ack":          "1\n",
		"gone.files/1":      "x",
		"old.lock":          "",
		"not-ours.txt":      "stays",
		"busy.jsonl":        `{"op":"run","version":1,"key":"busy","experiment":"exp"}` + "\n",
		"headless.ack":      "run abc\n1\n2",
		"unrelated.ack.bak": "stays",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666))
	}
	busy, err := fsx.TryLock(filepath.Join(dir, "busy.lock"))
	must(t, err)
	defer busy.Unlock() //nolint:errcheck // the end of the test
	cfg.Now = func() time.Time { return time.Now().Add(time.Hour) }
	result, err := Sync(t.Context(), cfg)
	if err == nil {
		t.Fatal("broken files were not reported")
	}
	for _, want := range []string{"broken.jsonl:1:", "headless.jsonl:1: the first line does not create a run", "newer.jsonl was written by another version", `names the artifact file "../../../../etc/passwd"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if result.Left != 5 {
		t.Errorf("%d left, want broken, headless, newer, traversal and busy", result.Left)
	}
	left := strings.Join(spoolFiles(t, cfg), " ")
	for _, gone := range []string{"empty.jsonl", "cut.jsonl", "gone.ack", "gone.files", "old.lock"} {
		if strings.Contains(left, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, stays := range []string{"broken.jsonl", "headless.jsonl", "headless.ack", "newer.jsonl", "traversal.jsonl", "not-ours.txt", "busy.jsonl", "unrelated.ack.bak"} {
		if !strings.Contains(left, stays) {
			t.Errorf("%s is gone", stays)
		}
	}
}

// A run that is being logged is not sent in part, and two syncs do not meet.
func TestSyncExcludes(t *testing.T) {
	r := newRemote(t)
	r.setRefuse(down)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	r.setRefuse(nil)
	result, err := Sync(t.Context(), cfg)
	if err != nil || len(result.Runs) != 0 || result.Left != 1 {
		t.Errorf("sync beside the run: %+v, %v", result, err)
	}
	must(t, run.Finish(t.Context(), Finished, time.Time{}))

	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.setRefuse(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { close(entered); <-release })
		return false
	})
	done := make(chan error)
	go func() {
		_, err := Sync(t.Context(), cfg)
		done <- err
	}()
	<-entered
	if _, err := Sync(t.Context(), cfg); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "another sync") {
		t.Errorf("second sync: %v", err)
	}
	close(release)
	must(t, <-done)
	if len(runs(t, c)) != 1 {
		t.Errorf("%d runs", len(runs(t, c)))
	}
}

// A corrected URI takes the runs that a wrong one sent to the spool.
func TestSyncToAnotherServer(t *testing.T) {
	cfg := config(t, "http://"+closedAddress(t))
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	logAll(t, run)
	must(t, run.Finish(t.Context(), Finished, time.Time{}))
	r := newRemote(t)
	cfg.URI = r.URL + "/"
	result := mustSync(t, cfg)
	checkAll(t, mustOpen(t, cfg), result.Runs[0].ID)
}

func TestSpoolIsReadable(t *testing.T) {
	cfg := config(t, "http://"+closedAddress(t))
	run := mustStart(t, mustOpen(t, cfg), "one")
	must(t, run.LogParams(t.Context(), []Param{{"a", "<&>"}}))
	must(t, run.Finish(t.Context(), Finished, time.UnixMilli(9)))
	data, err := os.ReadFile(filepath.Join(cfg.spoolDir(), run.ID()+".jsonl"))
	must(t, err)
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(lines) != 3 || string(lines[1]) != `{"op":"batch","params":[{"key":"a","value":"<&>"}]}` || string(lines[2]) != `{"op":"finish","status":"FINISHED","end_time":9}` {
		t.Errorf("spool:\n%s", data)
	}
	for _, l := range lines {
		if !json.Valid(l) {
			t.Errorf("not JSON: %s", l)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(cfg.Dir, "mlflow.db")); entries != nil {
		t.Error("a remote run made an embedded store")
	}
}

// A full disk in the middle of a line must not spoil what comes later.
func TestSpoolAfterFailedWrite(t *testing.T) {
	cfg := config(t, "http://"+closedAddress(t))
	run := mustStart(t, mustOpen(t, cfg), "one")
	f := run.spool.f
	readOnly, err := os.Open(f.Name())
	must(t, err)
	run.spool.f = readOnly
	if err := run.SetTags(t.Context(), []Tag{{"a", "b"}}); err == nil || !strings.Contains(err.Error(), "spool run") {
		t.Errorf("a failed write gave %v", err)
	}
	must(t, readOnly.Close())
	run.spool.f = f
	must(t, run.SetTags(t.Context(), []Tag{{"a", "c"}}))
	must(t, run.Finish(t.Context(), Finished, time.Time{}))
	ops, err := readSpool(filepath.Join(cfg.spoolDir(), run.ID()+".jsonl"))
	if err != nil || len(ops) != 3 || ops[1].Tags[0].Value != "c" {
		t.Errorf("%+v, %v", ops, err)
	}
}

// Whatever a spool file holds, reading it neither panics nor gives operations
// without a run.
func FuzzReadSpool(f *testing.F) {
	f.Add([]byte(`{"op":"run","version":1,"key":"k"}` + "\n" + `{"op":"batch","metrics":[{"key":"m","value":"NaN","timestamp":1,"step":2}]}` + "\n{"))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"op":"finish","end_time":1e3}` + "\n"))
	path := filepath.Join(f.TempDir(), "x.jsonl")
	f.Fuzz(func(t *testing.T, data []byte) {
		must(t, os.WriteFile(path, data, 0o666))
		ops, err := readSpool(path)
		if err == nil && len(ops) > 0 && (ops[0].Op != opCreate || ops[0].Key == "") {
			t.Errorf("%q begins with %+v", data, ops[0])
		}
		if err != nil && errs.KindOf(err) != errs.DataCorrupt && errs.KindOf(err) != errs.Failed {
			t.Errorf("%q: %v", data, err)
		}
	})
}

// A server that fails and a spool that cannot be made, as on a full disk: each
// operation fails, and once there is room the rest of the run is kept.
func TestSpoolCannotBeMade(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	r.setRefuse(down)
	if err := os.MkdirAll(filepath.Dir(cfg.spoolDir()), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.spoolDir(), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := run.SetTags(t.Context(), []Tag{{Key: "a", Value: "1"}}); err == nil {
			t.Error("a tag that is neither at the server nor in the spool is no error")
		}
	}
	if err := os.Remove(cfg.spoolDir()); err != nil {
		t.Fatal(err)
	}
	must(t, run.SetTags(t.Context(), []Tag{{Key: "b", Value: "2"}}))
	must(t, run.Finish(t.Context(), Failed, time.UnixMilli(9000)))
	r.setRefuse(nil)
	if result := mustSync(t, cfg); len(result.Runs) != 1 {
		t.Errorf("sent %v", result.Runs)
	}
}
