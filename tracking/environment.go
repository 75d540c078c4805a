package tracking

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ctrx/internal/errs"
)

// settings are the parts of MLflow's environment variables that its clients
// honour (MLflow 3.17.2).
type settings struct {
	username, password, token string
	workspace                 string

	retries       int
	retriesSet    bool
	backoff       float64 // seconds
	jitter        float64 // seconds
	timeout       time.Duration
	timeoutSet    bool
	retryAfter    bool
	redirects     bool
	artifactLimit time.Duration // for a whole artifact transfer; 0: none
}

const (
	defaultRetries = 7
	maxRetries     = 10
	defaultTimeout = 120 * time.Second
)

func readSettings(env func(string) string) (settings, error) {
	r := envReader{env: env}
	s := settings{
		username:   env("MLFLOW_TRACKING_USERNAME"),
		password:   env("MLFLOW_TRACKING_PASSWORD"),
		token:      env("MLFLOW_TRACKING_TOKEN"),
		workspace:  strings.TrimSpace(env("MLFLOW_WORKSPACE")),
		retries:    int(r.number("MLFLOW_HTTP_REQUEST_MAX_RETRIES", defaultRetries)),
		retriesSet: env("MLFLOW_HTTP_REQUEST_MAX_RETRIES") != "",
		backoff:    r.number("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 2),
		jitter:     r.number("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", 1),
		timeout:    r.seconds("MLFLOW_HTTP_REQUEST_TIMEOUT", defaultTimeout),
		timeoutSet: env("MLFLOW_HTTP_REQUEST_TIMEOUT") != "",
		retryAfter: r.flag("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", true),
		redirects:  r.flag("MLFLOW_ALLOW_HTTP_REDIRECTS", true),

		artifactLimit: r.seconds("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", 0),
	}
	if r.err != nil {
		return s, r.err
	}
	if s.retries < 0 || s.retries > maxRetries {
		return s, errs.New(errs.Usage, "MLFLOW_HTTP_REQUEST_MAX_RETRIES is %d: it can be 0 to %d", s.retries, maxRetries)
	}
	if r.flag("MLFLOW_TRACKING_AWS_SIGV4", false) {
		return s, errs.New(errs.Auth, "MLFLOW_TRACKING_AWS_SIGV4 asks for AWS request signing, which ctrx does not do: unset it, or put a signing proxy in between")
	}
	if v := env("MLFLOW_TRACKING_AUTH"); v != "" {
		return s, errs.New(errs.Auth, "MLFLOW_TRACKING_AUTH=%s asks for a Python plugin, which ctrx cannot run: unset it and use MLFLOW_TRACKING_TOKEN", v)
	}
	if strings.ContainsFunc(s.token, unicode.IsControl) { // no header can hold it
		return s, errs.Hint(errs.New(errs.Auth, "MLFLOW_TRACKING_TOKEN holds a line break or another control character"), "export MLFLOW_TRACKING_TOKEN=\"$(tr -d '\\r\\n' < FILE)\"")
	}
	if s.username == "" || s.password == "" {
		user, password, err := readCredentials(env)
		if err != nil {
			return s, err
		}
		s.username, s.password = first(s.username, user), first(s.password, password)
	}
	return s, r.err
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// envReader reads typed variables and keeps the first problem.
type envReader struct {
	env func(string) string
	err error
}

func (r *envReader) number(name string, fallback float64) float64 {
	v := strings.TrimSpace(r.env(name))
	if v == "" {
		return fallback
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || f < 0 {
		r.fail(name, v, "a number of 0 or more")
		return fallback
	}
	return f
}

func (r *envReader) seconds(name string, fallback time.Duration) time.Duration {
	return time.Duration(r.number(name, fallback.Seconds()) * float64(time.Second))
}

func (r *envReader) flag(name string, fallback bool) bool {
	switch v := strings.ToLower(strings.TrimSpace(r.env(name))); v {
	case "":
		return fallback
	case "true", "1":
		return true
	case "false", "0":
		return false
	default:
		r.fail(name, v, "true or false")
		return fallback
	}
}

func (r *envReader) fail(name, value, want string) {
	if r.err == nil {
		r.err = errs.New(errs.Usage, "%s is %q: it must be %s", name, value, want)
	}
}

// readCredentials reads section [mlflow] of ~/.mlflow/credentials, an INI file
// with the keys mlflow_tracking_username and mlflow_tracking_password. A file
// that is not there gives empty values.
func readCredentials(env func(string) string) (user, password string, err error) {
	home := env("HOME")
	if runtime.GOOS == "windows" {
		home = env("USERPROFILE")
	}
	if home == "" {
		return "", "", nil
	}
	path := filepath.Join(home, ".mlflow", "credentials")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", errs.New(errs.Auth, "read MLflow credentials: %w", err)
	}
	defer f.Close()
	section := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			section = line[1 : len(line)-1]
			continue
		}
		// The line itself may hold a password: name only the place.
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			return "", "", errs.At(errs.Pos{File: path, Line: n}, "expected key = value")
		}
		if section != "mlflow" {
			continue
		}
		value := strings.TrimSpace(line[i+1:])
		switch strings.ToLower(strings.TrimSpace(line[:i])) {
		case "mlflow_tracking_username":
			user = value
		case "mlflow_tracking_password":
			password = value
		}
	}
	if err := lines.Err(); err != nil {
		return "", "", errs.New(errs.Auth, "read MLflow credentials %s: %w", path, err)
	}
	return user, password, nil
}

// newTransport builds the network side from the TLS variables.
func newTransport(env func(string) string) (http.RoundTripper, error) {
	r := envReader{env: env}
	insecure := r.flag("MLFLOW_TRACKING_INSECURE_TLS", false)
	if r.err != nil {
		return nil, r.err
	}
	ca, client := env("MLFLOW_TRACKING_SERVER_CERT_PATH"), env("MLFLOW_TRACKING_CLIENT_CERT_PATH")
	if insecure && ca != "" {
		return nil, errs.New(errs.Usage, "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH contradict each other: set one of them")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, errs.New(errs.Usage, "MLFLOW_TRACKING_SERVER_CERT_PATH: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errs.New(errs.Usage, "MLFLOW_TRACKING_SERVER_CERT_PATH: %s holds no PEM certificate", ca)
		}
	}
	if client != "" {
		pair, err := tls.LoadX509KeyPair(client, client)
		if err != nil {
			return nil, errs.New(errs.Usage, "MLFLOW_TRACKING_CLIENT_CERT_PATH: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errs.New(errs.Failed, "the default HTTP transport was replaced")
	}
	t := base.Clone()
	t.TLSClientConfig = conf
	return t, nil
}
