package cli

import (
	"io"
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
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d: the end of the work is not the end of the bar", c.done, c.total)
		}
	}
}
