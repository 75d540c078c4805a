package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/process"
	"ctrx/pipeline"
)

// testQueue is the queue of a project with one stage.
type testQueue struct {
	*Queue
	dir  string
	now  time.Time
	rand *rand.Rand
}

func newTestQueue(t *testing.T) *testQueue {
	t.Helper()
	tq := &testQueue{dir: t.TempDir(), now: time.Now(), rand: rand.New(rand.NewPCG(1, 2))}
	for name, text := range map[string]string{
		"dvc.yaml": "stages:\n  s:\n    cmd: cp params.yaml out\n    params: [n]\n    outs: [out]\n", "params.yaml": "n: 1\n",
		".dvc/config": "", ".dvc/.gitignore": "/tmp\n/cache\n/config.local\n",
	} {
		file := filepath.Join(tq.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tq.git(t, "init", "-q", "-b", "main")
	tq.git(t, "add", "-A")
	tq.git(t, "commit", "-q", "-m", "base")
	p, err := pipeline.Open(t.Context(), pipeline.OpenOptions{Dir: tq.dir, Env: os.Environ(), Sink: event.Discard, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if tq.Queue, err = Open(p, func() time.Time { return tq.now }); err != nil {
		t.Fatal(err)
	}
	return tq
}

func (tq *testQueue) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = tq.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@e", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@e")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// put queues one experiment and gives its task.
func (tq *testQueue) put(t *testing.T, name string, sets ...string) Task {
	t.Helper()
	added, err := tq.Put(t.Context(), PutOptions{Name: name, SetParams: sets, Rand: tq.rand})
	if err != nil {
		t.Fatal(err)
	}
	return tq.find(t, added[0].Rev)
}

func (tq *testQueue) find(t *testing.T, name string) Task {
	t.Helper()
	found, err := tq.Find(t.Context(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// take claims a task as a worker does.
func (tq *testQueue) claim(t *testing.T, task Task, most int) *claim {
	t.Helper()
	c, err := tq.take(t.Context(), task, 1, most)
	if err != nil || c == nil {
		t.Fatalf("take: %v, %v", c, err)
	}
	return c
}

func (tq *testQueue) runOptions(out *bytes.Buffer) RunOptions {
	return RunOptions{Env: os.Environ(), Sink: event.Discard, Stdio: pipeline.Stdio{Out: out, Err: out}, Tracking: experiment.TrackOptions{Off: true}}
}

func (tq *testQueue) want(t *testing.T, name string, state State, note string) {
	t.Helper()
	if task := tq.find(t, name); task.State != state || !strings.Contains(task.Note, note) {
		t.Errorf("%s is %s (%s), want %s (%s)", name, task.State, task.Note, state, note)
	}
}

func TestRunOfAClaimedTask(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	tq.want(t, "a", Running, "")
	if other, err := tq.take(t.Context(), c.task, 2, 3); err != nil || other != nil {
		t.Fatalf("taken twice: %v, %v", other, err)
	}
	var out bytes.Buffer
	if _, err := tq.run(t.Context(), c, tq.runOptions(&out)); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	c.release()
	tq.want(t, "a", Success, "")
	if got := tq.git(t, "show", tq.find(t, "a").Ref+":params.yaml"); got != "n: 2" {
		t.Errorf("params.yaml: %s", got)
	}
}

// A worker whose lease was taken over publishes nothing.
func TestFencing(t *testing.T) {
	tq := newTestQueue(t)
	first := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	first.release() // as on a machine whose locks do not reach here
	back, _, err := tq.reap(t.Context(), map[string]bool{})
	if err != nil || back != 1 {
		t.Fatalf("given back: %d, %v", back, err)
	}
	tq.want(t, "a", Queued, "attempt 2 of 3")
	second := tq.claim(t, tq.find(t, "a"), 3)
	defer second.release()

	var out bytes.Buffer
	if _, err := tq.run(t.Context(), first, tq.runOptions(&out)); !errors.Is(err, errFenced) {
		t.Fatalf("the first worker: %v", err)
	}
	if refs := tq.git(t, "for-each-ref", "refs/exps/*/*/a"); refs != "" {
		t.Fatalf("the first worker published %s", refs)
	}
	tq.want(t, "a", Running, "attempt 2")
	if _, err := tq.run(t.Context(), second, tq.runOptions(&out)); err != nil {
		t.Fatal(err)
	}
	tq.want(t, "a", Success, "")
}

// A worker that dies after it named its result, and after it made the ref, has
// not run in vain.
func TestDeathBetweenRefAndResult(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	var out bytes.Buffer
	if _, err := tq.attempt(t.Context(), c, tq.runOptions(&out)); err != nil {
		t.Fatal(err)
	}
	c.release()
	tq.want(t, "a", Lost, "")
	commit := tq.git(t, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/a")
	if _, _, err := tq.reap(t.Context(), map[string]bool{}); err != nil {
		t.Fatal(err)
	}
	tq.want(t, "a", Success, "")
	if now := tq.git(t, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/a"); now != commit || commit == "" {
		t.Errorf("the result was %s and is %s", commit, now)
	}
	if left, _ := filepath.Glob(filepath.Join(tq.dir, ".dvc/tmp/exps/tmp*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	tq := newTestQueue(t)
	task := tq.put(t, "a")
	for n := 1; n <= 2; n++ {
		tq.claim(t, tq.find(t, task.Rev), 2).release()
		if _, _, err := tq.reap(t.Context(), map[string]bool{}); err != nil {
			t.Fatal(err)
		}
	}
	tq.want(t, "a", Failed, "died in each of 2 attempts")
	if tq.git(t, "rev-parse", failedRef) != task.Rev {
		t.Error("the entry is not among the failed ones")
	}
	if _, err := tq.Retry(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	tq.want(t, "a", Queued, "")
	tq.claim(t, tq.find(t, "a"), 2).release()
	if back, _, err := tq.reap(t.Context(), map[string]bool{}); err != nil || back != 1 {
		t.Errorf("after a retry attempts are counted anew: %d, %v", back, err)
	}
}

// A process that dies after its task is done, and before it has taken the entry
// out of the queue's log, leaves that to the next worker.
func TestDeathBetweenResultAndLog(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	if _, err := tq.run(t.Context(), c, tq.runOptions(&bytes.Buffer{})); err != nil {
		t.Fatal(err)
	}
	if err := tq.ensureStashed(c.task); err != nil { // as before the last step of the run
		t.Fatal(err)
	}
	done := map[string]bool{}
	entries := func() string {
		t.Helper()
		if _, _, err := tq.reap(t.Context(), done); err != nil {
			t.Fatal(err)
		}
		return tq.git(t, "for-each-ref", "--format=%(objectname)", stashRef)
	}
	if got := entries(); got != c.task.Rev || done[c.task.file] {
		t.Errorf("while it is being finished: entry %q, done: %v", got, done)
	}
	c.release()
	if got := entries(); got != "" || !done[c.task.file] {
		t.Errorf("after its death: entry %q, done: %v", got, done)
	}
	tq.want(t, "a", Success, "")
}

// On another machine a lock says nothing; the heartbeat does.
func TestLeaseOfAnotherMachine(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a"), 3)
	c.release()
	r := c.task.record
	r.Attempts[0].Worker = process.ID{PID: 1, Host: "elsewhere"}
	if err := tq.layout.writeRecord(c.task.ID, r, 0); err != nil {
		t.Fatal(err)
	}
	tq.want(t, "a", Running, "")
	tq.now = tq.now.Add(leaseTimeout + time.Minute)
	tq.want(t, "a", Lost, "")
}

func TestSilentWorker(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a"), 3)
	defer c.release()
	tq.now = tq.now.Add(10 * time.Minute)
	tq.want(t, "a", Running, "no sign of life for 10m")
}

func TestPriorities(t *testing.T) {
	tq := newTestQueue(t)
	for i, priority := range []int{0, -1, 5, 0, 5} {
		if _, err := tq.Put(t.Context(), PutOptions{Name: fmt.Sprint("p", i), Priority: priority, Rand: tq.rand}); err != nil {
			t.Fatal(err)
		}
	}
	w := &worker{Queue: tq.Queue, o: WorkOptions{Slot: 1, MaxAttempts: 1}, done: map[string]bool{}, messages: map[string]message{}}
	var order []string
	for {
		c, err := w.pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			break
		}
		order = append(order, c.task.Name)
		c.release()
	}
	if got := strings.Join(order, " "); got != "p2 p4 p0 p3 p1" {
		t.Errorf("got %s", got)
	}
}

// A line of the log without its message, as a killed command leaves it, does
// not keep its name for ever.
func TestOrphans(t *testing.T) {
	tq := newTestQueue(t)
	task := tq.put(t, "a")
	if err := os.Remove(tq.path(messageFile{task.file, false})); err != nil {
		t.Fatal(err)
	}
	again := PutOptions{Name: "a", Rand: tq.rand}
	if _, err := tq.Put(t.Context(), again); errs.KindOf(err) != errs.Conflict {
		t.Errorf("at once its message may be on its way: %v", err)
	}
	tq.now = tq.now.Add(time.Hour)
	if _, err := tq.Put(t.Context(), again); err != nil {
		t.Errorf("later: %v", err)
	}
	if log := tq.git(t, "reflog", "show", "--format=%H", stashRef); strings.Contains(log, task.Rev) {
		t.Errorf("the line is still there:\n%s", log)
	}
}

// What a user has is not touched by queueing, also not where a hook or a
// conflict would get in the way of Git itself.
func TestPutChangesNothing(t *testing.T) {
	tq := newTestQueue(t)
	if err := os.WriteFile(filepath.Join(tq.dir, "params.yaml"), []byte("n: 7 # changed\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		index, err := os.ReadFile(filepath.Join(tq.dir, ".git/index"))
		if err != nil {
			t.Fatal(err)
		}
		params, err := os.ReadFile(filepath.Join(tq.dir, "params.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x %s %s", index, params, tq.git(t, "rev-parse", "HEAD"))
	}
	before := state()
	task := tq.put(t, "", "n=8")
	if task.Name == "" || state() != before {
		t.Errorf("%q; the work tree or the index changed", task.Name)
	}
	if got := tq.git(t, "show", task.Rev+":params.yaml"); got != "n: 8 # changed" {
		t.Errorf("params.yaml of the entry: %s", got)
	}
	if got := tq.git(t, "log", "-1", "--format=%P", task.Rev); len(strings.Fields(got)) != 2 {
		t.Errorf("parents: %s", got)
	}
}
