package s3

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// TestBrokenStream breaks off the first answer of an HTTP/2 server, whose other
// answers use the same connection. The rest is asked for.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	h := gofakes3.New(s3mem.New(), gofakes3.WithV4Auth(map[string]string{testKey: testSecret}), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	var gets, old atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			old.Add(1)
		}
		if r.Method == http.MethodGet && r.Header.Get("Range") != "" && gets.Add(1) == 1 {
			w = &breakingWriter{w, 1 << 20}
		}
		h.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	b := open(t, remoteConfig(server.URL, "ssl_verify", "false"))
	makeBucket(t, b)
	text := strings.Repeat("0123456789abcdef", 2*partSize/16)
	d := storage.DigestOf([]byte(text))
	if err := b.Put(t.Context(), d.Key(), strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Get(t.Context(), d.Key(), &out); err != nil || out.String() != text || gets.Load() != 3 {
		t.Errorf("%d bytes in %d requests, %v", out.Len(), gets.Load(), err)
	}
	if n := old.Load(); n > 0 {
		t.Errorf("%d requests were not HTTP/2", n)
	}
}

// breakingWriter breaks off an answer after some bytes.
type breakingWriter struct {
	http.ResponseWriter
	left int
}

func (b *breakingWriter) Write(p []byte) (int, error) {
	if len(p) <= b.left {
		b.left -= len(p)
		return b.ResponseWriter.Write(p)
	}
	b.ResponseWriter.Write(p[:b.left])
	b.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// unsent is a client whose requests fail in a way that has no type.
type unsent struct{}

func (unsent) Do(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: errors.New("http: server closed idle connection")}
}

// TestUnsent sees to it that a download which cannot go on is one that a later call
// goes on with.
func TestUnsent(t *testing.T) {
	t.Parallel()
	b := open(t, remoteConfig("http://127.0.0.1:1"))
	b.client = awss3.New(b.client.Options(), func(o *awss3.Options) { o.HTTPClient, o.Retryer = unsent{}, aws.NopRetryer{} })
	var out bytes.Buffer
	err := b.GetFrom(t.Context(), "key", "etag", partSize, &out)
	if errs.KindOf(err) != errs.Unreachable || errs.HintOf(err) == "" || storage.IsTransient(err) {
		t.Errorf("%v: %v, %q", err, errs.KindOf(err), errs.HintOf(err))
	}
}
