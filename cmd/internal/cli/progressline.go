package cli

import (
	"fmt"
	"strings"
	"time"

	"ctrx/internal/event"
)

// plainEvery is the time between two lines about the same work where standard
// error is no terminal: often enough to see in a log that it goes on. Shorter
// work prints nothing.
const plainEvery = 10 * time.Second

// plainWork is work that goes on.
type plainWork struct {
	began, last time.Time
	from        int64 // what was done when it was first heard of
}

// progressLine prints a line about work that takes long, and about the end of a
// step.
func (p *printer) progressLine(e event.Event) {
	w, now := p.plain[e.Text], p.now()
	switch {
	case e.Final:
		delete(p.plain, e.Text)
		if e.Step {
			fmt.Fprintln(p.err, stepText(e))
		}
	case w == nil:
		p.plain[e.Text] = &plainWork{began: now, last: now, from: e.Done}
	case now.Sub(w.last) >= plainEvery:
		w.last = now
		fmt.Fprintln(p.err, progressText(e, e.Done-w.from, now.Sub(w.began)))
	}
}

// stepText says what a step that ended did.
func stepText(e event.Event) string {
	if e.Total > 0 && e.Done != e.Total {
		return fmt.Sprintf("%s: %d of %d %s", e.Text, e.Done, e.Total, e.Unit)
	}
	return fmt.Sprintf("%s: %d %s", e.Text, e.Done, e.Unit)
}

// progressText says how far work is: files, bytes, rate, time left. moved was
// done in the time that has passed.
func progressText(e event.Event, moved int64, passed time.Duration) string {
	var parts []string
	if e.Of > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d files", e.Files, e.Of))
	}
	rate := float64(moved) / passed.Seconds()
	switch {
	case e.Unit != "B" && e.Total > 0:
		parts = append(parts, fmt.Sprintf("%d of %d %s", e.Done, e.Total, e.Unit))
	case e.Unit != "B":
		parts = append(parts, fmt.Sprintf("%d %s", e.Done, e.Unit))
	case e.Total > 0:
		parts = append(parts, fmt.Sprintf("%s of %s", binarySize(float64(e.Done)), binarySize(float64(e.Total))), binarySize(rate)+"/s")
	default:
		parts = append(parts, binarySize(float64(e.Done)), binarySize(rate)+"/s")
	}
	if e.Total > e.Done && rate > 0 {
		left := time.Duration(float64(e.Total-e.Done) / rate * float64(time.Second))
		parts = append(parts, left.Round(time.Second).String()+" left")
	}
	return e.Text + ": " + strings.Join(parts, ", ")
}

// binarySize is a size as progress shows it: 512 B, 1.5 GiB.
func binarySize(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		switch {
		case n < 1024 && unit == "B":
			return fmt.Sprintf("%.0f B", n)
		case n < 1024:
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f PiB", n)
}
