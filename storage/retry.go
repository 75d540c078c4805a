package storage

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retry says how often a transient failure of one object is tried again. The
// zero value means 4 attempts, 200 ms apart at first, at most 5 s.
type Retry struct {
	Attempts int
	First    time.Duration
	Max      time.Duration
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 4
	}
	if r.First <= 0 {
		r.First = 200 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 5 * time.Second
	}
	return r
}

// do calls f until it succeeds, fails for good, or the attempts are used up.
func (r Retry) do(ctx context.Context, f func() error) error {
	r = r.withDefaults()
	wait := r.First
	for n := 1; ; n++ {
		err := f()
		if err == nil || n >= r.Attempts || !IsTransient(err) {
			return err
		}
		// Half of the wait is random, so that many workers that failed
		// together do not come back together.
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
		wait = min(2*wait, r.Max)
	}
}
