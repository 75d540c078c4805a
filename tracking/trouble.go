package tracking

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// troubleTime is what a run waits in all for a server in trouble, before
	// the spool takes over.
	troubleTime = time.Second
	// usual is how long an answer may take without counting as slow. A server
	// of MLflow's answers within 0.1 s; one batch of 1000 metrics takes it 0.4 s.
	usual        = 250 * time.Millisecond
	usualPerItem = time.Millisecond / 2
	// uploadRate is what a server needs in any case to put away an artifact
	// that it has received whole, in bytes per second.
	uploadRate = 50 << 20
	// afresh is when a server that was given up is tried again.
	afresh = 30 * time.Second
)

// trouble is the time that one client still gives a server that fails, hangs or
// is slow. It is spent by failed attempts, by the waits between them and by
// answers that take longer than usual, over all requests together, and is there
// whole again after a usual answer. So a run is kept waiting once, for about
// troubleTime, and not once for each of its requests. A nil trouble never ends.
type trouble struct {
	most time.Duration

	mu    sync.Mutex
	left  time.Duration
	last  error     // why the server was given up
	since time.Time // when
}

func newTrouble(most time.Duration) *trouble { return &trouble{most: most, left: most} }

// room is how long the next attempt may take. When there is none, it is the
// error of the attempt that used it up.
func (t *trouble) room(now time.Time, otherwise time.Duration) (time.Duration, error) {
	if t == nil {
		return otherwise, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left > 0 {
		return t.left, nil
	}
	if now.Sub(t.since) < afresh {
		return 0, t.last
	}
	t.left = t.most
	return t.left, nil
}

// settle accounts for an attempt.
func (t *trouble) settle(took, expected time.Duration, now time.Time, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var refused *ServerError
	failed := isNetwork(err) || errors.As(err, &refused) && refused.Status >= 500 || refused != nil && refused.passing()
	switch {
	case failed:
		t.spend(took, now, err)
	case took <= expected:
		t.left = t.most
	default:
		t.spend(took-expected, now, &networkError{&timeoutError{took}})
	}
}

func (t *trouble) spend(d time.Duration, now time.Time, err error) {
	if t.left -= min(d, t.left); t.left == 0 {
		t.last, t.since = err, now
	}
}

// wait tells whether there is time to wait before another attempt, and takes it.
func (t *trouble) wait(d time.Duration, now time.Time, err error) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d >= min(t.left, troubleTime) {
		return false
	}
	t.spend(d, now, err)
	return true
}

// attempt runs one attempt of a request on the account of the client's trouble.
// limit, for f, is how long nothing may happen.
func (r *rest) attempt(ctx context.Context, expected time.Duration, f func(limit time.Duration) error) error {
	began := r.now()
	limit, err := r.trouble.room(began, r.conf.timeout)
	if err != nil {
		return err
	}
	err = f(limit)
	if ctx.Err() == nil {
		now := r.now()
		r.trouble.settle(now.Sub(began), expected, now, err)
	}
	return err
}

// patient gives the same client for questions: somebody waits for the answer,
// and no run does.
func (r *rest) patient() *rest {
	if r.trouble == nil {
		return r
	}
	out := *r
	out.trouble, out.patience = nil, whenAsking().total
	if !r.conf.timeoutSet {
		out.conf.timeout = whenAsking().timeout
	}
	return &out
}
