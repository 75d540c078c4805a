//go:build linux || darwin

package queue

import (
	"encoding/json"
	"os"
	"syscall"
	"testing"
)

// A task whose run ends while its files are read is neither failed nor lost. The
// reader is held up by a pipe in the place of one of the files.
func TestEndWhileItIsLookedAt(t *testing.T) {
	tq := newTestQueue(t)
	c := tq.claim(t, tq.put(t, "a", "n=2"), 3)
	info := tq.layout.info(c.task.Rev)
	running := tq.newInfo(c.task, tq.dir)
	running.Status = infoRunning
	if err := writeJSON(info, running, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(info); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(info, 0o666); err != nil {
		t.Fatal(err)
	}
	seen, failed := make(chan Task, 1), make(chan error, 1)
	go func() {
		task, _, err := tq.task(messageFile{c.task.file, true})
		seen <- task
		failed <- err
	}()
	pipe, err := os.OpenFile(info, os.O_WRONLY, 0) // when the reader has come so far
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(info); err != nil {
		t.Fatal(err)
	}
	c.task.record.Hash, c.task.record.Ref = "hash", "refs/exps/ab/cd/a"
	if err := tq.succeed(c, 0); err != nil {
		t.Fatal(err)
	}
	c.release()
	if err := json.NewEncoder(pipe).Encode(running); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if task, err := <-seen, <-failed; err != nil || task.State != Success {
		t.Errorf("it is %s (%s), %v", task.State, task.Note, err)
	}
}
