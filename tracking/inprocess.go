package tracking

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// inProcess calls a handler without a socket.
type inProcess struct{ handler http.Handler }

// inProcessREST makes the REST client of the embedded store. It never repeats
// a request: what a local file refuses once it refuses again.
func inProcessREST(h http.Handler, display string) *rest {
	return &rest{
		base: &url.URL{Scheme: "http", Host: "localhost"}, display: display, headers: http.Header{"User-Agent": {"ctrx"}},
		client: &http.Client{Transport: inProcess{h}}, now: time.Now, wait: wait,
		conf: settings{timeout: defaultTimeout},
	}
}

// RoundTrip implements http.RoundTripper. The handler runs beside the caller
// until it has written all; closing the body of the response ends it early.
func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, ready: make(chan struct{})}
	go func() {
		var failure error
		defer func() {
			if p := recover(); p != nil {
				failure = fmt.Errorf("the embedded tracking server failed: %v", p)
			}
			in.Body.Close()
			w.WriteHeader(http.StatusOK)
			writer.CloseWithError(failure)
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.ready:
	case <-req.Context().Done():
		reader.CloseWithError(errors.New("the caller gave up"))
		return nil, req.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: reader, ContentLength: -1, Request: req,
	}, nil
}

// pipeWriter is the http.ResponseWriter of an in-process request.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	ready  chan struct{} // closed when status and sent are final
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.ready)
	})
}

func (w *pipeWriter) Write(data []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(data)
}
