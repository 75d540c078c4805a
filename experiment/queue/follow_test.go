package queue

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A log that is set aside for the next attempt while it is being looked at is
// no failure: the next one is waited for.
func TestTailOfANameThatGoes(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "task.out")
	const attempts = 3000
	done := make(chan error, 1)
	go func() {
		var failed error
		for i := range attempts {
			failed = errors.Join(failed, os.WriteFile(log, []byte("text\n"), 0o666), os.Rename(log, attemptLog(log, i)))
		}
		done <- errors.Join(failed, os.WriteFile(log, []byte("the last\n"), 0o666))
	}()
	var shown bytes.Buffer
	tail := &tail{name: log, to: &shown}
	defer tail.close()
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true // one more look
		default:
		}
		if err := tail.more(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.HasSuffix(shown.Bytes(), []byte("the last\n")) {
		t.Errorf("the last attempt's output is missing: %q", shown.Bytes())
	}
}
