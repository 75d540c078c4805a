package experiment

import (
	"context"
	"errors"
	"iter"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/remote"
	"ctrx/tracking/server"
	"ctrx/tracking/ui"
)

// TrackingServerOptions say what an MLflow-compatible server serves and to
// whom. Zero values are usable but for Dir.
type TrackingServerOptions struct {
	Dir  string // what relative paths are relative to
	Root string // where mlflow.db and mlartifacts are by default; "": Dir

	// Project tells that Root is a project, in which a second `ctrx ui` looks
	// for the running server.
	Project bool

	Host string // address to listen on; "": 127.0.0.1
	Port int    // 0: any free one

	Backend   string // sqlite:///FILE; "": mlflow.db in Root
	Artifacts string // folder or s3://BUCKET/PREFIX; "": mlartifacts beside the database

	// Token must come with every request; see server.Options. An address that
	// other machines reach is refused without one.
	Token string

	AllowedHosts    []string
	AllowedOrigins  []string
	AllowLocalRoots bool

	// MaxUpload bounds an uploaded artifact: bytes, or with k, M or G after
	// the number 1000, a million or a billion of them; "": no bound.
	MaxUpload string
	Stall     time.Duration // how long a body may stand still; 0: a minute

	UI         ui.Mode // which interface a browser gets; "": Auto
	Experiment string  // name of the experiment that "/" shows; "": the one of the last run

	Env func(string) string // AWS_*, MLFLOW_S3_*, and where Python is
	Now func() time.Time
}

// TrackingServer listens and is ready to serve.
type TrackingServer struct {
	server   *server.Server
	listener net.Listener
	retract  func() error // undoes announce; nil: not announced

	// Database and Artifacts say where things are kept, for the user.
	Database, Artifacts string
	// UI is the interface that a browser gets.
	UI *ui.UI
	// Login is an address that logs a browser in, once and for ten minutes,
	// where the server has a token; else "".
	Login string
}

// ListenTracking checks the options and begins to listen. Whoever got a server
// calls Serve, which closes it.
func ListenTracking(ctx context.Context, o TrackingServerOptions) (*TrackingServer, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Root == "" {
		o.Root = o.Dir
	}
	if o.Token == "" && !loopback(o.Host) {
		return nil, errs.Hint(errs.New(errs.Usage, "other machines can reach %s: such a server needs a token", o.Host),
			"ctrx server --host %s --token SECRET, or set CTRX_SERVER_TOKEN", o.Host)
	}
	opts := server.Options{Token: o.Token, AllowedHosts: o.AllowedHosts, AllowedOrigins: o.AllowedOrigins,
		AllowLocalRoots: o.AllowLocalRoots, Now: o.Now, Stall: o.Stall}
	t := &TrackingServer{}
	landing := func(ctx context.Context) (string, error) { return t.server.Landing(ctx, o.Experiment) }
	var err error
	if opts.MaxUpload, err = byteSize(o.MaxUpload); err != nil {
		return nil, err
	}
	if t.UI, err = ui.Choose(ctx, ui.Options{Mode: o.UI, Dir: o.Root, Env: o.Env, Landing: landing}); err != nil {
		return nil, err
	}
	opts.UI = t.UI
	if opts.DB, err = o.database(); err != nil {
		return nil, err
	}
	if err := server.CheckFile(opts.DB); err != nil {
		return nil, err
	}
	t.Database, t.Artifacts = opts.DB, o.Artifacts
	switch {
	case strings.HasPrefix(o.Artifacts, "s3://"):
		if opts.Objects, err = o.bucket(ctx); err != nil {
			return nil, err
		}
	case o.Artifacts == "":
		opts.Artifacts = filepath.Join(filepath.Dir(opts.DB), "mlartifacts")
		t.Artifacts = opts.Artifacts
	default:
		if opts.Artifacts, err = o.folder(); err != nil {
			return nil, err
		}
		t.Artifacts = opts.Artifacts
	}
	if o.Stall < 0 {
		return nil, errs.Hint(errs.New(errs.Usage, "%s is no time that a connection may stand still", o.Stall), "--stall-timeout 1m")
	}
	if o.Port < 0 || o.Port > 65535 {
		return nil, errs.Hint(errs.New(errs.Usage, "%d is no port", o.Port), "--port 5000, or --port 0 for any that is free")
	}
	var lc net.ListenConfig
	t.listener, err = lc.Listen(ctx, "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, errs.Hint(errs.New(errs.Conflict, "cannot listen on %s port %d: %w", o.Host, o.Port, err), "repeat the command with --port 0, which takes any port that is free")
	}
	t.server = server.New(opts)
	if o.Token != "" {
		path, err := t.server.Login()
		if err != nil {
			return nil, errors.Join(err, t.listener.Close(), t.server.Close())
		}
		t.Login = t.URL() + path
	}
	if o.Project && o.Backend == "" {
		if err := t.announce(ctx, o.Root); err != nil {
			return nil, errors.Join(err, t.listener.Close(), t.server.Close())
		}
	}
	return t, nil
}

// URL is the address for a browser and for MLFLOW_TRACKING_URI.
func (t *TrackingServer) URL() string {
	host, port, err := net.SplitHostPort(t.listener.Addr().String())
	if err != nil {
		return "http://" + t.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Serve answers requests until ctx ends; then it finishes the ones in flight,
// folds the write-ahead log into the database and returns nil.
func (t *TrackingServer) Serve(ctx context.Context) error {
	err := errors.Join(t.server.Serve(ctx, t.listener), t.server.Close())
	if t.retract != nil {
		err = errors.Join(err, t.retract())
	}
	return err
}

// ServeAnd is Serve with something that is done beside it, once, whose context
// ends when the server does.
func (t *TrackingServer) ServeAnd(ctx context.Context, beside func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { beside(ctx); return nil })
	err := t.Serve(ctx)
	cancel()
	return errors.Join(err, g.Wait())
}

// byteSize reads "10G".
func byteSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	number, unit := s, int64(1)
	for i, suffix := range []string{"k", "M", "G", "T"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			number = rest
			for range i + 1 {
				unit *= 1000
			}
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, errs.Hint(errs.New(errs.Usage, "%q is no size", s), "a number of bytes, or 500k, 20M, 5G")
	}
	return n * unit, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (o TrackingServerOptions) absolute(p string) string {
	p = filepath.FromSlash(p)
	if !filepath.IsAbs(p) {
		p = filepath.Join(o.Dir, p)
	}
	return p
}

func (o TrackingServerOptions) database() (string, error) {
	if o.Backend == "" {
		return filepath.Join(o.Root, "mlflow.db"), nil
	}
	file, ok := strings.CutPrefix(o.Backend, "sqlite:///")
	if !ok || file == "" || strings.ContainsRune(file, '?') {
		return "", errs.Hint(errs.New(errs.Usage, "this server keeps runs in an SQLite file only"), "--backend-store-uri sqlite:///mlflow.db")
	}
	return o.absolute(file), nil
}

func (o TrackingServerOptions) folder() (string, error) {
	u, err := url.Parse(o.Artifacts)
	switch {
	case err == nil && u.Scheme == "file":
		return o.absolute(u.Path), nil
	case err == nil && len(u.Scheme) > 1:
		return "", errs.Hint(errs.New(errs.Usage, "artifacts cannot be kept at %s://", u.Scheme), "--artifacts-destination FOLDER or s3://BUCKET/PREFIX")
	}
	return o.absolute(o.Artifacts), nil
}

// bucket opens the bucket of the artifacts with the settings that MLflow's own
// server reads: MLFLOW_S3_ENDPOINT_URL, MLFLOW_S3_IGNORE_TLS and AWS_*.
func (o TrackingServerOptions) bucket(ctx context.Context) (server.ObjectStore, error) {
	config := map[string]string{"url": strings.TrimRight(o.Artifacts, "/")}
	if v := o.Env("MLFLOW_S3_ENDPOINT_URL"); v != "" {
		config["endpointurl"] = v
	}
	if strings.EqualFold(o.Env("MLFLOW_S3_IGNORE_TLS"), "true") {
		config["ssl_verify"] = "false"
	}
	backend, err := remote.Open(ctx, "MLflow artifacts", config, "", remote.Access{Env: o.Env})
	if err != nil {
		return nil, err
	}
	if parts, ok := backend.(server.PartStore); ok {
		return partedObjects{objects{backend}, parts}, nil
	}
	return objects{backend}, nil
}

// partedObjects are objects whose parts clients send themselves.
type partedObjects struct {
	objects
	server.PartStore
}

// objects is a storage backend as the tracking server wants it: the two rooms
// do not know each other.
type objects struct{ storage.Backend }

func (b objects) List(ctx context.Context, prefix string) iter.Seq2[server.ObjectInfo, error] {
	return func(yield func(server.ObjectInfo, error) bool) {
		for o, err := range b.Backend.List(ctx, prefix) {
			if !yield(server.ObjectInfo{Key: o.Key, Size: o.Size}, err) {
				return
			}
		}
	}
}
