package tracking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// ObjectStore is the part of an object store that artifacts need. Keys are
// slash-separated and do not begin with a slash.
type ObjectStore interface {
	// Put stores size bytes under key; an object that exists is replaced.
	Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error
	// Get writes an object to w. A missing key gives fs.ErrNotExist.
	Get(ctx context.Context, key string, w io.Writer) error
}

// ObjectStoreSpec names a bucket. Credentials and region come from the AWS_*
// variables, as for MLflow's own client.
type ObjectStoreSpec struct {
	Bucket    string
	Endpoint  string // MLFLOW_S3_ENDPOINT_URL; empty: AWS
	IgnoreTLS bool   // MLFLOW_S3_IGNORE_TLS
}

// storeError marks a failure of the place where artifacts are kept. The
// tracking server itself may be well.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// Artifact is an entry of a run's artifact folder.
type Artifact struct {
	Path string // relative to the root of the run, with slashes
	Dir  bool
	Size int64 // bytes; 0 for a folder
}

// artifactStore is one artifact root.
type artifactStore interface {
	put(ctx context.Context, name string, r io.ReadSeeker, size int64) error
	get(ctx context.Context, name string, w io.Writer) error
}

// artifactStore chooses by the scheme of a run's artifact URI.
func (c *Client) artifactStore(ctx context.Context, rest *rest, uri string) (artifactStore, error) {
	if filepath.IsAbs(uri) {
		return folderStore{uri}, nil
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, errs.New(errs.Failed, "the server gave an artifact URI that is not a URL")
	}
	switch u.Scheme {
	case "mlflow-artifacts":
		base := *rest.base
		if u.Host != "" {
			base = url.URL{Scheme: base.Scheme, Host: u.Host}
		}
		return proxyStore{rest.at(&base), "/api/2.0/mlflow-artifacts/artifacts" + strings.TrimRight(u.EscapedPath(), "/")}, nil
	case "http", "https":
		base := url.URL{Scheme: u.Scheme, Host: u.Host}
		return proxyStore{rest.at(&base), strings.TrimRight(u.EscapedPath(), "/")}, nil
	case "s3":
		if c.cfg.ObjectStore == nil {
			return nil, errs.New(errs.Failed, "the server keeps artifacts at %s, and no object store is configured here", Redact(uri))
		}
		ignore := envReader{env: c.cfg.Env}
		spec := ObjectStoreSpec{Bucket: u.Host, Endpoint: c.cfg.Env("MLFLOW_S3_ENDPOINT_URL"), IgnoreTLS: ignore.flag("MLFLOW_S3_IGNORE_TLS", false)}
		if ignore.err != nil {
			return nil, ignore.err
		}
		store, err := c.cfg.ObjectStore(ctx, spec)
		if err != nil {
			return nil, err
		}
		return bucketStore{store, strings.Trim(u.Path, "/")}, nil
	case "file":
		return folderStore{filepath.FromSlash(filePath(u))}, nil
	case "":
		return nil, errs.New(errs.Failed, "the server keeps artifacts at %q, a path that is relative to the server", uri)
	}
	return nil, errs.Hint(errs.New(errs.Failed, "the server keeps artifacts at %s, and ctrx cannot write to %s:", Redact(uri), u.Scheme),
		"start the server with `--artifacts-destination %s --default-artifact-root mlflow-artifacts:/`, so that it takes artifacts itself", Redact(uri))
}

// filePath is the path of a file: URI; on Windows without the slash before the
// drive.
func filePath(u *url.URL) string {
	p := u.Path
	if len(p) > 2 && p[0] == '/' && p[2] == ':' {
		p = p[1:]
	}
	return p
}

// at gives the same client for another address. Credentials go along only to
// the same host.
func (r *rest) at(base *url.URL) *rest {
	out := *r
	out.base = base
	if base.Host != r.base.Host {
		if r.trouble != nil { // one that hangs is not the tracking server's fault
			out.trouble = newTrouble(r.trouble.most)
		}
		out.display = base.String()
		out.headers = r.headers.Clone()
		out.headers.Del("Authorization")
	}
	return &out
}

// putArtifact stores the content of an opArtifact.
func (c *Client) putArtifact(ctx context.Context, root string, op operation) error {
	store, err := c.artifactStore(ctx, c.rest, root)
	if err == nil {
		err = store.put(ctx, op.Path, section{op.source, op.from}, op.Size)
	}
	if err != nil && ctx.Err() == nil {
		return &storeError{fmt.Errorf("log artifact %s: %w", op.Path, err)}
	}
	return err
}

// section is a ReadSeeker that begins at an offset of another.
type section struct {
	io.ReadSeeker
	from int64
}

func (s section) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		offset += s.from
	}
	n, err := s.ReadSeeker.Seek(offset, whence)
	return n - s.from, err
}

// ListArtifacts lists one folder of a run; dir is "" for the root. A folder
// that does not exist is empty.
func (c *Client) ListArtifacts(ctx context.Context, runID, dir string) ([]Artifact, error) {
	q := url.Values{"run_id": {runID}}
	if dir != "" {
		q.Set("path", dir)
	}
	return c.listArtifacts(ctx, request{method: http.MethodGet, path: apiPath + "artifacts/list", query: q, what: "list artifacts of run " + runID})
}

// listArtifacts asks page by page.
func (c *Client) listArtifacts(ctx context.Context, ask request) ([]Artifact, error) {
	var all []Artifact
	for {
		var out struct {
			Files []wire.FileInfo `json:"files"`
			Next  string          `json:"next_page_token"`
		}
		if err := c.rest.patient().call(ctx, ask, &out); err != nil {
			return nil, err
		}
		for _, f := range out.Files {
			a := Artifact{Path: f.Path, Dir: f.IsDir}
			if f.Size != nil {
				a.Size = int64(*f.Size)
			}
			all = append(all, a)
		}
		if out.Next == "" {
			slices.SortFunc(all, func(a, b Artifact) int { return strings.Compare(a.Path, b.Path) })
			return all, nil
		}
		ask.query.Set("page_token", out.Next)
	}
}

// DownloadArtifact writes one file of a run to w.
func (c *Client) DownloadArtifact(ctx context.Context, runID, name string, w io.Writer) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	run, err := c.rest.patient().getRun(ctx, runID)
	if err != nil {
		return err
	}
	store, err := c.artifactStore(ctx, c.rest.patient(), run.Info.ArtifactURI)
	if err == nil {
		err = store.get(ctx, name, w)
	}
	if err != nil {
		return fmt.Errorf("download artifact %s of run %s: %w", name, runID, err)
	}
	return nil
}

// proxyStore sends artifacts to the tracking server, one PUT each.
type proxyStore struct {
	rest *rest
	root string // escaped path of the run's root
}

func (p proxyStore) path(name string) string {
	elements := strings.Split(name, "/")
	for i, e := range elements {
		elements[i] = url.PathEscape(e)
	}
	return p.root + "/" + strings.Join(elements, "/")
}

func (p proxyStore) put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return p.rest.repeat(ctx, false, func(ctx context.Context) error {
		// How long a transfer takes is no sign of trouble, as long as it moves.
		const never = time.Duration(math.MaxInt64)
		return p.rest.attempt(ctx, never, func(limit time.Duration) error { return p.putOnce(ctx, limit, name, kind, r, size) })
	})
}

func (p proxyStore) putOnce(ctx context.Context, limit time.Duration, name, kind string, r io.ReadSeeker, size int64) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	ctx, watch := p.rest.watch(ctx, limit)
	defer watch.stop()
	// The transport must not close the source, and must not read it after
	// this attempt: a body of its own kind sees to both.
	body := &attemptBody{r: io.LimitReader(r, size), watch: watch, size: size}
	defer func() { body.end() }()
	req, err := p.rest.newRequest(ctx, http.MethodPut, p.path(name), nil, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody
	}
	req.GetBody = func() (io.ReadCloser, error) { // for a redirect
		body.end()
		_, err := r.Seek(0, io.SeekStart)
		body = &attemptBody{r: io.LimitReader(r, size), watch: watch, size: size}
		return body, err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := p.rest.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return p.rest.unreachable(ctx, err)
	}
	return p.rest.decode(resp, data, nil)
}

func (p proxyStore) get(ctx context.Context, name string, w io.Writer) error {
	// Not repeated once a byte was written: w cannot take it back.
	var started bool
	var broken error
	err := p.rest.repeat(ctx, false, func(ctx context.Context) error {
		if started {
			return broken
		}
		ctx, watch := p.rest.watch(ctx, p.rest.conf.timeout)
		defer watch.stop()
		req, err := p.rest.newRequest(ctx, http.MethodGet, p.path(name), nil, nil)
		if err != nil {
			return err
		}
		resp, err := p.rest.send(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		started = true
		if _, err := io.Copy(w, &attemptBody{r: resp.Body, watch: watch}); err != nil {
			broken = fmt.Errorf("the transfer broke off: %w", err)
		}
		return broken
	})
	return err
}

// folderStore keeps artifacts in a folder that this machine shares with the
// server.
type folderStore struct{ dir string }

func (f folderStore) put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := openArtifactRoot(f.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return publish(root, filepath.FromSlash(name), io.LimitReader(r, size))
}

func openArtifactRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fsx.FullDisk(err)
	}
	return os.OpenRoot(dir)
}

// publish writes a file below root in one visible step.
func publish(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	temp := name + ".ctrx-part"
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return fsx.FullDisk(err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(fsx.FullDisk(err), root.Remove(temp))
	}
	return nil
}

func (f folderStore) get(ctx context.Context, name string, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// bucketStore keeps artifacts in an object store.
type bucketStore struct {
	store  ObjectStore
	prefix string
}

func (b bucketStore) put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return b.store.Put(ctx, path.Join(b.prefix, name), r, size)
}

func (b bucketStore) get(ctx context.Context, name string, w io.Writer) error {
	return b.store.Get(ctx, path.Join(b.prefix, name), w)
}
