package server

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Requests of the kinds that were published against MLflow: paths out of the
// artifact folder in every spelling, artifact roots and model sources on the
// server's disk (CVE-2023-1177, -2780, -3765, -6014, -6909, -6977; CVE-2024-0520,
// -1483, -1558, -1560, -1593, -1594, -2928, -3573, -3848; CVE-2025-1473).
func TestPublishedAttacks(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.txt")
	if err := os.WriteFile(secret, []byte("TOP SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Options{DB: filepath.Join(dir, "store", "mlflow.db"), Artifacts: filepath.Join(dir, "store", "mlartifacts")})
	defer s.Close()
	send := func(method, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost/", strings.NewReader(body))
		path, query, _ := strings.Cut(target, "?")
		r.URL.RawPath, r.URL.RawQuery = path, query
		r.URL.Path = path
		if plain, err := unescapeOnce(path); err == nil {
			r.URL.Path = plain
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	created := send("POST", api+"runs/create", `{"experiment_id": "0"}`).Body.String()
	_, id, _ := strings.Cut(created, `"run_uuid":"`)
	run := id[:32]
	const proxy = "/api/2.0/mlflow-artifacts/artifacts"
	spellings := []string{
		"../../secret.txt", "..%2f..%2fsecret.txt", "%2e%2e/%2e%2e/secret.txt", "%2e%2e%2f%2e%2e%2fsecret.txt",
		"%252e%252e%252f%252e%252e%252fsecret.txt", "%25252e%25252e/%25252e%25252e/secret.txt", "..%5c..%5csecret.txt", `..\..\secret.txt`,
		"x/../../../secret.txt", "./../../secret.txt", "..;/..;/../secret.txt", "%2fetc%2fpasswd", "/etc/passwd", "//etc/passwd", "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd",
		"C:/Windows/win.ini", "C:%5cWindows%5cwin.ini", "a%00/../../secret.txt", "#/../../../secret.txt", "%23/../../../secret.txt", "?/../../../secret.txt",
		"..%c0%af..%c0%afsecret.txt", "%uff0e%uff0e/secret.txt",
	}
	leaked := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		if body := w.Body.String(); strings.Contains(body, "TOP SECRET") || strings.Contains(body, "root:") || strings.Contains(body, "secret.txt\",\"is_dir") {
			t.Errorf("%s leaks: %d %s", what, w.Code, body)
		}
	}
	for _, p := range spellings {
		leaked("GET "+p, send("GET", proxy+"/"+p, ""))
		leaked("list "+p, send("GET", proxy+"?path="+p, ""))
		leaked("parent "+p, send("GET", proxy+"?path="+strings.TrimSuffix(p, "secret.txt"), ""))
		leaked("run list "+p, send("GET", api+"artifacts/list?run_id="+run+"&path="+p, ""))
		leaked("get-artifact "+p, send("GET", "/get-artifact?run_uuid="+run+"&path="+p, ""))
		send("PUT", proxy+"/"+p, "overwritten")
		send("DELETE", proxy+"/"+p, "")
		leaked("mpu "+p, send("POST", "/api/2.0/mlflow-artifacts/mpu/create/"+p, `{"path": "x", "num_parts": 1}`))
	}
	roots := []string{"/etc", "file:///etc", "file:/etc", "FILE:///etc", "../..", "C:/", "file://localhost/etc", "mlflow-artifacts:/../..", "mlflow-artifacts:/..%2f..", "mlflow-artifacts:/%2e%2e/%2e%2e", "#/../../..", "http:///#/../../../etc", "runs:/x"}
	for i, root := range roots {
		w := send("POST", api+"experiments/create", `{"name": "e`+string(rune('a'+i))+`", "artifact_location": "`+root+`"}`)
		if w.Code != http.StatusOK {
			continue // refused: well
		}
		_, rest, _ := strings.Cut(w.Body.String(), `"experiment_id":"`)
		experiment, _, _ := strings.Cut(rest, `"`)
		_, id, _ := strings.Cut(send("POST", api+"runs/create", `{"experiment_id": "`+experiment+`"}`).Body.String(), `"run_uuid":"`)
		for _, p := range []string{"", "passwd", "secret.txt", "../secret.txt"} {
			leaked("root "+root, send("GET", api+"artifacts/list?run_id="+id[:32]+"&path="+p, ""))
			leaked("root "+root, send("GET", "/get-artifact?run_uuid="+id[:32]+"&path="+p, ""))
		}
	}
	send("POST", api+"registered-models/create", `{"name": "m"}`)
	for _, source := range []string{"/etc", "file:///etc", "file:/etc", "mlflow-artifacts:/../../etc", "mlflow-artifacts:/0/../../etc", "mlflow-artifacts:/..%2f..%2fetc", "models:/../../etc/1", "runs:/../../etc", "s3://b/../../etc", "http://localhost/api/2.0/mlflow-artifacts/artifacts/../../etc", "//etc", "C:/x"} {
		if w := send("POST", api+"model-versions/create", `{"name": "m", "source": "`+source+`", "run_id": "`+run+`"}`); w.Code == http.StatusOK {
			t.Errorf("a model version may come from %s", source)
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "TOP SECRET" {
		t.Errorf("the secret is now %q (%v)", data, err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == secret || strings.HasPrefix(path, filepath.Join(dir, "store")) {
			return err
		}
		t.Errorf("%s was written", path)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// unescapeOnce is what net/http does to the path of a request.
func unescapeOnce(p string) (string, error) {
	r, err := http.NewRequest("GET", "http://localhost"+p, nil)
	if err != nil {
		return "", err
	}
	return r.URL.Path, nil
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	ui := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "a"), Token: "s3cret", UI: ui})
	defer s.Close()
	for _, c := range []struct {
		path, user, password, bearer string
		want                         int
	}{
		{"/health", "", "", "", 200},
		{"/version", "", "", "", 200},
		{"/", "", "", "", 401},
		{"/static-files/x.js", "", "", "", 401},
		{"/get-artifact", "", "", "", 401},
		{"/graphql", "", "", "", 401},
		{api + "experiments/get?experiment_id=0", "", "", "", 401},
		{api + "experiments/get?experiment_id=0", "", "", "wrong", 401},
		{api + "experiments/get?experiment_id=0", "", "", "s3cret", 200},
		{api + "experiments/get?experiment_id=0", "me", "s3cret", "", 200},
		{api + "experiments/get?experiment_id=0", "s3cret", "me", "", 401},
		{"/api/2.0/mlflow-artifacts/artifacts?path=", "", "", "", 401},
		{"/", "any", "s3cret", "", 200},
	} {
		r := httptest.NewRequest("GET", "http://localhost"+c.path, nil)
		if c.bearer != "" {
			r.Header.Set("Authorization", "Bearer "+c.bearer)
		}
		if c.password != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s with %q %q %q: %d, want %d", c.path, c.user, c.password, c.bearer, w.Code, c.want)
		}
		if c.want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", c.path)
		}
		if strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%s: the token is in the answer", c.path)
		}
	}
}

// An upload over the bound leaves nothing, a body over the limit of a call is
// refused.
func TestSizeLimits(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "a"), MaxUpload: 1000})
	defer s.Close()
	srv := httptest.NewServer(s)
	defer srv.Close()
	put := func(size int) int {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", srv.URL+"/api/2.0/mlflow-artifacts/artifacts/0/x.bin", bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := put(1001); code != http.StatusRequestEntityTooLarge {
		t.Errorf("an upload of 1001 bytes: %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "0", "x.bin")); err == nil {
		t.Error("a refused upload is there")
	}
	if code := put(1000); code != http.StatusOK {
		t.Errorf("an upload of 1000 bytes: %d", code)
	}
	resp, err := http.Post(srv.URL+api+"runs/create", "application/json", io.LimitReader(zeros{}, maxJSON+1))
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body of more than %d bytes: %d", maxJSON, resp.StatusCode)
		}
	} else if _, ok := errors.AsType[*net.OpError](err); !ok { // the server may hang up while the client still sends
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
