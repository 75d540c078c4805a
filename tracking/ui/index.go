package ui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// pipIndex is the index that pip asks where nothing else is configured.
const pipIndex = "https://pypi.org/simple"

// wheelFile is a file of the package index.
type wheelFile struct {
	name, url, sha256 string
}

// fetch downloads the wheel of a version into a file and checks its digest.
func (o InstallOptions) fetch(ctx context.Context, file string) error {
	pip := pipSettings(o.Env)
	client, err := o.client(pip["cert"])
	if err != nil {
		return err
	}
	index := strings.TrimRight(cmp.Or(pip["index-url"], pipIndex), "/")
	files, err := listWheels(ctx, client, index+"/mlflow/")
	if err != nil {
		return err
	}
	want := "mlflow-" + o.Version + "-py3-none-any.whl"
	at := slices.IndexFunc(files, func(f wheelFile) bool { return f.name == want })
	if at < 0 {
		return errs.Hint(errs.New(errs.NotFound, "the package index %s has no wheel of MLflow %s", redacted(index), o.Version), "ctrx ui install --version %s", newestWheel(files))
	}
	if files[at].sha256 == "" {
		return errs.Hint(errs.New(errs.Failed, "the package index %s gives no sha256 digest of %s, so it cannot be checked", redacted(index), want),
			"pip download --no-deps mlflow==%s, then ctrx ui install --from-wheel %s", o.Version, want)
	}
	return o.download(ctx, client, files[at], file)
}

// newestWheel is the newest version that has been tested, of those there are.
func newestWheel(files []wheelFile) string {
	best := Version
	found := false
	for _, f := range files {
		v, ok := strings.CutSuffix(strings.TrimPrefix(f.name, "mlflow-"), "-py3-none-any.whl")
		if ok && tested(v) && (!found || compareVersions(v, best) > 0) {
			best, found = v, true
		}
	}
	return best
}

// get asks for an address; the answer's status is 200.
func get(ctx context.Context, client *http.Client, address, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errs.New(errs.Usage, "ask the package index: %s is no address", redacted(address))
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may hold a password
		}
		return nil, errs.Hint(errs.New(errs.Unreachable, "the package index %s does not answer: %w", redacted(address), err), "without a network: ctrx ui --ui builtin")
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	kind := errs.Failed
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = errs.Auth
	case http.StatusNotFound:
		kind = errs.NotFound
	}
	return nil, errors.Join(errs.New(kind, "%s answers %s", redacted(address), response.Status), response.Body.Close())
}

// listWheels reads the page of a package in an index of PEP 503 (HTML) or
// PEP 691 (JSON).
func listWheels(ctx context.Context, client *http.Client, address string) ([]wheelFile, error) {
	response, err := get(ctx, client, address, "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, errs.New(errs.Unreachable, "read the package index %s: %w", redacted(address), err)
	}
	var files []wheelFile
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		files, err = parseJSONIndex(data)
	} else {
		files = parseHTMLIndex(string(data))
	}
	if err != nil {
		return nil, errs.New(errs.Failed, "read the package index %s: %w", redacted(address), err)
	}
	base := response.Request.URL // after redirections
	for i, f := range files {
		ref, err := base.Parse(f.url)
		if err != nil {
			return nil, errs.New(errs.Failed, "read the package index %s: %w", redacted(address), err)
		}
		if ref.Host == base.Host && ref.User == nil {
			ref.User = base.User // a private index wants to know us there too
		}
		files[i].url = ref.String()
	}
	return files, nil
}

func parseJSONIndex(data []byte) ([]wheelFile, error) {
	var page struct {
		Files []struct {
			Filename string            `json:"filename"`
			URL      string            `json:"url"`
			Hashes   map[string]string `json:"hashes"`
		} `json:"files"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, err
	}
	files := make([]wheelFile, 0, len(page.Files))
	for _, f := range page.Files {
		files = append(files, wheelFile{f.Filename, f.URL, strings.ToLower(f.Hashes["sha256"])})
	}
	return files, nil
}

func parseHTMLIndex(text string) []wheelFile {
	var files []wheelFile
	for _, found := range regexp.MustCompile(`(?i)<a\s[^>]*?href\s*=\s*["']([^"']+)["']`).FindAllStringSubmatch(text, -1) {
		address, fragment, _ := strings.Cut(html.UnescapeString(found[1]), "#")
		digest, _ := strings.CutPrefix(fragment, "sha256=")
		if digest == fragment {
			digest = ""
		}
		name := path.Base(address)
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		files = append(files, wheelFile{name, address, strings.ToLower(digest)})
	}
	return files
}

// download keeps a wheel in a file if it has the digest of the index.
func (o InstallOptions) download(ctx context.Context, client *http.Client, w wheelFile, file string) error {
	response, err := get(ctx, client, w.url, "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", w.name, err)
	}
	sum := sha256.New()
	counted := &counter{sink: o.Sink, name: "fetch", total: max(response.ContentLength, 0)}
	n, err := io.Copy(io.MultiWriter(f, sum, counted), io.LimitReader(response.Body, maxWheel+1))
	counted.end()
	err = errors.Join(err, f.Close())
	switch got := hex.EncodeToString(sum.Sum(nil)); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return errs.New(errs.Unreachable, "fetch %s: %w", w.name, err)
	case n > maxWheel:
		return errs.New(errs.DataCorrupt, "fetch %s: it is larger than %d MB", w.name, maxWheel>>20)
	case got != w.sha256:
		return errs.Hint(errs.New(errs.DataCorrupt, "%s has the digest %s, but the package index says %s: nothing was installed", w.name, got, w.sha256), "ctrx ui install --version %s once more, or another index in PIP_INDEX_URL", o.Version)
	}
	return nil
}

// counter tells how much of a download is there.
type counter struct {
	sink        event.Sink
	name        string
	done, total int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if c.sink != nil {
		c.sink.Send(event.Event{Type: event.Progress, Text: c.name, Done: c.done, Total: c.total, Unit: "B"})
	}
	return len(p), nil
}

func (c *counter) end() {
	if c.sink != nil {
		c.sink.Send(event.Event{Type: event.Progress, Text: c.name, Done: c.done, Total: c.total, Unit: "B", Final: true})
	}
}

// client is an HTTP client that trusts what pip is told to trust.
func (o InstallOptions) client(cert string) (*http.Client, error) {
	if o.Transport != nil {
		return &http.Client{Transport: o.Transport}, nil
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: 30 * time.Second, ForceAttemptHTTP2: true}
	if cert != "" {
		pem, err := os.ReadFile(cert)
		if err != nil {
			return nil, errs.New(errs.Usage, "pip's certificate file cannot be read: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errs.New(errs.Usage, "pip's certificate file %s holds no certificate", cert)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t}, nil
}

// pipSettings gives pip's index-url and cert: from its environment variables,
// else from its files, of which the one that pip reads last counts.
func pipSettings(env func(string) string) map[string]string {
	out := map[string]string{}
	for _, file := range pipFiles(env) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // most of them do not exist; pip passes over all it cannot read
		}
		section := ""
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "["); ok {
				section = strings.TrimSuffix(name, "]")
			}
			key, value, ok := strings.Cut(line, "=")
			key = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(key)), "_", "-")
			if ok && slices.Contains([]string{"global", "install", "download"}, section) && !strings.HasPrefix(line, "#") && slices.Contains([]string{"index-url", "cert"}, key) {
				out[key] = strings.TrimSpace(value)
			}
		}
	}
	for _, v := range []struct{ name, key string }{{"PIP_INDEX_URL", "index-url"}, {"PIP_CERT", "cert"}} {
		if value := env(v.name); value != "" {
			out[v.key] = value
		}
	}
	return out
}

// pipFiles are pip's configuration files in the order in which it reads them.
func pipFiles(env func(string) string) []string {
	if file := env("PIP_CONFIG_FILE"); file != "" {
		return []string{file} // also os.devnull, which means none
	}
	home := env("HOME")
	name := "pip.conf"
	files := []string{"/etc/xdg/pip/pip.conf", "/etc/pip.conf"}
	switch runtime.GOOS {
	case "windows":
		name = "pip.ini"
		files = []string{filepath.Join(env("ProgramData"), "pip", name), filepath.Join(env("APPDATA"), "pip", name)}
	case "darwin":
		files = []string{"/Library/Application Support/pip/pip.conf", filepath.Join(home, "Library", "Application Support", "pip", name)}
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".pip", name), filepath.Join(cmp.Or(env("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "pip", name))
	}
	if venv := env("VIRTUAL_ENV"); venv != "" {
		files = append(files, filepath.Join(venv, name))
	}
	return files
}

// redacted is an address without its password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(an address that cannot be read)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
