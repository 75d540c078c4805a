package ui

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ask sends a request as a browser on another machine does, unless remote says
// otherwise.
func ask(h http.Handler, method, path, remote string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = remote
	r.Header.Set("Accept-Encoding", "gzip, br")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const here, away = "127.0.0.1:4000", "192.168.1.9:4000"

func seven(context.Context) (string, error) { return "7", nil }

// mlflowIn makes a folder as MLflow's interface is.
func mlflowIn(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "build", "index.html"), index, 0o666)
	write(t, filepath.Join(dir, "build", "manifest.json"), `{}`, 0o666)
	write(t, filepath.Join(dir, "build", "static", "js", "main.1.js"), strings.Repeat("let a = 1;\n", 1000), 0o666)
	write(t, filepath.Join(dir, "secret.txt"), "secret", 0o666)
	return dir
}

func TestServeMLflow(t *testing.T) {
	dir := mlflowIn(t)
	if err := os.Symlink(filepath.Join(dir, "secret.txt"), filepath.Join(dir, "build", "link.txt")); err != nil {
		t.Log(err) // the link is then simply not there
	}
	h := &mlflowUI{dir: filepath.Join(dir, "build"), landing: seven}
	for _, c := range []struct {
		path, kind, cache string
		status            int
		has               string
	}{
		{"/", "text/html; charset=utf-8", asking, 200, `<head><script src="static-files/start.js"></script><script defer`},
		{"/static-files/index.html", "text/html; charset=utf-8", asking, 200, "start.js"},
		{"/static-files/static/js/main.1.js", "text/javascript; charset=utf-8", forever, 200, "let a"},
		{"/static-files/manifest.json", "application/json", asking, 200, "{}"},
		{"/static-files/start.js", "text/javascript; charset=utf-8", "no-store", 200, `location.replace("#/experiments/7/runs?workflowType=machine_learning")`},
		{"/static-files/", "", "", 404, ""},
		{"/static-files/static", "", "", 404, ""},
		{"/static-files/nope.js", "", "", 404, ""},
		{"/static-files/../secret.txt", "", "", 404, ""},
		{"/static-files/%2e%2e/secret.txt", "", "", 404, ""},
		{"/static-files//etc/passwd", "", "", 404, ""},
		{"/other", "", "", 404, ""},
	} {
		w := ask(h, "GET", c.path, here)
		if w.Code != c.status || c.status == 200 && (w.Header().Get("Content-Type") != c.kind || w.Header().Get("Cache-Control") != c.cache) || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s: %d %v %.200s", c.path, w.Code, w.Header(), w.Body)
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "connect-src 'self'") {
			t.Errorf("%s has the policy %q", c.path, w.Header().Get("Content-Security-Policy"))
		}
	}
	if w := ask(h, "GET", "/static-files/link.txt", here); w.Code == 200 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a link out of the folder is followed: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "/", here); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := ask(h, "HEAD", "/", here); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

// Another machine gets the files compressed, this one does not.
func TestCompression(t *testing.T) {
	h := &mlflowUI{dir: filepath.Join(mlflowIn(t), "build")}
	for range 2 { // the second time from memory
		w := ask(h, "GET", "/static-files/static/js/main.1.js", away)
		z, err := gzip.NewReader(w.Body)
		if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%v, %v", w.Header(), err)
		}
		if text, err := io.ReadAll(z); err != nil || len(text) != 11000 {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	}
	if w := ask(h, "GET", "/static-files/static/js/main.1.js", here); w.Header().Get("Content-Encoding") != "" || w.Body.Len() != 11000 {
		t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
	}
}

func TestServeBuiltin(t *testing.T) {
	u, err := builtin(Options{Landing: seven}, "")
	if err != nil {
		t.Fatal(err)
	}
	w := ask(u, "GET", "/", here)
	page := w.Body.String()
	if w.Code != 200 || strings.Contains(page, "{{") || w.Header().Get("Cache-Control") != asking {
		t.Errorf("%d %v %s", w.Code, w.Header(), page)
	}
	if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
	links := regexp.MustCompile(`(?:href|src)="(static-files/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 5 {
		t.Errorf("the page has %d files", len(links))
	}
	for _, l := range links {
		w := ask(u, "GET", "/"+l[1], here)
		if cache := w.Header().Get("Cache-Control"); w.Code != 200 || cache != forever && !strings.HasSuffix(l[1], "start.js") {
			t.Errorf("%s: %d %q", l[1], w.Code, cache)
		}
	}
	if w := ask(u, "GET", "/static-files/start.js", here); !strings.Contains(w.Body.String(), `"#/experiments/7/runs"`) {
		t.Errorf("start.js: %s", w.Body)
	}
	if w := ask(u, "GET", "/static-files/ctrx-0/app.js", here); w.Code != 404 {
		t.Errorf("a file of another program: %d", w.Code)
	}
}

// Whatever the store says, the script is the same but for a number.
func TestLanding(t *testing.T) {
	for _, c := range []struct {
		id   string
		err  error
		want string
	}{{"12", nil, "/12/"}, {"", nil, "/0/"}, {`1");alert(1)//`, nil, "/0/"}, {"12", errors.New("no store"), "/0/"}} {
		u, err := builtin(Options{Landing: func(context.Context) (string, error) { return c.id, c.err }}, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(u, "GET", "/static-files/start.js", here).Body.String(); !strings.Contains(got, `"#/experiments`+c.want+`runs"`) {
			t.Errorf("%q, %v: %s", c.id, c.err, got)
		}
	}
}

// What makes code of text is not used in the page: names and values are a
// stranger's.
func TestNoCodeFromText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|\beval\(|new Function|srcdoc|javascript:`)
	entries, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := pageFiles.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if !strings.HasPrefix(strings.TrimSpace(line), "//") && forbidden.MatchString(line) {
				t.Errorf("%s:%d: %s", e.Name(), i+1, line)
			}
		}
		if lines := strings.Count(string(text), "\n"); lines > 500 {
			t.Errorf("%s has %d lines", e.Name(), lines)
		}
	}
}
