// Package tracking records runs in MLflow: parameters, metrics, tags, dataset
// inputs and artifacts.
//
// Open gives a Client, which does not touch the network or a file yet.
// Client.StartRun gives a Run, to which things are logged until Finish:
//
//	client, err := tracking.Open(ctx, tracking.Config{URI: uri, ExperimentName: "ctr", Dir: root})
//	run, err := client.StartRun(ctx, tracking.RunSpec{Name: "lazy-otter"})
//	err = run.LogParams(ctx, []tracking.Param{{Key: "lr", Value: "0.1"}})
//	err = run.Finish(ctx, tracking.Finished, time.Now())
//
// There is one path to every store: MLflow's REST API. With an http(s) URI it
// goes to that server; without one, and with a sqlite: URI, it goes to the
// embedded server of package tracking/server, called in process. What the API
// demands (batch sizes, key characters, value lengths) is taken care of here,
// so a caller logs what it has.
//
// A server that is down, hangs or is slow costs a training run a second in all:
// unless Config.OnError says Fail, a run then goes on into the spool, files below
// <Dir>/.dvc/tmp/ctrx/spool, and Sync sends it later, in order and once. A run
// whose process is killed is found by its lease, and ended by Sync or
// Client.Reap. Export and Import move runs between servers.
package tracking

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/tracking/server"
)

// OnError says what happens to a run whose server fails.
type OnError string

// The values of tracking.on_error.
const (
	Spool OnError = "spool" // the default: keep the rest of the run in files
	Fail  OnError = "fail"  // return the error
)

// Config configures a Client. Zero values are usable: they mean the embedded
// store in the current folder.
type Config struct {
	// URI is the tracking URI: http(s)://..., sqlite:///FILE, or empty for
	// the embedded store at Dir/mlflow.db and Dir/mlartifacts.
	URI string
	// ExperimentName groups the runs; it is created when it does not exist.
	// Empty: MLFLOW_EXPERIMENT_NAME, else the server's "Default".
	ExperimentName string
	// Dir is the project root.
	Dir     string
	OnError OnError

	Env  func(string) string // nil: os.Getenv
	Now  func() time.Time    // nil: time.Now
	Rand io.Reader           // source of run keys; nil: crypto/rand
	Sink event.Sink          // nil: event.Discard
	// Wait sleeps between attempts; nil: until the time or ctx is over.
	Wait func(ctx context.Context, d time.Duration) error

	// ObjectStore opens a bucket when a server keeps artifacts at s3:// and
	// expects its clients to write there. Nil: such artifacts are refused.
	ObjectStore func(ctx context.Context, spec ObjectStoreSpec) (ObjectStore, error)
	// Transport replaces the network; nil: built from the TLS and proxy
	// variables of the environment.
	Transport http.RoundTripper
	// UserAgent is the header of that name; empty: "ctrx".
	UserAgent string
}

func (cfg Config) withDefaults() Config {
	if cfg.Env == nil {
		cfg.Env = os.Getenv
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Sink == nil {
		cfg.Sink = event.Discard
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	if cfg.OnError == "" {
		cfg.OnError = Spool
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "ctrx"
	}
	return cfg
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// newKey makes 32 random hex digits.
func (cfg Config) newKey() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(cfg.Rand, b[:]); err != nil {
		return "", fmt.Errorf("make a run key: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Client talks to one tracking store. It is safe for concurrent use.
type Client struct {
	cfg      Config
	rest     *rest
	embedded *server.Server // nil for a remote store

	mu         sync.Mutex
	experiment *Experiment // resolved by the first StartRun
	warned     bool        // the spool was announced
}

// Open makes a client. It fails on a configuration that cannot work: an
// unknown scheme, contradictory TLS variables, a broken credentials file. It
// does not ask the server anything.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.OnError != Spool && cfg.OnError != Fail {
		return nil, errs.New(errs.ProjectFile, "tracking.on_error is %q: it can be %q or %q", cfg.OnError, Spool, Fail)
	}
	if cfg.OnError == Spool {
		return open(cfg, withSpool())
	}
	return open(cfg, patience{})
}

func open(cfg Config, p patience) (*Client, error) {
	place, err := locate(cfg.URI, cfg.Dir)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	if place.db != "" {
		c.embedded = server.New(server.Options{DB: place.db, Artifacts: place.artifacts, Now: cfg.Now, Rand: cfg.Rand})
		c.rest = inProcessREST(c.embedded, place.display)
		return c, nil
	}
	c.rest, err = newREST(cfg, place.base, p)
	return c, err
}

// place is what a tracking URI stands for.
type place struct {
	base          *url.URL // of an http server
	db, artifacts string   // of the embedded one
	display       string
}

// locate reads a tracking URI. dir is what relative paths are relative to.
func locate(uri, dir string) (place, error) {
	if uri == "" {
		db, err := filepath.Abs(filepath.Join(dir, "mlflow.db"))
		return place{db: db, artifacts: filepath.Join(filepath.Dir(db), "mlartifacts"), display: "sqlite:///" + filepath.ToSlash(db)}, err
	}
	hint := "give the address of an MLflow server (http://host:5000), sqlite:///mlflow.db, or nothing for the embedded store"
	if file, ok := strings.CutPrefix(uri, "sqlite:///"); ok {
		if file == "" || strings.ContainsRune(file, '?') {
			return place{}, errs.Hint(errs.New(errs.Usage, "tracking URI %s names no database file", uri), "%s", hint)
		}
		db := filepath.FromSlash(file)
		if !filepath.IsAbs(db) {
			db = filepath.Join(dir, db)
		}
		db, err := filepath.Abs(db)
		return place{db: db, artifacts: filepath.Join(filepath.Dir(db), "mlartifacts"), display: uri}, err
	}
	u, err := url.Parse(uri)
	if err != nil { // the error of url.Parse quotes the URI, which may hold a password
		return place{}, errs.Hint(errs.New(errs.Usage, "the tracking URI is not a URL"), "%s", hint)
	}
	switch {
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return place{base: u, display: strings.TrimRight(Redact(uri), "/")}, nil
	case u.Scheme == "file" || u.Scheme == "" || len(u.Scheme) == 1:
		return place{}, errs.Hint(errs.New(errs.Usage, "tracking URI %s is a folder of MLflow's file store, which ctrx does not write", Redact(uri)), "%s", hint)
	}
	return place{}, errs.Hint(errs.New(errs.Usage, "tracking URI %s has the scheme %q, which ctrx does not know", Redact(uri), u.Scheme), "%s", hint)
}

// Redact removes user, password, query and fragment from a URI, so that it can
// be shown and stored.
func Redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "(a tracking URI that is not a URL)"
	}
	u.User, u.RawQuery, u.Fragment, u.ForceQuery = nil, "", "", false
	return u.String()
}

// URI is the tracking URI without secrets. For the embedded store it is a
// sqlite: URI that MLflow itself can open.
func (c *Client) URI() string { return c.rest.display }

// Embedded tells whether runs go to the embedded store.
func (c *Client) Embedded() bool { return c.embedded != nil }

// Close lets go of connections and files.
func (c *Client) Close() error {
	c.rest.client.CloseIdleConnections()
	if c.embedded != nil {
		return c.embedded.Close()
	}
	return nil
}

// Serve gives the tracking URI for the environment of stage commands. For the
// embedded store it starts to listen on a free port of 127.0.0.1, so that code
// which uses an MLflow client logs into the same store; stop ends that and
// waits for requests in flight. For a remote store it is the configured URI,
// with the user and password it was given with, and stop does nothing.
func (c *Client) Serve(ctx context.Context) (uri string, stop func() error, err error) {
	if c.embedded == nil {
		return c.cfg.URI, func() error { return nil }, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen for stage commands: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.embedded.Serve(ctx, l) }()
	var once sync.Once
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	return "http://" + l.Addr().String(), stop, nil
}

func (c *Client) warnSpool(text string) {
	c.mu.Lock()
	first := !c.warned
	c.warned = true
	c.mu.Unlock()
	if first {
		c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: text})
	}
}
