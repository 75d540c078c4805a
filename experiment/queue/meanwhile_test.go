package queue

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ctrx/internal/fsx"
)

// A message that a worker takes while it is looked for is found.
func TestMessageThatMoves(t *testing.T) {
	q := &Queue{layout: layout{tmp: t.TempDir()}}
	for _, dir := range []string{q.layout.waiting(), q.layout.taken()} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const messages = 500
	name := func(i int) string { return fmt.Sprintf("%d.msg", i) }
	for i := range messages {
		if err := os.WriteFile(q.path(messageFile{name(i), false}), []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	looking, moved := make(chan int, 1), make(chan error, messages)
	go func() {
		for i := range looking {
			moved <- os.Rename(q.path(messageFile{name(i), false}), q.path(messageFile{name(i), true}))
		}
	}()
	defer close(looking)
	for i := range messages {
		looking <- i
		for taken := false; !taken; {
			data, at, err := q.readMessage(messageFile{name(i), true})
			if err != nil || string(data) != "text" {
				t.Fatalf("message %d: %q, %v", i, data, err)
			}
			taken = at.taken
		}
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(q.path(messageFile{name(0), true})); err != nil {
		t.Fatal(err)
	}
	if data, _, err := q.readMessage(messageFile{name(0), true}); data != nil || err != nil {
		t.Errorf("a removed message: %q, %v", data, err)
	}
}

// What was seen as lost may have come to its end by the time that one has its
// lease.
func TestLostOnlyForAMoment(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	c.release()
	seen := tq.find(t, "a")
	if seen.State != Lost {
		t.Fatalf("it is %s", seen.State)
	}
	if _, err := tq.run(t.Context(), c, tq.runOptions(&bytes.Buffer{})); err != nil {
		t.Fatal(err)
	}
	for what, late := range map[string]func() error{
		"kill":  func() error { return tq.bury(t.Context(), seen) },
		"reap":  func() error { _, err := tq.recover(t.Context(), seen); return err },
		"temp":  func() error { return tq.failLost(t.Context(), seen) },
		"retry": func() error { return tq.retry(t.Context(), seen) },
	} {
		if err := late(); (err != nil) != (what == "retry") {
			t.Errorf("%s: %v", what, err)
		}
		tq.want(t, "a", Success, "")
	}
}

// The process that ends a task has the lease for a while after the task counts
// as ended. Who names the task then waits for it.
func TestLeaseOfATaskThatHasJustEnded(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 1)
	if err := tq.fail(c, outcomeFailed, "it broke", 1); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, c.release)
	if _, err := tq.Retry(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	tq.want(t, "a", Queued, "")

	c = tq.claim(t, tq.find(t, "a"), 1)
	if err := tq.fail(c, outcomeFailed, "it broke", 1); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, c.release)
	if removed, err := tq.Remove(t.Context(), Selection{Names: []string{"a"}}); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func newWorker(tq *testQueue) *worker {
	return &worker{Queue: tq.Queue, o: WorkOptions{Slot: 1, MaxAttempts: 1}, done: map[string]bool{}, messages: map[string]message{}}
}

// A worker that has seen nothing to do, or was asked to stop, does not leave a
// task alone that was queued while it still counted as one.
func TestLeavingWorker(t *testing.T) {
	tq := newTestQueue(t)
	w := newWorker(tq)
	if err := os.MkdirAll(tq.layout.slots(), 0o777); err != nil {
		t.Fatal(err)
	}
	if there, err := w.takeSlot(t.Context()); err != nil || !there {
		t.Fatalf("takeSlot: %v, %v", there, err)
	}
	defer func() { _ = w.slot.Unlock() }()
	counts := func(want bool) {
		t.Helper()
		if there, err := tq.hasWorker(1); err != nil || there != want {
			t.Errorf("the slot has a worker: %v, %v; want %v", there, err, want)
		}
	}
	counts(true)
	if on, err := w.obey(); err != nil || !on {
		t.Errorf("asked to stop, and then not: %v, %v", on, err)
	}
	counts(true)
	if on, err := w.leave(); err != nil || on {
		t.Errorf("with nothing to do it goes on: %v, %v", on, err)
	}
	counts(false) // although it has its lock still
	tq.put(t, "a", "n=2")
	if on, err := w.leave(); err != nil || !on {
		t.Errorf("with a task: %v, %v", on, err)
	}
	counts(true)
	if err := os.WriteFile(tq.layout.slotStop(1), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if on, err := w.next(t.Context()); err != nil || on {
		t.Errorf("asked to stop: %v, %v", on, err)
	}
	counts(false)
}

// A worker that finds its slot taken by one that leaves waits for it.
func TestSlotOfALeavingWorker(t *testing.T) {
	tq := newTestQueue(t)
	old, err := fsx.TryLock(tq.layout.slotLock(1))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { _ = old.Unlock() })
	w := newWorker(tq)
	there, err := w.takeSlot(t.Context())
	if err != nil || !there {
		t.Fatalf("takeSlot: %v, %v", there, err)
	}
	defer func() { _ = w.slot.Unlock() }()
	if there, err := newWorker(tq).takeSlot(t.Context()); err != nil || there {
		t.Errorf("beside a worker that stays: %v, %v", there, err)
	}
	if left, _ := filepath.Glob(filepath.Join(tq.layout.slots(), "*.json")); len(left) != 1 {
		t.Errorf("workers that told of themselves: %v", left)
	}
}
