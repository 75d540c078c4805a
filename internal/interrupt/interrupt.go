// Package interrupt turns the signals that end a command into a context, in
// steps: the first signal asks what runs to stop, the second takes the time to
// stop in order away from it, the third ends the process at once.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ctrx/internal/errs"
)

type key struct{}

// Context gives a context that ends with the first SIGINT or SIGTERM; its cause
// is of the kind Interrupted or Terminated. The returned function gives the
// signals back.
func Context(parent context.Context) (context.Context, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, stop := fromSignals(parent, signals)
	return ctx, func() {
		signal.Stop(signals)
		stop()
	}
}

func fromSignals(parent context.Context, signals <-chan os.Signal) (context.Context, func()) {
	hurry := make(chan struct{})
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, key{}, (<-chan struct{})(hurry)))
	done := make(chan struct{})
	go func() {
		for n := 0; n < 2; n++ {
			select {
			case s := <-signals:
				if n == 1 {
					close(hurry)
					continue
				}
				kind := errs.Interrupted
				if s == syscall.SIGTERM {
					kind = errs.Terminated
				}
				cancel(errs.New(kind, "interrupted"))
			case <-done:
				return
			}
		}
		signal.Reset() // the third signal does what signals do
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// Again gives a channel that is closed when a second signal came: who is
// waiting for something to end in order stops waiting. It is nil, and blocks
// for ever, for a context that does not come from Context.
func Again(ctx context.Context) <-chan struct{} {
	again, _ := ctx.Value(key{}).(<-chan struct{})
	return again
}
