package tracking

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

func TestRetry(t *testing.T) {
	type answer struct {
		status int
		after  string
	}
	for name, c := range map[string]struct {
		env     map[string]string
		answers []answer // before the server is well
		waits   string   // rounded down to 0.1 s; "!" the call fails
	}{
		"passing errors":        {nil, []answer{{503, ""}, {429, ""}, {408, ""}}, "200ms 4s 8s"},
		"retry-after":           {nil, []answer{{429, "7"}, {503, "1000"}}, "7s 2m0s"},
		"retry-after ignored":   {map[string]string{"MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false"}, []answer{{429, "7"}}, "200ms"},
		"not retried":           {nil, []answer{{501, ""}}, "!"},
		"no retries":            {map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, []answer{{503, ""}}, "!"},
		"one retry":             {map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}, []answer{{500, ""}, {502, ""}}, "200ms !"},
		"backoff from variable": {map[string]string{"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0.5"}, []answer{{504, ""}, {504, ""}}, "200ms 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			left := c.answers
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if !bytes.Contains(body, []byte(`"max_results"`)) {
					t.Errorf("a repeated request has the body %q", body)
				}
				if len(left) > 0 {
					if left[0].after != "" {
						w.Header().Set("Retry-After", left[0].after)
					}
					w.WriteHeader(left[0].status)
					left = left[1:]
					return
				}
				fmt.Fprint(w, "{}")
			}))
			defer srv.Close()
			var waits []string
			vars := map[string]string{"MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
			for k, v := range c.env {
				vars[k] = v
			}
			cfg := config(t, srv.URL)
			cfg.Env, cfg.OnError = mapEnv(vars), Fail
			cfg.Wait = func(_ context.Context, d time.Duration) error {
				waits = append(waits, d.String())
				return nil
			}
			_, err := mustOpen(t, cfg).SearchRuns(t.Context(), RunQuery{})
			if err != nil {
				waits = append(waits, "!")
			}
			if got := strings.Join(waits, " "); got != c.waits {
				t.Errorf("waits %q, want %q (%v)", got, c.waits, err)
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		fmt.Fprint(w, "{}")
	}))
	defer srv.Close()
	home := t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, ".mlflow"), 0o777))
	must(t, os.WriteFile(filepath.Join(home, ".mlflow", "credentials"),
		[]byte("# comment\n[other]\nmlflow_tracking_username = no\n[mlflow]\nmlflow_tracking_username = filed\nMLFLOW_TRACKING_PASSWORD=pa=ss\n"), 0o600))
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	withUser := strings.Replace(srv.URL, "http://", "http://in:uri@", 1)
	for _, c := range []struct {
		uri  string
		env  map[string]string
		want string
	}{
		{srv.URL, nil, ""},
		{srv.URL, map[string]string{"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t"}, basic("u:p")},
		{srv.URL, map[string]string{"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"},
		{srv.URL, map[string]string{"HOME": home, "USERPROFILE": home}, basic("filed:pa=ss")},
		{srv.URL, map[string]string{"HOME": home, "USERPROFILE": home, "MLFLOW_TRACKING_USERNAME": "u"}, basic("u:pa=ss")},
		{withUser, nil, basic("in:uri")},
		{withUser, map[string]string{"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, basic("u:p")},
	} {
		cfg := config(t, c.uri)
		cfg.Env = mapEnv(c.env)
		client := mustOpen(t, cfg)
		if _, err := client.SearchRuns(t.Context(), RunQuery{}); err != nil {
			t.Error(err)
		}
		if v := got.Get("Authorization"); v != c.want {
			t.Errorf("%v: Authorization %q, want %q", c.env, v, c.want)
		}
		if client.URI() != srv.URL {
			t.Errorf("URI %q shows more than the address", client.URI())
		}
	}
	cfg := config(t, srv.URL)
	cfg.Env, cfg.UserAgent = mapEnv(map[string]string{"MLFLOW_WORKSPACE": "team"}), "ctrx/1.2.3"
	_, err := mustOpen(t, cfg).SearchRuns(t.Context(), RunQuery{})
	must(t, err)
	if got.Get("X-MLFLOW-WORKSPACE") != "team" || got.Get("User-Agent") != "ctrx/1.2.3" {
		t.Errorf("headers %v", got)
	}
}

func TestBadEnvironment(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	must(t, os.MkdirAll(filepath.Join(home, ".mlflow"), 0o777))
	must(t, os.WriteFile(filepath.Join(home, ".mlflow", "credentials"), []byte("[mlflow]\nsecretpassword\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "empty.pem"), []byte("secretpassword"), 0o600))
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "11"}, "it can be 0 to 10"},
		{map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "x"}, "must be a number of 0 or more"},
		{map[string]string{"MLFLOW_HTTP_REQUEST_TIMEOUT": "-1"}, "must be a number of 0 or more"},
		{map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "yes"}, "must be true or false"},
		{map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": "x"}, "contradict each other"},
		{map[string]string{"MLFLOW_TRACKING_SERVER_CERT_PATH": filepath.Join(dir, "none.pem")}, "MLFLOW_TRACKING_SERVER_CERT_PATH"},
		{map[string]string{"MLFLOW_TRACKING_SERVER_CERT_PATH": filepath.Join(dir, "empty.pem")}, "no PEM certificate"},
		{map[string]string{"MLFLOW_TRACKING_CLIENT_CERT_PATH": filepath.Join(dir, "empty.pem")}, "MLFLOW_TRACKING_CLIENT_CERT_PATH"},
		{map[string]string{"MLFLOW_TRACKING_AWS_SIGV4": "true"}, "MLFLOW_TRACKING_AWS_SIGV4"},
		{map[string]string{"MLFLOW_TRACKING_AUTH": "plugin"}, "Python plugin"},
		{map[string]string{"HOME": home, "USERPROFILE": home}, "credentials:2: expected key = value"},
	} {
		cfg := config(t, "http://localhost:1")
		cfg.Env = mapEnv(c.env)
		_, err := Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secretpassword") {
			t.Errorf("%v: %v", c.env, err)
		}
	}
	if _, err := Open(t.Context(), Config{OnError: "ignore"}); errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("on_error ignore: %v", err)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	for _, c := range []struct {
		env map[string]string
		ok  bool
	}{
		{nil, false},
		{map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "true"}, true},
		{map[string]string{"MLFLOW_TRACKING_SERVER_CERT_PATH": ca}, true},
	} {
		cfg := config(t, srv.URL)
		cfg.Env = mapEnv(c.env)
		_, err := mustOpen(t, cfg).SearchRuns(t.Context(), RunQuery{})
		if (err == nil) != c.ok || err != nil && errs.KindOf(err) != errs.Unreachable {
			t.Errorf("%v: %v", c.env, err)
		}
	}
}

func TestErrorMapping(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		kind   string
		body   string
		want   errs.Kind
		text   string // in the message
		hint   string // in the hint
	}{
		"401":            {401, "text/html", "<html>You are not authenticated", errs.Auth, "credentials are missing or wrong", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"},
		"403":            {403, "application/json", `{"error_code":"PERMISSION_DENIED","message":"no"}`, errs.Auth, "403 PERMISSION_DENIED): no", "MLFLOW_TRACKING_TOKEN"},
		"host":           {403, "text/plain", "Invalid Host header - possible DNS rebinding attack detected", errs.Unreachable, "does not accept the host name 127.0.0.1:", "mlflow server --allowed-hosts 127.0.0.1:"},
		"404 of MLflow":  {404, "application/json", `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run with id=x not found"}`, errs.NotFound, "Run with id=x not found", ""},
		"404 page":       {404, "text/html", "<!doctype html><h1>Not Found</h1>", errs.Unreachable, "is it an MLflow server?", "check MLFLOW_TRACKING_URI"},
		"200 page":       {200, "text/html", "<!doctype html><h1>Welcome</h1>", errs.Unreachable, "is it an MLflow server?", "check MLFLOW_TRACKING_URI"},
		"200 text":       {200, "text/plain", "hello", errs.Unreachable, "not MLflow's JSON", "check MLFLOW_TRACKING_URI"},
		"400":            {400, "application/json", `{"error_code":"INVALID_PARAMETER_VALUE","message":"bad"}`, errs.Failed, "400 INVALID_PARAMETER_VALUE): bad", ""},
		"500 page":       {500, "text/html", "<h1>Internal Server Error</h1>", errs.Unreachable, "refused it (500)", ""},
		"503 plain":      {503, "text/plain", "try later", errs.Unreachable, "(503): try later", ""},
		"300 everything": {304, "", "", errs.Failed, "(304)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer srv.Close()
			_, err := mustOpen(t, config(t, srv.URL)).GetRun(t.Context(), "x")
			if errs.KindOf(err) != c.want || !strings.Contains(err.Error(), c.text) || !strings.Contains(errs.HintOf(err), c.hint) {
				t.Errorf("kind %d, %v; hint %q", errs.KindOf(err), err, errs.HintOf(err))
			}
			if !strings.Contains(err.Error(), "get run x") {
				t.Errorf("the message does not say what was done: %v", err)
			}
		})
	}
}

// closedAddress is an address of this machine on which nothing listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestUnreachable(t *testing.T) {
	address := closedAddress(t)
	for _, uri := range []string{"http://user:hunter2@" + address + "/base?token=hunter2", "http://user:hunter2@no.such.host.invalid"} {
		cfg := config(t, uri)
		cfg.OnError = Fail
		_, err := mustOpen(t, cfg).StartRun(t.Context(), RunSpec{Name: "x"})
		if errs.KindOf(err) != errs.Unreachable || !strings.Contains(err.Error(), "unreachable") || errs.HintOf(err) == "" {
			t.Errorf("%v", err)
		}
		if all := fmt.Sprintf("%v %+v %s", err, err, errs.HintOf(err)); strings.Contains(all, "hunter2") || strings.Contains(all, "user:") {
			t.Errorf("a secret is in %q", all)
		}
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(release)
	cfg := config(t, srv.URL)
	cfg.Env = mapEnv(map[string]string{"MLFLOW_HTTP_REQUEST_TIMEOUT": "0.1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"})
	c := mustOpen(t, cfg)
	_, err := c.GetRun(t.Context(), "x")
	if errs.KindOf(err) != errs.Unreachable || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("%v", err)
	}
	err = proxyStore{c.rest, "/x"}.put(t.Context(), "y", strings.NewReader("abc"), 3)
	if errs.KindOf(err) != errs.Unreachable || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("artifact: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("Ctrl-C"))
	if _, err := c.GetRun(ctx, "x"); err == nil || !strings.Contains(err.Error(), "Ctrl-C") {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	r := newRemote(t)
	secure := httptest.NewTLSServer(http.RedirectHandler(r.URL+apiPath+"runs/search", http.StatusTemporaryRedirect))
	defer secure.Close()
	var authorization []string
	for name, c := range map[string]struct {
		status int
		env    map[string]string
		put    bool
		want   string // in the error; empty: works
	}{
		"307 keeps the body":         {307, nil, false, ""},
		"308 keeps the body":         {308, nil, false, ""},
		"307 of an artifact":         {307, nil, true, ""},
		"302 would lose the body":    {302, nil, false, "loses the body of the request"},
		"301 would lose an artifact": {301, nil, true, "loses the body of the request"},
		"forbidden":                  {307, map[string]string{"MLFLOW_ALLOW_HTTP_REDIRECTS": "false"}, false, "MLFLOW_ALLOW_HTTP_REDIRECTS forbids"},
	} {
		t.Run(name, func(t *testing.T) {
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, r.URL+req.URL.RequestURI(), c.status)
			}))
			defer front.Close()
			r.setRefuse(func(_ http.ResponseWriter, req *http.Request) bool {
				authorization = append(authorization, req.Header.Get("Authorization"))
				return false
			})
			cfg := config(t, front.URL)
			vars := map[string]string{"MLFLOW_TRACKING_TOKEN": "secret"}
			for k, v := range c.env {
				vars[k] = v
			}
			cfg.Env = mapEnv(vars)
			client := mustOpen(t, cfg)
			var err error
			if c.put {
				err = proxyStore{client.rest, "/api/2.0/mlflow-artifacts/artifacts/0"}.put(t.Context(), "y", strings.NewReader("abc"), 3)
			} else {
				_, err = client.SearchRuns(t.Context(), RunQuery{Experiments: []string{"0"}})
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, a := range authorization {
		if a != "" {
			t.Errorf("credentials went along to another host: %q", a)
		}
	}
	cfg := config(t, secure.URL)
	cfg.Transport = secure.Client().Transport
	if _, err := mustOpen(t, cfg).SearchRuns(t.Context(), RunQuery{}); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("downgrade: %v", err)
	}
}

func TestArtifactRetry(t *testing.T) {
	r := newRemote(t)
	cfg := config(t, r.URL)
	cfg.Env = mapEnv(map[string]string{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"})
	c := mustOpen(t, cfg)
	run := mustStart(t, c, "one")
	failures := 2
	r.setRefuse(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || failures == 0 {
			return false
		}
		failures--
		_, _ = io.CopyN(io.Discard, req.Body, 3) // a part only
		return down(w, req)
	})
	content := strings.Repeat("0123456789", 100_000)
	must(t, run.LogArtifact(t.Context(), "big", strings.NewReader(content)))
	r.setRefuse(nil)
	var b strings.Builder
	must(t, c.DownloadArtifact(t.Context(), run.ID(), "big", &b))
	if b.String() != content || run.Spooled() {
		t.Errorf("%d bytes came back", b.Len())
	}
	var missing strings.Builder
	if err := c.DownloadArtifact(t.Context(), run.ID(), "nope", &missing); errs.KindOf(err) != errs.NotFound {
		t.Errorf("missing artifact: %v", err)
	}
	// A source that breaks is reported, wherever the artifact was to go.
	err := run.LogArtifact(t.Context(), "broken", failingReader{strings.NewReader("0123456789")})
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("broken source: %v", err)
	}
}

// fakeBucket is an object store in memory.
type fakeBucket struct {
	objects map[string]string
	err     error
}

func (f *fakeBucket) Put(_ context.Context, key string, r io.ReadSeeker, size int64) error {
	if f.err != nil {
		return f.err
	}
	data, err := io.ReadAll(io.LimitReader(r, size))
	f.objects[key] = string(data)
	return err
}

func (f *fakeBucket) Get(_ context.Context, key string, w io.Writer) error {
	v, ok := f.objects[key]
	if !ok {
		return os.ErrNotExist
	}
	_, err := io.WriteString(w, v)
	return err
}

func TestArtifactSchemes(t *testing.T) {
	r := newRemote(t)
	bucket := &fakeBucket{objects: map[string]string{}}
	var spec ObjectStoreSpec
	cfg := config(t, r.URL)
	cfg.Env = mapEnv(map[string]string{"MLFLOW_S3_ENDPOINT_URL": "https://hb.ru-msk.vkcs.cloud", "MLFLOW_S3_IGNORE_TLS": "true"})
	cfg.ObjectStore = func(_ context.Context, s ObjectStoreSpec) (ObjectStore, error) {
		spec = s
		return bucket, nil
	}
	c := mustOpen(t, cfg)
	folder := t.TempDir()
	host := strings.TrimPrefix(r.URL, "http://")
	for _, root := range []string{
		"mlflow-artifacts:/0/x/artifacts", "mlflow-artifacts://" + host + "/0/y/artifacts", r.URL + "/api/2.0/mlflow-artifacts/artifacts/0/z",
		"s3://bucket/some/prefix", "s3://bucket", "file://" + filepath.ToSlash(folder) + "/a%20b", folder,
	} {
		op := operation{Op: opArtifact, Path: "sub/ü x.txt", Size: 5, source: strings.NewReader("hello")}
		if err := c.putArtifact(t.Context(), root, op); err != nil {
			t.Errorf("%s: %v", root, err)
			continue
		}
		store, err := c.artifactStore(t.Context(), c.rest, root)
		must(t, err)
		var b strings.Builder
		if err := store.get(t.Context(), op.Path, &b); err != nil || b.String() != "hello" {
			t.Errorf("%s: read back %q, %v", root, b.String(), err)
		}
	}
	if bucket.objects["some/prefix/sub/ü x.txt"] != "hello" || bucket.objects["sub/ü x.txt"] != "hello" {
		t.Errorf("objects %v", bucket.objects)
	}
	if spec != (ObjectStoreSpec{Bucket: "bucket", Endpoint: "https://hb.ru-msk.vkcs.cloud", IgnoreTLS: true}) {
		t.Errorf("bucket spec %+v", spec)
	}
	if data, err := os.ReadFile(filepath.Join(folder, "a b", "sub", "ü x.txt")); err != nil || string(data) != "hello" {
		t.Errorf("file root: %q, %v", data, err)
	}
	for _, root := range []string{"gs://bucket/x", "relative/path", "hdfs://h/p", "%zz"} {
		if err := c.putArtifact(t.Context(), root, operation{Path: "x", source: strings.NewReader("")}); err == nil {
			t.Errorf("%s was accepted", root)
		}
	}
}

// Credentials for the tracking server are not for another host that it names.
func TestForeignArtifactHostGetsNoCredentials(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	defer srv.Close()
	cfg := config(t, "http://tracking.example:5000")
	cfg.Env = mapEnv(map[string]string{"MLFLOW_TRACKING_TOKEN": "secret"})
	err := mustOpen(t, cfg).putArtifact(t.Context(), srv.URL+"/api/2.0/mlflow-artifacts/artifacts/0", operation{Path: "x", Size: 1, source: strings.NewReader("x")})
	must(t, err)
	if len(got) != 1 || got[0] != "" {
		t.Errorf("Authorization %q", got)
	}
}

// A token that no header can hold is told before a server is asked, and does not
// stand in the message.
func TestTokenWithLineBreak(t *testing.T) {
	_, err := readSettings(mapEnv(map[string]string{"MLFLOW_TRACKING_TOKEN": "secret\n"}))
	if errs.KindOf(err) != errs.Auth || errs.HintOf(err) == "" || strings.Contains(err.Error()+errs.HintOf(err), "secret") {
		t.Errorf("%v", err)
	}
}
