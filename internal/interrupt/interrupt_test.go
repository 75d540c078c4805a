package interrupt

import (
	"context"
	"os"
	"syscall"
	"testing"

	"ctrx/internal/errs"
)

func TestSignals(t *testing.T) {
	for _, tc := range []struct {
		signal os.Signal
		kind   errs.Kind
	}{{os.Interrupt, errs.Interrupted}, {syscall.SIGTERM, errs.Terminated}} {
		signals := make(chan os.Signal)
		ctx, stop := fromSignals(t.Context(), signals)
		signals <- tc.signal
		<-ctx.Done()
		if got := errs.KindOf(context.Cause(ctx)); got != tc.kind {
			t.Errorf("%v: kind %v, want %v", tc.signal, got, tc.kind)
		}
		below, cancel := context.WithCancel(ctx)
		select {
		case <-Again(below):
			t.Errorf("%v: one signal is taken for two", tc.signal)
		default:
		}
		signals <- tc.signal
		<-Again(below)
		cancel()
		stop()
	}
}

func TestNoSignals(t *testing.T) {
	ctx, stop := fromSignals(t.Context(), nil)
	stop()
	if <-ctx.Done(); errs.KindOf(context.Cause(ctx)) != errs.Interrupted {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	if Again(t.Context()) != nil {
		t.Error("a plain context knows of signals")
	}
}
