package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Listed is a file or folder below a Place.
type Listed struct {
	Path  string // slash separated, relative to the place
	IsDir bool
	Size  int64 // bytes; of a folder what the system says
}

// bucket opens the bucket that a place is in, and gives the key of the place.
func (p Place) bucket(ctx context.Context, env func(string) string) (storage.Backend, string, error) {
	name, key, _ := strings.Cut(p.URL[len("s3://"):], "/")
	config := map[string]string{}
	for k, v := range p.Config {
		config[k] = v
	}
	config["url"] = "s3://" + name
	b, err := openS3(ctx, p.Name, config, p.Base, env)
	return b, strings.Trim(key, "/"), err
}

// Download writes what lies at the place, which is not on this machine, to the
// path to: a file, or a folder with all that is in it. Nothing being there is an
// error that wraps fs.ErrNotExist. What a failure leaves at the path is the
// caller's to remove.
func (p Place) Download(ctx context.Context, env func(string) string, to string, jobs int) error {
	switch scheme := schemeOf(p.URL); scheme {
	case "s3":
		return p.downloadS3(ctx, env, to, jobs)
	case "http", "https":
		return p.downloadHTTP(ctx, to)
	default:
		return errs.New(errs.ProjectFile, "urls of the form %s:// are not supported; supported are s3://, https:// and http://", scheme)
	}
}

func (p Place) downloadS3(ctx context.Context, env func(string) string, to string, jobs int) error {
	b, key, err := p.bucket(ctx, env)
	if err != nil {
		return err
	}
	if key != "" && !strings.HasSuffix(p.URL, "/") {
		if _, err := b.Stat(ctx, key); err == nil {
			return getTo(ctx, b, key, to)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	files, err := members(ctx, b, key)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: %w", p.URL, fs.ErrNotExist)
	}
	g, gctx := errgroup.WithContext(ctx)
	if jobs <= 0 {
		jobs = 16
	}
	g.SetLimit(jobs)
	for _, f := range files {
		name := filepath.Join(to, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		g.Go(func() error { return getTo(gctx, b, strings.TrimPrefix(key+"/"+f.Path, "/"), name) })
	}
	return g.Wait()
}

// members lists the objects below a key. A key that could not be a path below a
// folder is refused before anything is written.
func members(ctx context.Context, b storage.Backend, key string) ([]Listed, error) {
	prefix := key + "/"
	if key == "" {
		prefix = ""
	}
	var files []Listed
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		rel := strings.TrimPrefix(o.Key, prefix)
		if rel == "" || strings.HasSuffix(rel, "/") {
			continue // an object that stands for a folder
		}
		if !fs.ValidPath(rel) || !filepath.IsLocal(filepath.FromSlash(rel)) || storage.CheckKey(o.Key) != nil {
			return nil, errs.New(errs.DataCorrupt, "the key %q is not the path of a file", o.Key)
		}
		files = append(files, Listed{Path: rel, Size: o.Size})
	}
	return files, nil
}

func getTo(ctx context.Context, b storage.Backend, key, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(b.Get(ctx, key, f), f.Close())
}

func (p Place) downloadHTTP(ctx context.Context, to string) error {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return errs.New(errs.ProjectFile, "%s is not a web address", p.URL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "ctrx")
	req.Header.Set("Accept-Encoding", "identity")
	if p.Config["auth"] == "basic" {
		req.SetBasicAuth(p.Config["user"], p.Config["password"])
	} else if name := p.Config["custom_auth_header"]; p.Config["auth"] == "custom" && name != "" {
		req.Header.Set(name, p.Config["password"])
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return errs.Hint(errs.New(errs.Unreachable, "%w", err), "check the address and the network; try: curl -I %s", u.Redacted())
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return fmt.Errorf("%s: %w", u.Redacted(), fs.ErrNotExist)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return errs.New(errs.Auth, "%s: the server answers %s", u.Redacted(), resp.Status)
	case code != http.StatusOK:
		return errs.New(errs.Failed, "%s: the server answers %s", u.Redacted(), resp.Status)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, resp.Body)
	if err = errors.Join(err, f.Close()); err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = errs.New(errs.Failed, "%s: the connection ended after %d of %d bytes", u.Redacted(), n, resp.ContentLength)
	}
	return err
}

// List lists what lies below the place; level limits how deep, 0 is no limit. A
// file gives itself, by its full path. Web servers do not list.
func (p Place) List(ctx context.Context, env func(string) string, recursive bool, level int) ([]Listed, error) {
	if dir := p.Local(env); dir != "" {
		return listLocal(ctx, dir, recursive, level)
	}
	if schemeOf(p.URL) != "s3" {
		return nil, errs.New(errs.Usage, "%s cannot be listed: only folders and buckets can", p.URL)
	}
	b, key, err := p.bucket(ctx, env)
	if err != nil {
		return nil, err
	}
	if key != "" {
		if size, err := b.Stat(ctx, key); err == nil {
			return []Listed{{Path: p.URL[len("s3://"):], Size: size}}, nil
		}
	}
	files, err := members(ctx, b, key)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errs.New(errs.NotFound, "The path '%s' does not exist", p.URL)
	}
	if !recursive {
		level = 1
	}
	var out []Listed
	seen := map[string]bool{}
	for _, f := range files {
		parts := strings.Split(f.Path, "/")
		if level > 0 && len(parts) > level {
			f = Listed{Path: strings.Join(parts[:level], "/"), IsDir: true}
		}
		if !seen[f.Path] {
			seen[f.Path] = true
			out = append(out, f)
		}
	}
	return out, nil
}

func listLocal(ctx context.Context, dir string, recursive bool, level int) ([]Listed, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, errs.New(errs.NotFound, "The path '%s' does not exist", dir)
	}
	if !info.IsDir() {
		return []Listed{{Path: filepath.ToSlash(dir), Size: info.Size()}}, nil
	}
	if !recursive {
		level = 1
	}
	var out []Listed
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if name == dir {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		l := Listed{Path: filepath.ToSlash(rel), IsDir: d.IsDir()}
		deepest := level > 0 && strings.Count(l.Path, "/")+1 >= level
		if info, err := d.Info(); err == nil {
			l.Size = info.Size()
		}
		if !d.IsDir() || deepest {
			out = append(out, l)
		}
		if d.IsDir() && deepest {
			return fs.SkipDir
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.Path, b.Path) })
	return out, err
}
