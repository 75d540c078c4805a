package web

import (
	"bytes"
	"crypto/md5"
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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/icholy/digest"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// store is a web server that takes uploads.
type store struct {
	mu     sync.Mutex
	files  map[string][]byte
	method string // of uploads that it takes; "" is any
}

func newStore() *store { return &store{files: map[string][]byte{}} }

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut, http.MethodPost:
		data, err := io.ReadAll(r.Body)
		if err != nil || s.method != "" && s.method != r.Method {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.files[r.URL.Path] = data
	case http.MethodGet, http.MethodHead:
		s.mu.Lock()
		data, ok := s.files[r.URL.Path]
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func open(t *testing.T, url string, more ...string) *Backend {
	t.Helper()
	config := map[string]string{"url": url}
	for i := 0; i < len(more); i += 2 {
		config[more[i]] = more[i+1]
	}
	set, err := Parse("r", config, t.TempDir(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t *testing.T, b storage.Backend, key, content string) error {
	return b.Put(t.Context(), key, strings.NewReader(content), int64(len(content)))
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"POST", "PUT"} {
		t.Run(method, func(t *testing.T) {
			backendtest.RunUnlisted(t, func(t *testing.T) storage.Backend {
				return open(t, serve(t, newStore())+"/some/folder", "method", method)
			})
		})
	}
}

// TestAuth has servers that want to know who asks.
func TestAuth(t *testing.T) {
	inner := newStore()
	basic := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})
	custom := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	})
	challenge := digest.Challenge{Realm: "x", Nonce: "abc", Algorithm: "MD5", QOP: []string{"auth"}}
	byDigest := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
		var want *digest.Credentials
		if err == nil {
			want, err = digest.Digest(&challenge, digest.Options{Method: r.Method, URI: r.URL.RequestURI(), Cnonce: given.Cnonce, Count: given.Nc, Username: "me", Password: "secret"})
		}
		if err != nil || given.Response != want.Response {
			w.Header().Set("WWW-Authenticate", challenge.String())
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})
	for _, tt := range []struct {
		name string
		h    http.Handler
		good []string
	}{
		{"basic", basic, []string{"auth", "basic", "user", "me", "password", "secret"}},
		{"digest", byDigest, []string{"auth", "digest", "user", "me", "password", "secret"}},
		{"custom", custom, []string{"auth", "custom", "custom_auth_header", "X-Token", "password", "secret"}},
	} {
		url := serve(t, tt.h)
		if err := put(t, open(t, url, tt.good...), "runs/"+tt.name, "content"); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		bad := append(tt.good[:len(tt.good)-1:len(tt.good)-1], "wrong")
		for _, config := range [][]string{nil, bad} {
			err := put(t, open(t, url, config...), "runs/y", "y")
			if errs.KindOf(err) != errs.Auth || !strings.Contains(errs.HintOf(err), "remote modify") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s %v: %v, hint %q", tt.name, config, err, errs.HintOf(err))
			}
		}
	}
}

// TestRedirects has a server that sends elsewhere; secrets must not go along.
func TestRedirects(t *testing.T) {
	var leaked atomic.Bool
	inner := newStore()
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "" || r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		inner.ServeHTTP(w, r)
	}))
	code := http.StatusTemporaryRedirect
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+r.URL.Path, code) }))
	configs := [][]string{
		{"auth", "custom", "custom_auth_header", "X-Token", "password", "secret"},
		{"auth", "basic", "user", "me", "password", "secret"},
	}
	for _, config := range configs {
		if err := put(t, open(t, front, config...), "runs/x", "content"); err != nil || string(inner.files["/runs/x"]) != "content" {
			t.Errorf("307: %v", err)
		}
	}
	if leaked.Load() {
		t.Error("a secret went to another server")
	}
	code = http.StatusFound
	if err := put(t, open(t, front), "runs/z", "content"); err == nil {
		t.Error("an upload became a question, and nobody said so")
	}
	var out bytes.Buffer
	if err := open(t, front).Get(t.Context(), "runs/x", &out); err != nil || out.String() != "content" {
		t.Errorf("302: %q, %v", out.String(), err)
	}
	loop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }))
	if _, err := open(t, loop).Stat(t.Context(), "runs/x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a loop: %v", err)
	}
}

// TestResumes cuts the connection in the middle of content.
func TestResumes(t *testing.T) {
	inner := newStore()
	text := strings.Repeat("0123456789abcdef", 1<<16)
	inner.files["/runs/x"] = []byte(text)
	var cuts, requests atomic.Int32
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Method == http.MethodGet && cuts.Add(-1) >= 0 {
			w = &cutter{ResponseWriter: w, left: 200 << 10}
		}
		inner.ServeHTTP(w, r)
	}))
	cuts.Store(3)
	var out bytes.Buffer
	if err := open(t, url).Get(t.Context(), "runs/x", &out); err != nil || out.String() != text || requests.Load() != 4 {
		t.Errorf("%d bytes in %d requests, %v", out.Len(), requests.Load(), err)
	}
	head, err := http.Head(url + "/runs/x")
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	for _, beyond := range []int{len(text), len(text) + 1} {
		if err := open(t, url).GetFrom(t.Context(), "runs/x", head.Header.Get("ETag"), int64(beyond), io.Discard); !errors.Is(err, storage.ErrReplaced) {
			t.Errorf("from byte %d of %d on: %v", beyond, len(text), err)
		}
	}
	cuts.Store(1000)
	if err := open(t, url).Get(t.Context(), "runs/x", io.Discard); !storage.IsTransient(err) {
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

// TestHeadless has a server that does not know HEAD.
func TestHeadless(t *testing.T) {
	inner := newStore()
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	b := open(t, url)
	if err := put(t, b, "runs/x", "12345"); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Stat(t.Context(), "runs/x"); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := b.Stat(t.Context(), "runs/y"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestLyingServers take uploads and do not keep them.
func TestLyingServers(t *testing.T) {
	page := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "<html>Welcome</html>")
	}))
	if err := put(t, open(t, page), "runs/x", "content"); err == nil || errors.Is(err, fs.ErrNotExist) || errs.HintOf(err) != "ctrx remote modify r method PUT" {
		t.Errorf("a page: %v, hint %q", err, errs.HintOf(err))
	}
	inner := newStore()
	short := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = io.NopCloser(io.LimitReader(r.Body, 3))
		}
		inner.ServeHTTP(w, r)
	}))
	if err := put(t, open(t, short), "runs/x", "content"); err == nil || !strings.Contains(err.Error(), "3 of 7 bytes") {
		t.Errorf("a short one: %v", err)
	}
	inner.method = http.MethodPut
	if err := put(t, open(t, serve(t, inner)), "runs/x", "content"); !strings.Contains(errs.HintOf(err), "method PUT") {
		t.Errorf("only PUT: %v, hint %q", err, errs.HintOf(err))
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[int]struct {
		kind      errs.Kind
		transient bool
	}{
		503: {errs.Unreachable, true}, 429: {errs.Unreachable, true}, 500: {errs.Unreachable, true}, 401: {errs.Auth, false}, 403: {errs.Auth, false},
		418: {errs.Failed, false}, 507: {errs.Failed, false},
	} {
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }))
		results := map[string]error{"Get": open(t, url).Get(t.Context(), "runs/x", io.Discard), "Put": put(t, open(t, url), "runs/x", "x")}
		_, results["Stat"] = open(t, url).Stat(t.Context(), "runs/x")
		for op, err := range results {
			if errs.KindOf(err) != want.kind || storage.IsTransient(err) != want.transient || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %d: %v", op, code, err)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://me:secret@" + l.Addr().String()
	l.Close()
	secure := httptest.NewTLSServer(newStore())
	t.Cleanup(secure.Close)
	for name, url := range map[string]string{"nothing there": closed, "no such host": "http://name.invalid", "certificate": secure.URL} {
		_, err := open(t, url).Stat(t.Context(), "runs/x")
		if errs.KindOf(err) != errs.Unreachable || storage.IsTransient(err) || errs.HintOf(err) == "" || strings.Contains(err.Error()+errs.HintOf(err), "secret") {
			t.Errorf("%s: %v (kind %d), hint %q", name, err, errs.KindOf(err), errs.HintOf(err))
		}
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, verify := range []string{ca, "false"} {
		if err := put(t, open(t, secure.URL, "ssl_verify", verify), "runs/x", "x"); err != nil {
			t.Errorf("ssl_verify = %s: %v", verify, err)
		}
	}
}

// TestSilentServer takes connections and says nothing, at once or in the middle
// of content.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/runs/half" {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			w.(http.Flusher).Flush()
		}
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(stop) })
	b := open(t, url, "read_timeout", "0.05", "connect_timeout", "0.05")
	for _, key := range []string{"runs/none", "runs/half"} {
		if err := b.Get(t.Context(), key, io.Discard); errs.KindOf(err) != errs.Unreachable || !storage.IsTransient(err) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestParse(t *testing.T) {
	none := func(string) string { return "" }
	for _, config := range []map[string]string{
		{"url": "http://"}, {"url": "https:///x"}, {"url": "ftp://host/x"},
		{"auth": "basic"}, {"auth": "basic", "user": "me"}, {"auth": "custom", "password": "x"}, {"auth": "custom", "password": "x", "custom_auth_header": "a b"},
		{"auth": "ntlm"}, {"method": "DELETE"}, {"read_timeout": "x"}, {"connect_timeout": "0"}, {"ask_password": "x"}, {"worktree": "true"},
	} {
		if config["url"] == "" {
			config["url"] = "https://host/x"
		}
		if _, err := Parse("r", config, "", none); errs.KindOf(err) != errs.ProjectFile || errs.HintOf(err) == "" {
			t.Errorf("%v: %v", config, err)
		}
	}
	s, err := Parse("r", map[string]string{"url": "https://host/x", "read_timeout": "1.5", "method": "put", "ssl_verify": "ca.pem"}, "/base", none)
	if err != nil || s.ReadTime != 1500*time.Millisecond || s.Method != "PUT" || filepath.ToSlash(s.CAFile) != "/base/ca.pem" || s.ConnectTime != requestTime {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = Parse("r", map[string]string{"url": "https://host/x", "ssl_verify": "missing.pem"}, t.TempDir(), none)
	if err == nil {
		_, err = Open(s)
	}
	if errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("no such certificates: %v", err)
	}
}
