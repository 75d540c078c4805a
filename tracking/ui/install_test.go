package ui

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// wheel makes a wheel of MLflow with more members.
func wheel(t testing.TB, version string, more map[string]string) []byte {
	t.Helper()
	members := map[string]string{
		"mlflow-" + version + ".dist-info/METADATA":    "Name: mlflow\n",
		"mlflow/__init__.py":                           "raise SystemExit",
		"mlflow/server/js/build/index.html":            index,
		"mlflow/server/js/build/static/js/main.1.js":   "let a;",
		"mlflow/server/js/build/static/css/main.1.css": "a {}",
	}
	for k, v := range more {
		members[k] = v
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range members {
		if text == "-" {
			continue
		}
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packageIndex is an index with one wheel. form is "json" or "html"; it lets in
// who comes as ann.
type packageIndex struct {
	wheel  []byte
	digest string
	form   string
	status int
}

func (p packageIndex) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const name = "mlflow-3.17.2-py3-none-any.whl"
	user, password, _ := r.BasicAuth()
	switch {
	case user != "ann" || password != "pw":
		w.WriteHeader(http.StatusUnauthorized)
	case p.status != 0:
		w.WriteHeader(p.status)
	case strings.HasSuffix(r.URL.Path, ".whl"):
		_, _ = w.Write(p.wheel)
	case r.URL.Path != "/simple/mlflow/":
		w.WriteHeader(http.StatusNotFound)
	case p.form == "json" && strings.Contains(r.Header.Get("Accept"), "json"):
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		fmt.Fprintf(w, `{"files":[{"filename":"mlflow-3.16.0.tar.gz","url":"x","hashes":{}},{"filename":%q,"url":"../../files/%s","hashes":{"sha256":%q}}]}`, name, name, p.digest)
	default:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<html><a href="../../files/mlflow-3.16.0.tar.gz#sha256=00">s</a> <a data-x="1" href="../../files/%s#sha256=%s">w</a></html>`, name, p.digest)
	}
}

func TestInstall(t *testing.T) {
	good := wheel(t, "3.17.2", nil)
	sum := sha256.Sum256(good)
	digest := hex.EncodeToString(sum[:])
	for _, c := range []struct {
		name  string
		index packageIndex
		user  string
		opts  InstallOptions
		kind  errs.Kind // Failed with err "": no error
		err   string
	}{
		{name: "JSON index", index: packageIndex{wheel: good, digest: digest, form: "json"}},
		{name: "HTML index", index: packageIndex{wheel: good, digest: strings.ToUpper(digest), form: "html"}},
		{name: "another content", index: packageIndex{wheel: good, digest: strings.Repeat("0", 64), form: "json"}, kind: errs.DataCorrupt, err: "nothing was installed"},
		{name: "no digest", index: packageIndex{wheel: good, form: "json"}, kind: errs.Failed, err: "gives no sha256"},
		{name: "no such version", index: packageIndex{wheel: good, digest: digest, form: "json"}, opts: InstallOptions{Version: "3.99.0"}, kind: errs.NotFound, err: "has no wheel of MLflow 3.99.0"},
		{name: "a version that is none", opts: InstallOptions{Version: "../x"}, kind: errs.Usage, err: "no version"},
		{name: "a version that is a path", opts: InstallOptions{Version: "3.1/../../x"}, kind: errs.Usage, err: "no version"},
		{name: "a stranger", user: "bob:pw@", index: packageIndex{wheel: good, digest: digest, form: "json"}, kind: errs.Auth, err: "401"},
		{name: "the index is broken", index: packageIndex{status: 500}, kind: errs.Failed, err: "500"},
		{name: "an archive that is none", index: packageIndex{wheel: []byte("x"), digest: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", form: "json"}, kind: errs.DataCorrupt, err: "is no wheel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.index)
			defer srv.Close()
			user := c.user
			if user == "" {
				user = "ann:pw@"
			}
			o := c.opts
			o.Cache = filepath.Join(t.TempDir(), "cache")
			address := strings.Replace(srv.URL, "http://", "http://"+user, 1) + "/simple/"
			o.Env = func(name string) string { return map[string]string{"PIP_INDEX_URL": address}[name] }
			in, err := Install(t.Context(), o)
			if c.err != "" {
				if err == nil || errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v of kind %v, want %q of kind %v", err, errs.KindOf(err), c.err, c.kind)
				}
				if err != nil && strings.Contains(err.Error()+errs.HintOf(err), "pw") {
					t.Errorf("the password is in: %v", err)
				}
				onlyLock(t, o.Cache)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if in.Files != 3 || in.Version != "3.17.2" || !in.Tested || in.Already {
				t.Errorf("%+v", in)
			}
			if b := installed(o.Cache); len(b) != 1 || b[0].version != "3.17.2" {
				t.Errorf("installed are %v", b)
			}
			srv.Close()
			if in, err = Install(t.Context(), o); err != nil || !in.Already {
				t.Errorf("the second time: %+v, %v", in, err)
			}
		})
	}
}

// onlyLock checks that nothing of a failed installation is left.
func onlyLock(t testing.TB, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestInstallFromWheel(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		err  string
	}{
		{"good", wheel(t, "3.18.1", nil), ""},
		{"skinny", wheel(t, "3.18.1", map[string]string{"mlflow/server/js/build/index.html": "-"}), "has no interface"},
		{"another package", wheel(t, "3.18.1", map[string]string{"mlflow-3.18.1.dist-info/METADATA": "-"}), "no wheel of MLflow"},
		{"out of the folder", wheel(t, "3.18.1", map[string]string{"mlflow/server/js/build/../../../../../x": "x"}), "no name of a file"},
		{"a backslash", wheel(t, "3.18.1", map[string]string{`mlflow/server/js/build/..\x`: "x"}), "no name of a file"},
		{"absolute", wheel(t, "3.18.1", map[string]string{"mlflow/server/js/build//etc/x": "x"}), "no name of a file"},
		{"a version that is a path", wheel(t, "3.1/../../x", nil), "no wheel of MLflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "a.whl")
			write(t, file, string(c.data), 0o666)
			o := InstallOptions{Wheel: file, Cache: filepath.Join(dir, "cache"), Env: func(string) string { return "" }}
			// What a killed installation left goes.
			write(t, filepath.Join(o.Cache, unfinished+"1", "build", "index.html"), "", 0o666)
			in, err := Install(t.Context(), o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				onlyLock(t, o.Cache)
				return
			}
			if err != nil || in.Version != "3.18.1" || !isFile(filepath.Join(in.Dir, "static", "js", "main.1.js")) {
				t.Errorf("%+v, %v", in, err)
			}
			if _, err := os.Stat(filepath.Join(o.Cache, unfinished+"1")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the unfinished one is still there: %v", err)
			}
		})
	}
	if _, err := Install(t.Context(), InstallOptions{Wheel: filepath.Join(t.TempDir(), "none.whl"), Cache: t.TempDir(), Env: func(string) string { return "" }}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no wheel: %v", err)
	}
}

// An installation that is interrupted leaves nothing and says so.
func TestInstallInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	cache := t.TempDir()
	_, err := Install(ctx, InstallOptions{Cache: cache, Env: func(name string) string { return map[string]string{"PIP_INDEX_URL": srv.URL}[name] }})
	if errs.KindOf(err) != errs.Interrupted {
		t.Errorf("%v", err)
	}
	onlyLock(t, cache)
}

func TestPipSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "home", ".config", "pip", "pip.conf"), "[global]\nindex_url = https://a/simple\n# cert = no\ncert=/c.pem\n[list]\nindex-url = https://no\n", 0o666)
	write(t, filepath.Join(dir, "venv", "pip.conf"), "[install]\nindex-url: no\nindex-url = https://b/simple\n", 0o666)
	write(t, filepath.Join(dir, "one.conf"), "[download]\nindex-url = https://c/simple\n", 0o666)
	home := filepath.Join(dir, "home")
	for _, c := range []struct {
		env         map[string]string
		index, cert string
	}{
		{map[string]string{"HOME": home}, "https://a/simple", "/c.pem"},
		{map[string]string{"HOME": home, "VIRTUAL_ENV": filepath.Join(dir, "venv")}, "https://b/simple", "/c.pem"},
		{map[string]string{"HOME": home, "PIP_CONFIG_FILE": filepath.Join(dir, "one.conf")}, "https://c/simple", ""},
		{map[string]string{"HOME": home, "PIP_CONFIG_FILE": os.DevNull}, "", ""},
		{map[string]string{"HOME": home, "PIP_INDEX_URL": "https://d/simple", "PIP_CERT": "/d.pem"}, "https://d/simple", "/d.pem"},
	} {
		got := pipSettings(func(name string) string { return c.env[name] })
		if got["index-url"] != c.index || got["cert"] != c.cert {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
