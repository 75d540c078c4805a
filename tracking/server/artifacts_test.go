package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/tracking/wire"
)

const proxy = "/api/2.0/mlflow-artifacts/artifacts"

// raw sends a request whose path is not cleaned on the way, as a hostile
// client would.
func (f fixture) raw(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequest(method, "http://localhost/", strings.NewReader(body))
	before, query, _ := strings.Cut(path, "?")
	u := *req.URL
	u.RawQuery = query
	u.RawPath = before
	var err error
	if u.Path, err = pathUnescape(before); err != nil {
		t.Fatal(err)
	}
	req.URL = &u
	w := httptest.NewRecorder()
	f.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func pathUnescape(s string) (string, error) {
	u, err := http.NewRequest("GET", "http://localhost"+s, nil)
	if err != nil {
		return "", err
	}
	return u.URL.Path, nil
}

func TestArtifacts(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	root := "/0/" + id + "/artifacts"
	for name, content := range map[string]string{"/b.bin": "\x00\x01", "/sub/a.txt": "hello", "/sub/deep/x%20%C3%A4%25.html": "<p>", "/empty": ""} {
		if status, answer := f.raw(t, "PUT", proxy+root+name, content); status != 200 {
			t.Errorf("PUT %s: %d %s", name, status, answer)
		}
	}
	list := func(target string) string {
		t.Helper()
		status, answer := f.raw(t, "GET", target, "")
		var out struct{ Files []wire.FileInfo }
		f.decode(t, target, status, answer, &out)
		var names []string
		for _, e := range out.Files {
			if e.IsDir {
				e.Path += "/"
			}
			names = append(names, e.Path)
		}
		return strings.Join(names, " ")
	}
	for target, want := range map[string]string{
		proxy + "?path=" + root[1:]:                       "b.bin empty sub/",
		proxy + "?path=" + root[1:] + "/sub":              "a.txt deep/",
		proxy + "?path=nowhere":                           "",
		proxy:                                             "0/",
		api + "artifacts/list?run_id=" + id:               "b.bin empty sub/",
		api + "artifacts/list?run_id=" + id + "&path=sub": "sub/a.txt sub/deep/",
		"/ajax-api/2.0/mlflow/artifacts/list?run_uuid=" + id + "&path=sub/deep": "sub/deep/x ä%.html",
	} {
		if got := list(target); got != want {
			t.Errorf("%s lists %q, want %q", target, got, want)
		}
	}
	for target, want := range map[string]string{
		proxy + root + "/sub/a.txt":                                      "hello",
		proxy + root + "/empty":                                          "",
		"/get-artifact?path=sub/a.txt&run_uuid=" + id:                    "hello",
		"/get-artifact?path=sub/deep/x%20%C3%A4%25.html&run_uuid=" + id:  "<p>",
		"/ajax-api/2.0/mlflow-artifacts/artifacts" + root + "/sub/a.txt": "hello",
	} {
		if status, answer := f.raw(t, "GET", target, ""); status != 200 || answer != want {
			t.Errorf("GET %s: %d %q", target, status, answer)
		}
	}
	if status, answer := f.raw(t, "GET", proxy+root+"/nope", ""); status != 404 || !strings.Contains(answer, "No such artifact: '0/"+id+"/artifacts/nope'") {
		t.Errorf("GET of a missing artifact: %d %s", status, answer)
	}
	if status, _ := f.raw(t, "GET", proxy+root+"/sub", ""); status != 400 {
		t.Errorf("GET of a folder: %d", status)
	}
	if status, _ := f.raw(t, "PUT", proxy+root+"/sub/", "x"); status != 400 {
		t.Errorf("PUT to a folder: %d", status)
	}
	if status, _ := f.raw(t, "DELETE", proxy+root+"/b.bin", ""); status != 200 {
		t.Errorf("DELETE: %d", status)
	}
	if got := list(proxy + "?path=" + root[1:]); got != "empty sub/" {
		t.Errorf("after DELETE: %s", got)
	}
	if status, _ := f.request(t, "POST", "/api/2.0/mlflow-artifacts/mpu/create"+root, m{"path": "a", "num_parts": 1}); status != 501 {
		t.Errorf("multipart: %d", status)
	}
	// No upload in progress is left behind.
	entries, err := os.ReadDir(filepath.Join(f.dir, "mlartifacts", uploads))
	if err != nil || len(entries) != 0 {
		t.Errorf("uploads: %v, %v", entries, err)
	}
}

// A page must not run in the browser with the rights of this server.
func TestArtifactIsAttachment(t *testing.T) {
	f := newFixture(t)
	f.raw(t, "PUT", proxy+"/x.html", "<script>")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+proxy+"/x.html", nil))
	if got := w.Header().Get("Content-Disposition"); got != "attachment; filename=x.html" {
		t.Errorf("Content-Disposition %q", got)
	}
	if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
}

func TestPathTraversal(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	secret := filepath.Join(f.dir, "secret.txt")
	if err := os.WriteFile(secret, []byte("SECRET"), 0o666); err != nil {
		t.Fatal(err)
	}
	f.raw(t, "PUT", proxy+"/0/x", "x") // so that the folder exists
	paths := []string{
		"../secret.txt", "a/../../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "%252e%252e%252fsecret.txt",
		"%25252e%25252e/secret.txt", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "file:%2f%2f%2fetc/passwd", `..\secret.txt`, `a%5c..%5c..%5csecret.txt`, "C:/windows/win.ini", "C:%5cwindows",
		"x%23/../..", "..", "a/..%00/b", uploads + "/x", "./" + uploads + "/x",
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink(f.dir, filepath.Join(f.dir, "mlartifacts", "link")); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, "link/secret.txt", "link/new.txt")
	}
	for _, p := range paths {
		for _, target := range []string{proxy + "/" + p, proxy + "?path=" + p, api + "artifacts/list?run_id=" + id + "&path=" + p, "/get-artifact?run_uuid=" + id + "&path=" + p} {
			if _, err := http.NewRequest("GET", "http://localhost"+target, nil); err != nil {
				continue // not even a URL
			}
			if status, answer := f.raw(t, "GET", target, ""); strings.Contains(answer, "SECRET") || strings.Contains(answer, "secret.txt\"") || status == 200 && strings.Contains(answer, "root:") {
				t.Errorf("GET %s: %d %s", target, status, answer)
			}
		}
		for _, method := range []string{"PUT", "DELETE"} {
			if _, err := http.NewRequest(method, "http://localhost"+proxy+"/"+p, nil); err != nil {
				continue
			}
			if status, answer := f.raw(t, method, proxy+"/"+p, "x"); status == 200 && p != "link/new.txt" || status == 200 && method == "PUT" {
				t.Errorf("%s %s: %d %s", method, p, status, answer)
			}
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "SECRET" {
		t.Errorf("the file outside is now %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "new.txt")); err == nil {
		t.Error("a file was written through a symlink")
	}
}

// The root of a run elsewhere is not followed.
func TestForeignRootIsNotServed(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	execSQL(t, filepath.Join(f.dir, "mlflow.db"), `UPDATE runs SET artifact_uri = 'file:///etc'`)
	for _, target := range []string{api + "artifacts/list?run_id=" + id, "/get-artifact?path=passwd&run_uuid=" + id} {
		if status, answer := f.raw(t, "GET", target, ""); status != 501 {
			t.Errorf("%s: %d %s", target, status, answer)
		}
	}
}

func TestHostAndOrigin(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		method, path, host, origin string
		status                     int
	}{
		{"GET", api + "experiments/search", "localhost:5000", "", 200},
		{"GET", api + "experiments/search", "127.0.0.1:5000", "", 200},
		{"GET", api + "experiments/search", "[::1]:5000", "", 200},
		{"GET", api + "experiments/search", "10.1.2.3", "", 200},
		{"GET", api + "experiments/search", "192.168.0.7:80", "", 200},
		{"GET", api + "experiments/search", "evil.com", "", 403},
		{"GET", api + "experiments/search", "10.evil.com", "", 403},
		{"GET", api + "experiments/search", "localhost.evil.com:5000", "", 403},
		{"GET", api + "experiments/search", "", "", 403},
		{"GET", "/get-artifact", "evil.com", "", 403},
		{"GET", "/health", "evil.com", "", 200},
		{"GET", "/version", "evil.com", "", 200},
		{"POST", api + "runs/create", "localhost", "http://localhost:3000", 200},
		{"POST", api + "runs/create", "localhost", "http://evil.com", 403},
		{"POST", api + "runs/create", "localhost", "http://localhost.evil.com", 403},
		{"POST", api + "runs/create", "localhost", "null", 403},
		{"PUT", proxy + "/x", "localhost", "http://evil.com", 403},
		{"GET", api + "experiments/search", "localhost", "http://evil.com", 200},
	} {
		req := httptest.NewRequest(c.method, "http://localhost"+c.path, strings.NewReader(`{"experiment_id": "0"}`))
		req.Host = c.host
		req.Header.Set("Content-Type", "application/json")
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, req)
		if w.Code != c.status {
			t.Errorf("%s %s, Host %q, Origin %q: %d, want %d", c.method, c.path, c.host, c.origin, w.Code, c.status)
		}
		if w.Code == 403 && !strings.Contains(w.Body.String(), "Invalid Host header") && !strings.Contains(w.Body.String(), "Cross-origin") {
			t.Errorf("refusal without MLflow's text: %s", w.Body)
		}
	}
}

func TestServerInfo(t *testing.T) {
	f := newFixture(t)
	status, answer := f.request(t, "GET", "/api/3.0/mlflow/server-info", nil)
	var out map[string]any
	if err := json.Unmarshal([]byte(answer), &out); err != nil || status != 200 || out["store_type"] != "SqlStore" {
		t.Errorf("%d %s", status, answer)
	}
	if _, answer := f.request(t, "GET", "/version", nil); answer != Compatible {
		t.Errorf("version %s", answer)
	}
}
