package s3

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
	"ctrx/internal/testserver"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

const (
	testKey    = "TESTKEYID"
	testSecret = "testsecret-very-secret"
)

func noEnv(string) string { return "" }

// fakeServer runs an S3 server in this process. wrap may look at requests.
func fakeServer(t *testing.T, useTLS bool, wrap func(http.Handler) http.Handler) (url string, server *httptest.Server) {
	t.Helper()
	fake := gofakes3.New(s3mem.New(), gofakes3.WithV4Auth(map[string]string{testKey: testSecret}), gofakes3.WithLogger(gofakes3.DiscardLog()))
	h := fake.Server()
	if wrap != nil {
		h = wrap(h)
	}
	if useTLS {
		server = httptest.NewTLSServer(h)
	} else {
		server = httptest.NewServer(h)
	}
	t.Cleanup(server.Close)
	return server.URL, server
}

func remoteConfig(url string, more ...string) map[string]string {
	c := map[string]string{
		"url": "s3://bucket/some/prefix", "endpointurl": url, "region": "ru-msk",
		"access_key_id": testKey, "secret_access_key": testSecret,
	}
	for i := 0; i < len(more); i += 2 {
		c[more[i]] = more[i+1]
	}
	return c
}

func open(t *testing.T, config map[string]string) *Backend {
	t.Helper()
	set, err := Parse("r", config, t.TempDir(), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeBucket(t *testing.T, b *Backend) {
	t.Helper()
	_, err := b.client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: b.bucket()})
	if err != nil {
		t.Fatal(err)
	}
}

func TestContractFake(t *testing.T) {
	t.Parallel()
	url, _ := fakeServer(t, false, nil)
	makeBucket(t, open(t, remoteConfig(url)))
	n := 0
	backendtest.Run(t, func(t *testing.T) storage.Backend {
		n++
		return checked(t, open(t, remoteConfig(url, "url", fmt.Sprintf("s3://bucket/%d", n))))
	})
}

// TestContractFakeTLS has TLS, where other ways of signing are used, and the
// bucket's root as the place.
func TestContractFakeTLS(t *testing.T) {
	t.Parallel()
	url, server := fakeServer(t, true, nil)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	backendtest.Run(t, func(t *testing.T) storage.Backend {
		n++
		b := open(t, remoteConfig(url, "url", fmt.Sprintf("s3://bucket%d", n), "ssl_verify", ca))
		makeBucket(t, b)
		return checked(t, b)
	})
}

// checked makes sure that a test gives back all buffers and leaves no unfinished
// uploads.
func checked(t *testing.T, b *Backend) *Backend {
	t.Cleanup(func() {
		if len(b.pool) != buffers {
			t.Errorf("%d buffers of %d came back", len(b.pool), buffers)
		}
	})
	return b
}

// TestContractServer runs the suite against a real server, on a POSIX disk.
func TestContractServer(t *testing.T) {
	t.Parallel()
	url := versitygw(t)
	makeBucket(t, open(t, remoteConfig(url)))
	n := 0
	backendtest.Run(t, func(t *testing.T) storage.Backend {
		n++
		b := checked(t, open(t, remoteConfig(url, "url", fmt.Sprintf("s3://bucket/%d", n))))
		t.Cleanup(func() {
			out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: b.bucket()})
			if err == nil && len(out.Uploads) > 0 {
				t.Errorf("%d unfinished uploads left", len(out.Uploads))
			}
		})
		return b
	})
	t.Run("wrong region", func(t *testing.T) {
		_, err := open(t, remoteConfig(url, "region", "us-east-1")).Stat(t.Context(), "runs/x")
		if errs.KindOf(err) != errs.Auth {
			t.Errorf("Stat: %v", err)
		}
		err = open(t, remoteConfig(url, "region", "us-east-1")).Put(t.Context(), "runs/x", strings.NewReader("x"), 1)
		if errs.KindOf(err) != errs.Auth || errs.HintOf(err) != "ctrx remote modify r region ru-msk" {
			t.Errorf("Put: %v, hint %q", err, errs.HintOf(err))
		}
	})
	t.Run("refused", func(t *testing.T) { refused(t, url) })
	t.Run("no bucket", func(t *testing.T) { noSuchBucket(t, url) })
}

// versitygw starts the server.
func versitygw(t *testing.T) string {
	t.Helper()
	testreq.Need(t, testreq.S3)
	server, err := testserver.StartS3(t.Context(), testserver.S3{Dir: t.TempDir(), Key: testKey, Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server.URL
}

func TestRefused(t *testing.T) {
	url, _ := fakeServer(t, false, nil)
	makeBucket(t, open(t, remoteConfig(url)))
	refused(t, url)
}

func refused(t *testing.T, url string) {
	for name, c := range map[string]map[string]string{
		"wrong secret": remoteConfig(url, "secret_access_key", "another-secret"),
		"wrong id":     remoteConfig(url, "access_key_id", "ANOTHERID"),
		"none":         remoteConfig(url, "access_key_id", "", "secret_access_key", "", "credentialpath", "none", "configpath", "none"),
	} {
		b := open(t, c)
		_, statErr := b.Stat(t.Context(), "runs/x")
		results := map[string]error{
			"Stat": statErr,
			"Get":  b.Get(t.Context(), "runs/x", io.Discard),
			"Put":  b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1),
		}
		for _, err := range b.List(t.Context(), "") {
			results["List"] = err
		}
		for op, err := range results {
			if errs.KindOf(err) != errs.Auth || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %s: %v", name, op, err)
				continue
			}
			if h := errs.HintOf(err); !strings.Contains(h, "access_key_id") || !strings.Contains(h, "AWS_SECRET_ACCESS_KEY") {
				t.Errorf("%s, %s: hint %q", name, op, h)
			}
			if text := err.Error() + errs.HintOf(err); strings.Contains(text, testSecret) || strings.Contains(text, "another-secret") {
				t.Errorf("%s, %s: a secret is in the error: %s", name, op, text)
			}
		}
	}
}

func TestNoSuchBucket(t *testing.T) {
	url, _ := fakeServer(t, false, nil)
	noSuchBucket(t, url)
}

func noSuchBucket(t *testing.T, url string) {
	b := open(t, remoteConfig(url, "url", "s3://nowhere/x"))
	_, statErr := b.Stat(t.Context(), "runs/x")
	big := strings.Repeat("x", partSize+1)
	results := map[string]error{
		"Stat":    statErr,
		"Get":     b.Get(t.Context(), "runs/x", io.Discard),
		"Put":     b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1),
		"Put big": b.Put(t.Context(), "runs/x", strings.NewReader(big), int64(len(big))),
	}
	for _, err := range b.List(t.Context(), "") {
		results["List"] = err
	}
	for op, err := range results {
		if errs.KindOf(err) != errs.NotFound || errors.Is(err, fs.ErrNotExist) || !strings.Contains(errs.HintOf(err), "ctrx remote modify r url") {
			t.Errorf("%s: %v (kind %d), hint %q", op, err, errs.KindOf(err), errs.HintOf(err))
		}
	}
}

func TestBadBucketName(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "<Error><Code>InvalidBucketName</Code><Message>The specified bucket is not valid.</Message></Error>")
	}))
	defer server.Close()
	b := open(t, remoteConfig(server.URL, "url", "s3://No_Bucket/x"))
	err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1)
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), `"No_Bucket"`) || !strings.Contains(errs.HintOf(err), "ctrx remote modify r url") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

func TestUnreachable(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html><body>Welcome</body></html>")
	}))
	t.Cleanup(web.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	tests := map[string]struct{ url, hint string }{
		"nothing there":         {"http://" + closed, "endpointurl"},
		"no such host":          {"http://name.invalid", "endpointurl"},
		"a web page":            {web.URL, "web page"},
		"unknown certificate":   {secure.URL, "ssl_verify"},
		"https for http server": {strings.Replace(web.URL, "http:", "https:", 1), "https://"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, remoteConfig(tt.url))
			var err error
			for _, err = range b.List(t.Context(), "") {
			}
			if errs.KindOf(err) != errs.Unreachable || !strings.Contains(errs.HintOf(err), tt.hint) || storage.IsTransient(err) {
				t.Errorf("%v (kind %d), hint %q", err, errs.KindOf(err), errs.HintOf(err))
			}
		})
	}
}

// TestSilentServer takes connections and says nothing.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(stop) })
	set, err := Parse("r", remoteConfig(s.URL, "read_timeout", "1"), "", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	set.ReadTime = 50 * time.Millisecond
	b, err := Open(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Stat(t.Context(), "runs/x")
	if errs.KindOf(err) != errs.Unreachable || !strings.Contains(errs.HintOf(err), "read_timeout") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

// TestRequests looks at what is sent: no checksums that other stores lack, and
// no calls beyond the plain ones.
func TestRequests(t *testing.T) {
	var bad atomic.Value
	look := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for k, v := range r.Header {
				if k = strings.ToLower(k); strings.HasPrefix(k, "x-amz-checksum") || k == "x-amz-sdk-checksum-algorithm" || k == "x-amz-trailer" || k == "x-amz-te" {
					bad.Store(fmt.Sprint(r.Method, " ", r.URL, " ", k, v))
				}
			}
			if strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") || strings.Contains(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
				bad.Store("chunked")
			}
			for _, q := range []string{"versioning", "policy", "versions", "tagging", "acl", "session", "location"} {
				if r.URL.Query().Has(q) {
					bad.Store(r.URL.String())
				}
			}
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/some/") {
				// One of the two tells the server what to expect.
				hasMD5, signed := r.Header.Get("Content-Md5") != "", len(r.Header.Get("X-Amz-Content-Sha256")) == 64
				if hasMD5 != (r.TLS != nil) || signed == hasMD5 {
					bad.Store(fmt.Sprintf("Content-MD5 %v, body signed %v in %s", hasMD5, signed, r.URL))
				}
			}
			h.ServeHTTP(w, r)
		})
	}
	for _, useTLS := range []bool{false, true} {
		url, _ := fakeServer(t, useTLS, look)
		b := open(t, remoteConfig(url, "ssl_verify", "false"))
		makeBucket(t, b)
		for _, size := range []int{0, 10, smallObject + 1, 2*partSize + 1} {
			text := strings.Repeat("x", size)
			if err := b.Put(t.Context(), "runs/x", strings.NewReader(text), int64(size)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := b.Get(t.Context(), "runs/x", &out); err != nil || out.String() != text {
				t.Fatal(out.Len(), err)
			}
		}
		for range b.List(t.Context(), "") {
		}
		if _, err := b.Stat(t.Context(), "runs/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if err := b.Delete(t.Context(), "runs/x"); err != nil {
			t.Error(err)
		}
		if v := bad.Load(); v != nil {
			t.Errorf("TLS %v: sent %v", useTLS, v)
		}
	}
}

// TestBrokenDownloads cuts connections in the middle of content.
func TestBrokenDownloads(t *testing.T) {
	var cuts, leave atomic.Int32
	cut := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.Header.Get("Range") != "" && cuts.Add(-1) >= 0 {
				w = &cutter{ResponseWriter: w, left: int(leave.Load())}
			}
			h.ServeHTTP(w, r)
		})
	}
	url, _ := fakeServer(t, false, cut)
	b := checked(t, open(t, remoteConfig(url)))
	makeBucket(t, b)
	text := strings.Repeat("0123456789abcdef", 3*partSize/16)
	if err := b.Put(t.Context(), "runs/x", strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	leave.Store(1 << 20)
	for _, n := range []int32{1, 3, 20} {
		cuts.Store(n)
		var out bytes.Buffer
		if err := b.Get(t.Context(), "runs/x", &out); err != nil || out.String() != text {
			t.Errorf("%d cuts: %d bytes, %v", n, out.Len(), err)
		}
	}
	cuts.Store(1000)
	leave.Store(40 << 10)
	if err := b.Get(t.Context(), "runs/x", io.Discard); !storage.IsTransient(err) {
		t.Errorf("always cut: %v", err)
	}
}

// cutter ends the connection after some bytes of content.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// TestRetriesBusyServer has a server that asks for patience.
func TestRetriesBusyServer(t *testing.T) {
	var busy atomic.Int32
	slow := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if busy.Add(-1) >= 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	url, _ := fakeServer(t, false, slow)
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	busy.Store(1)
	if err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1); err != nil {
		t.Errorf("%v", err)
	}
}

// TestRegionRedirect has a server that names another region, as AWS does.
func TestRegionRedirect(t *testing.T) {
	far := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), "/us-east-1/") {
				w.Header().Set("X-Amz-Bucket-Region", "ru-msk")
				w.WriteHeader(http.StatusMovedPermanently)
				io.WriteString(w, "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>")
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	url, _ := fakeServer(t, false, far)
	makeBucket(t, open(t, remoteConfig(url)))
	b := open(t, remoteConfig(url, "region", "us-east-1"))
	if err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
}

// hostRecorder answers requests itself, whatever name they are for.
type hostRecorder struct{ seen []string }

func (h *hostRecorder) Do(r *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, r.URL.Host+r.URL.Path)
	w := httptest.NewRecorder()
	if strings.HasPrefix(r.URL.Host, "bucket.") {
		w.Header().Set("ETag", `"9dd4e461268c8034f5c8564e155c67a6"`) // the MD5 of "x"
	} else {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>SecondLevelDomainForbidden</Code><Message>use virtual hosted style</Message></Error>")
	}
	return w.Result(), nil
}

// TestVirtualHost has a store that refuses path-style addresses.
func TestVirtualHost(t *testing.T) {
	b := open(t, remoteConfig("https://store.example"))
	h := &hostRecorder{}
	b.client = awss3.New(b.client.Options(), func(o *awss3.Options) { o.HTTPClient = h })
	for range 2 {
		if err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"store.example/bucket/some/prefix/runs/x", "bucket.store.example/some/prefix/runs/x", "bucket.store.example/some/prefix/runs/x"}
	if !slices.Equal(h.seen, want) {
		t.Errorf("asked %q", h.seen)
	}
}

func TestTLSOptions(t *testing.T) {
	url, _ := fakeServer(t, true, nil)
	b := open(t, remoteConfig(url, "ssl_verify", "false"))
	makeBucket(t, b)
	host := strings.TrimPrefix(url, "https://")
	if err := open(t, remoteConfig(host, "ssl_verify", "false")).Put(t.Context(), "runs/x", strings.NewReader("x"), 1); err != nil {
		t.Errorf("endpoint without a scheme: %v", err)
	}
}
