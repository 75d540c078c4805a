// Package event is the one channel on which long work reports what it does.
//
// Logic below the command line never prints: it sends events to a Sink, and the
// command line decides how they look (progress bars on a terminal, one plain
// line per step elsewhere, JSON lines with --json).
package event

import "sync"

// Event is something that happened. Which fields are set depends on Type.
type Event struct {
	Type  Type
	Text  string // Info, Warn: the whole line. Progress: the name of the work ("push", "hash")
	Done  int64  // Progress: units done so far
	Total int64  // Progress: units in all; 0 when unknown
	Unit  string // Progress: "B" for bytes, else a plural noun ("files")
	Files int64  // Progress in bytes: files done so far
	Of    int64  // Progress in bytes: files in all; 0 when not counted
	Final bool   // Progress: the work ended
	Step  bool   // Progress, Final: the work was a step that is worth a line where there are no bars
}

// Type tells events apart.
type Type int

// The types of events.
const (
	Info     Type = iota // a line for the user
	Warn                 // a warning for the user
	Progress             // a counter moved
)

// Sink receives events. Implementations must be safe for concurrent use and
// must not block for long.
type Sink interface{ Send(Event) }

// Func makes a Sink of a function; the function is called by one goroutine at
// a time.
func Func(f func(Event)) Sink { return &funcSink{f: f} }

type funcSink struct {
	mu sync.Mutex
	f  func(Event)
}

func (s *funcSink) Send(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f(e)
}

// Discard drops every event.
var Discard Sink = Func(func(Event) {})
