package tracking

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// watchdog ends a transfer in which nothing moved for the request timeout. A
// fixed limit would end large transfers that are well, so there is one only
// where the environment sets it.
type watchdog struct {
	idle  *time.Timer
	limit *time.Timer // nil: none
	after time.Duration
	end   context.CancelCauseFunc
}

func (r *rest) watch(ctx context.Context, after time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{after: after, end: cancel}
	w.idle = time.AfterFunc(w.after, func() { cancel(&timeoutError{w.after}) })
	if d := r.conf.artifactLimit; d > 0 {
		w.limit = time.AfterFunc(d, func() { cancel(&timeoutError{d}) })
	}
	return ctx, w
}

// moved tells that bytes were transferred.
func (w *watchdog) moved() { w.idle.Reset(w.after) }

// sent tells that size bytes are on their way, and only the answer is missing.
func (w *watchdog) sent(size int64) {
	w.idle.Reset(w.after + time.Duration(float64(size)/uploadRate*float64(time.Second)))
}

func (w *watchdog) stop() {
	w.idle.Stop()
	if w.limit != nil {
		w.limit.Stop()
	}
	w.end(nil)
}

// attemptBody is the body of one attempt. The HTTP transport may go on reading
// a body after the request failed, and closes it; the source under it is
// wanted for the next attempt, so end cuts it off and Close leaves it open.
type attemptBody struct {
	r     io.Reader
	watch *watchdog
	size  int64 // of an upload

	mu    sync.Mutex
	ended bool
	done  int64
}

var errAttemptEnded = errors.New("the request is over")

// Read implements io.Reader.
func (b *attemptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errAttemptEnded
	}
	n, err := b.r.Read(p)
	if b.done += int64(n); b.size > 0 && b.done >= b.size {
		b.watch.sent(b.size)
	} else {
		b.watch.moved()
	}
	return n, err
}

// Close implements io.Closer.
func (b *attemptBody) Close() error { return nil }

func (b *attemptBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}
