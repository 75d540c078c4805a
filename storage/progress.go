package storage

import (
	"sync"
	"time"

	"ctrx/internal/event"
)

// progressEvery is the least time between two progress events; the eye sees no
// more, and ten thousand small files would otherwise send ten thousand events.
const progressEvery = 100 * time.Millisecond

// meter adds up progress and reports it to a sink. Its methods are safe for
// concurrent use; a meter that never moved reports nothing.
type meter struct {
	sink event.Sink
	text string
	unit string

	mu          sync.Mutex
	done, total int64
	files, of   int64 // of work in bytes
	last        time.Time
	sent        bool
	step        bool // see event.Event
}

func newMeter(sink event.Sink, text, unit string, total int64) *meter {
	if sink == nil {
		sink = event.Discard
	}
	return &meter{sink: sink, text: text, unit: unit, total: total}
}

// file counts a file that is done.
func (m *meter) file() {
	m.mu.Lock()
	m.files++
	m.mu.Unlock()
	m.add(0)
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	m.done += n
	now := time.Now()
	due := now.Sub(m.last) >= progressEvery
	if due {
		m.last, m.sent = now, true
	}
	e := m.event()
	m.mu.Unlock()
	if due {
		m.sink.Send(e)
	}
}

func (m *meter) event() event.Event {
	return event.Event{Type: event.Progress, Text: m.text, Done: m.done, Total: m.total, Unit: m.unit, Files: m.files, Of: m.of}
}

// finish reports the end of work that was reported before.
func (m *meter) finish() {
	m.mu.Lock()
	e := m.event()
	sent := m.sent || m.step
	m.mu.Unlock()
	if sent {
		e.Final, e.Step = true, m.step
		m.sink.Send(e)
	}
}

// Progress tells a sink how much content has passed through it. Its methods are
// safe for concurrent use.
type Progress struct{ m *meter }

// NewProgress begins work on so many files and bytes; 0 is not known. The sink
// may be nil. Finish ends it.
func NewProgress(sink event.Sink, text string, files, bytes int64) *Progress {
	m := newMeter(sink, text, "B", bytes)
	m.of = files
	return &Progress{m}
}

// NewStep begins a step of work on so many things, 0 where that is not known; unit
// is their plural noun. The sink may be nil. Finish ends it.
func NewStep(sink event.Sink, text, unit string, total int) *Progress {
	m := newMeter(sink, text, unit, int64(total))
	m.step = true
	return &Progress{m}
}

// Add counts things that are done.
func (p *Progress) Add(n int) { p.m.add(int64(n)) }

// Write counts content.
func (p *Progress) Write(b []byte) (int, error) { return p.m.Write(b) }

// File counts a file that is done.
func (p *Progress) File() { p.m.file() }

// Finish tells that the work has ended.
func (p *Progress) Finish() { p.m.finish() }

// Write lets a meter count what passes through an io.Copy.
func (m *meter) Write(p []byte) (int, error) {
	m.add(int64(len(p)))
	return len(p), nil
}
