package server

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. A body has no limit of time as a whole, because an
// artifact may be large and a network slow, but it must keep coming: see
// stalledBody.
const (
	headerTime = 10 * time.Second
	// idleTime is how long an idle connection stays open: less than the two
	// minutes that MLflow's client waits at most before it tries again, which
	// would else send on a connection that is being closed.
	idleTime  = 100 * time.Second
	maxHeader = 64 << 10
	// drainTime is how long requests in flight may take after the end.
	drainTime = 5 * time.Second
	// stallTime is how long a body may stand still in either direction, where
	// Options.Stall does not say it.
	stallTime = time.Minute
)

// Serve answers requests on a listener until ctx ends, then finishes the ones
// in flight. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           stalling{s, s.opts.Stall},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections are the client's news
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// stalling ends connections whose body stands still.
type stalling struct {
	next http.Handler
	time time.Duration
}

func (s stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(s.time))
	_ = c.SetWriteDeadline(time.Time{})
	r.Body = stalledBody{r.Body, c, s.time}
	s.next.ServeHTTP(stalledWriter{w, c, s.time}, r)
}

// stalledBody gives every read of a body a deadline of its own.
type stalledBody struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	control *http.ResponseController
	time    time.Duration
}

func (b stalledBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.time))
	return b.body.Read(p)
}

func (b stalledBody) Close() error { return b.body.Close() }

// stalledWriter gives every write of an answer a deadline of its own.
type stalledWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	time    time.Duration
}

func (w stalledWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.time))
	return w.ResponseWriter.Write(p)
}

func (w stalledWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
