package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/s3"
)

// Content is what DVC records of data behind a URL, instead of an MD5.
type Content struct {
	ETag     string         // of an object of a bucket, without quotes
	Checksum string         // of a web address: its ETag header, else Content-MD5, as sent
	Digest   storage.Digest // of a folder of a bucket: made of names and ETags
	Size     int64          // bytes; of a folder all of it
	NFiles   int            // of a folder
}

// Place is where data lies that is no part of the project.
type Place struct {
	URL    string            // s3://BUCKET/KEY, https://HOST/PATH, or a folder's path
	Name   string            // of the remote whose settings apply, for messages; may be ""
	Config map[string]string // the settings of that remote
	Base   string            // folder that relative paths in Config are relative to
}

// Local gives the path of a place on this machine, and "" for any other.
func (p Place) Local(env func(string) string) string {
	if s := schemeOf(p.URL); s != "" && s != "file" {
		return ""
	}
	return localDir(p.URL, p.Base, env)
}

// Describe asks what lies at a place that is not on this machine. That nothing
// does is an error that wraps fs.ErrNotExist.
func (p Place) Describe(ctx context.Context, env func(string) string) (Content, error) {
	switch scheme := schemeOf(p.URL); scheme {
	case "s3":
		return p.describeS3(ctx, env)
	case "http", "https":
		return p.describeHTTP(ctx)
	default:
		return Content{}, errs.New(errs.ProjectFile, "urls of the form %s:// are not supported; supported are s3://, https:// and http://", scheme)
	}
}

func (p Place) describeS3(ctx context.Context, env func(string) string) (Content, error) {
	bucket, key, _ := strings.Cut(p.URL[len("s3://"):], "/")
	key = strings.Trim(key, "/")
	if bucket == "" || storage.CheckKey(key) != nil {
		return Content{}, errs.New(errs.ProjectFile, "%s names no object of a bucket", p.URL)
	}
	config := map[string]string{}
	for k, v := range p.Config {
		config[k] = v
	}
	config["url"] = "s3://" + bucket
	opened, err := openS3(ctx, p.Name, config, p.Base, env)
	if err != nil {
		return Content{}, err
	}
	b := opened.(*s3.Backend)
	if !strings.HasSuffix(p.URL, "/") {
		o, err := b.Describe(ctx, key)
		if err == nil {
			return Content{ETag: o.ETag, Size: o.Size}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Content{}, err
		}
	}
	return describeFolder(ctx, b, key)
}

// describeFolder describes the objects below a key, as DVC does a folder of
// which it reads no file.
func describeFolder(ctx context.Context, b storage.Backend, key string) (Content, error) {
	var c Content
	var members storage.DirObject
	for o, err := range b.List(ctx, key+"/") {
		if err != nil {
			return c, err
		}
		members = append(members, storage.DirEntry{MD5: storage.Digest(o.ETag), RelPath: strings.TrimPrefix(o.Key, key+"/")})
		c.Size += o.Size
	}
	if len(members) == 0 {
		return c, fmt.Errorf("stat %s: %w", key, fs.ErrNotExist)
	}
	members.Sort()
	c.Digest, c.NFiles = members.DigestOf("etag"), len(members)
	return c, nil
}

func (p Place) describeHTTP(ctx context.Context) (Content, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return Content{}, errs.New(errs.ProjectFile, "%s is not a web address", p.URL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
	if err != nil {
		return Content{}, err
	}
	req.Header.Set("User-Agent", "ctrx")
	req.Header.Set("Accept-Encoding", "identity")
	if p.Config["auth"] == "basic" {
		req.SetBasicAuth(p.Config["user"], p.Config["password"])
	} else if name := p.Config["custom_auth_header"]; p.Config["auth"] == "custom" && name != "" {
		req.Header.Set(name, p.Config["password"])
	}
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if ctx.Err() != nil {
		return Content{}, context.Cause(ctx)
	}
	if err != nil {
		return Content{}, errs.Hint(errs.New(errs.Unreachable, "%w", err), "check the address and the network; try: curl -I %s", u.Redacted())
	}
	resp.Body.Close()
	return webContent(u, resp)
}

// webContent reads the answer to HEAD.
func webContent(u *url.URL, resp *http.Response) (Content, error) {
	c := Content{Checksum: resp.Header.Get("ETag"), Size: max(resp.ContentLength, 0)}
	if c.Checksum == "" {
		c.Checksum = resp.Header.Get("Content-MD5")
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return c, fmt.Errorf("%s: %w", u.Redacted(), fs.ErrNotExist)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return c, errs.New(errs.Auth, "%s: the server answers %s", u.Redacted(), resp.Status)
	case code >= http.StatusInternalServerError:
		return c, errs.New(errs.Unreachable, "%s: the server answers %s", u.Redacted(), resp.Status)
	case code >= http.StatusBadRequest:
		return c, errs.New(errs.Failed, "%s: the server answers %s", u.Redacted(), resp.Status)
	case c.Checksum == "":
		return c, errs.Hint(errs.New(errs.Failed, "%s has no ETag or Content-MD5 header, so that a change cannot be seen", u.Redacted()),
			"download the file in a stage of its own, with always_changed: true")
	}
	return c, nil
}

// At is the place of a path below a remote.
func At(name string, config map[string]string, base, below string) Place {
	at := strings.TrimRight(config["url"], "/")
	if below != "" {
		at += "/" + below
	}
	if schemeOf(at) == "" {
		at = filepath.FromSlash(at)
	}
	return Place{URL: at, Name: name, Config: config, Base: base}
}
