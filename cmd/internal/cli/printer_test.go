package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"ctrx/internal/event"
)

// Work that ends before its time, by a failure or Ctrl-C, takes its bar off
// the screen and does not wait for the rest.
func TestProgressCutShort(t *testing.T) {
	for _, c := range []struct{ done, total int64 }{{0, 5}, {3, 5}, {5, 5}, {7, 5}, {0, 0}, {3, 0}} {
		p := newPrinter(io.Discard, io.Discard, &app{})
		p.terminal = true
		ended := make(chan bool, 1)
		go func() {
			p.Send(event.Event{Type: event.Progress, Text: "push", Done: 0, Total: c.total, Unit: "files"})
			p.Send(event.Event{Type: event.Progress, Text: "push", Done: c.done, Total: c.total, Unit: "files"})
			p.Send(event.Event{Type: event.Progress, Text: "push", Done: c.done, Total: c.total, Unit: "files", Final: true})
			p.close()
			ended <- true
		}()
		select {
		case <-ended:
		case <-time.After(5 * time.Minute):
			t.Fatalf("%d of %d: the end of the work is not the end of the bar", c.done, c.total)
		}
	}
}

// Where standard error is no terminal, long work says in lines how far it is,
// and short work nothing.
func TestProgressLines(t *testing.T) {
	var out, err strings.Builder
	p := newPrinter(&out, &err, &app{})
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p.now = func() time.Time { return at }
	send := func(after time.Duration, e event.Event) {
		at = at.Add(after)
		e.Type = event.Progress
		p.Send(e)
	}
	send(0, event.Event{Text: "push", Unit: "B", Total: 1 << 30, Of: 40})
	send(5*time.Second, event.Event{Text: "push", Unit: "B", Done: 50 << 20, Total: 1 << 30, Of: 40})
	send(0, event.Event{Text: "query remote", Unit: "objects"})
	send(5*time.Second, event.Event{Text: "push", Unit: "B", Done: 100 << 20, Total: 1 << 30, Files: 4, Of: 40})
	send(time.Second, event.Event{Text: "push", Unit: "B", Done: 110 << 20, Total: 1 << 30, Files: 4, Of: 40})
	send(9*time.Second, event.Event{Text: "query remote", Unit: "objects", Done: 5000})
	send(0, event.Event{Text: "push", Unit: "B", Final: true})
	send(20*time.Second, event.Event{Text: "hash", Unit: "files", Done: 5, Total: 10})
	send(1*time.Second, event.Event{Text: "hash", Unit: "files", Final: true})
	want := "push: 4 of 40 files, 100.0 MiB of 1.0 GiB, 10.0 MiB/s, 1m32s left\nquery remote: 5000 objects\n"
	if err.String() != want || out.Len() > 0 {
		t.Errorf("printed %q and %q", err.String(), out.String())
	}
	send(0, event.Event{Text: "remove", Unit: "objects", Done: 3, Total: 3, Final: true, Step: true})
	send(0, event.Event{Text: "remove", Unit: "objects", Done: 2, Total: 3, Final: true, Step: true})
	want += "remove: 3 objects\nremove: 2 of 3 objects\n"
	if err.String() != want {
		t.Errorf("after steps: %q", err.String())
	}
	p.app.quiet = true
	send(0, event.Event{Text: "remove", Unit: "objects", Done: 3, Total: 3, Final: true, Step: true})
	send(0, event.Event{Text: "push", Unit: "B"})
	send(time.Minute, event.Event{Text: "push", Unit: "B", Done: 1})
	if err.String() != want {
		t.Errorf("with -q: %q", err.String())
	}
}
