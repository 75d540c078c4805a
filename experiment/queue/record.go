package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// record is what ctrx keeps of a task beside DVC's files. Only the holder of
// the task's lease writes it.
type record struct {
	Attempts []attempt `json:"attempts"`
	Max      int       `json:"max_attempts"`
	Temp     bool      `json:"temp,omitempty"`   // of `exp run --temp`: not for the workers
	Commit   string    `json:"commit,omitempty"` // result, named before its ref is made
	Ref      string    `json:"ref,omitempty"`
	Hash     string    `json:"hash,omitempty"` // DVC's hash of the result
	Force    bool      `json:"force,omitempty"`
	Reason   string    `json:"reason,omitempty"` // why it failed for good
}

// attempt is one try to run a task.
type attempt struct {
	Worker  process.ID `json:"worker"`          // that claimed it
	Runner  process.ID `json:"runner,omitzero"` // that runs it
	Slot    int        `json:"slot,omitempty"`
	Root    string     `json:"root,omitempty"` // temporary folder, to be removed
	Log     string     `json:"log,omitempty"`
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	Outcome string     `json:"outcome,omitempty"` // "" while it runs
}

// number is the fencing token of the attempt under way.
func (r *record) number() int { return len(r.Attempts) }

func (r *record) last() *attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// underWay tells whether an attempt of ctrx's has begun and not ended.
func (r *record) underWay() bool { return r != nil && len(r.Attempts) > 0 && r.last().Outcome == "" }

// crashed counts the attempts that ended without a verdict since the task was
// last put into the queue.
func (r *record) crashed() int {
	n := 0
	for _, a := range r.Attempts {
		switch a.Outcome {
		case outcomeLost:
			n++
		default:
			n = 0
		}
	}
	return n
}

// How an attempt may end.
const (
	outcomeDone      = "done"
	outcomeFailed    = "failed"
	outcomeLost      = "lost" // its process died without a word
	outcomeCancelled = "killed"
)

func (r *record) end(outcome string, now time.Time) {
	if a := r.last(); a != nil && a.Outcome == "" {
		now = now.UTC().Truncate(time.Millisecond)
		a.Ended, a.Outcome = &now, outcome
	}
}

// readRecord gives the record of a task; nil where ctrx never had it. One that
// cannot be read, as a power cut may leave it, counts as empty: whoever runs the
// task then has no valid token.
func (l layout) readRecord(id string) (*record, error) {
	r := &record{}
	ok, err := readJSON(l.record(id), r)
	if errs.KindOf(err) == errs.ProjectFile {
		return &record{Max: DefaultMaxAttempts}, nil
	}
	if err != nil || !ok {
		return nil, err
	}
	return r, nil
}

func (l layout) writeRecord(id string, r *record, d fsx.Durability) error {
	if err := writeJSON(l.record(id), r, d); err != nil {
		return fmt.Errorf("record the state of task %s: %w", id, err)
	}
	return nil
}

// cancelFile marks a task that a user wants to end. It is a file of its own,
// as the record belongs to the one that runs the task.
func (l layout) cancelFile(id string) string { return l.lease(id) + ".cancel" }

func (l layout) cancelled(id string) bool {
	_, err := os.Lstat(l.cancelFile(id))
	return err == nil
}

// held tells whether some process has the lease of a task.
func (l layout) held(id string) (bool, error) { return fsx.Held(l.lease(id)) }

// heartbeat shows that the holder of a lease is at work; it matters where
// flocks do not reach, as on another machine.
func (l layout) heartbeat(id string, now time.Time) error { return os.Chtimes(l.lease(id), now, now) }

// beat is when a lease last showed a sign of life.
func (l layout) beat(id string) (time.Time, error) {
	info, err := os.Stat(l.lease(id))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Heartbeats and how long a lease of another machine counts without one.
const (
	heartbeatEvery = 5 * time.Second
	leaseTimeout   = 2 * time.Minute
)

// removeFile removes a file that may be gone already.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// errFenced tells a runner that its task was given to somebody else.
var errFenced = errs.New(errs.Conflict, "this attempt's lease was taken over: another worker has the task, and this result is dropped")

// checkFence makes sure that an attempt is still the one that counts.
func (l layout) checkFence(id string, number int) (*record, error) {
	r, err := l.readRecord(id)
	if err != nil {
		return nil, err
	}
	if r == nil || number < 1 || r.number() != number || r.last().Outcome != "" {
		return nil, errFenced
	}
	return r, nil
}
