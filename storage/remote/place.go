package remote

import (
	"context"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/web"
)

// Place is where data lies that is no part of the project.
type Place struct {
	URL    string            // s3://BUCKET/KEY, ssh://HOST/PATH, https://HOST/PATH, or a folder's path
	Name   string            // of the remote whose settings apply, for messages; may be ""
	Config map[string]string // the settings of that remote
	Base   string            // folder that relative paths in Config are relative to
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

// Local gives the path of a place on this machine, and "" for any other.
func (p Place) Local(env func(string) string) string {
	if s := schemeOf(p.URL); s != "" && s != "file" {
		return ""
	}
	return localDir(p.URL, p.Base, env)
}

// isWeb tells the places of which only single files can be had.
func (p Place) isWeb() bool {
	s := schemeOf(p.URL)
	return s == "http" || s == "https"
}

// store opens the bucket or the machine that a place is in, and gives the key of
// the place there. The caller closes it.
func (p Place) store(ctx context.Context, acc Access) (b storage.Backend, key string, err error) {
	config := map[string]string{}
	for k, v := range p.Config {
		config[k] = v
	}
	scheme := schemeOf(p.URL)
	host, key, _ := strings.Cut(p.URL[len(scheme)+len("://"):], "/")
	key = strings.Trim(key, "/")
	if key != "" && storage.CheckKey(key) != nil {
		return nil, "", errs.New(errs.ProjectFile, "%s names no file", p.URL)
	}
	switch scheme {
	case "s3":
		config["url"] = "s3://" + host
		b, err = openS3(ctx, p.Name, config, p.Base, acc)
	case "ssh":
		config["url"] = "ssh://" + host + "/"
		b, err = openSSH(p.Name, config, p.Base, acc)
	default:
		err = errs.New(errs.ProjectFile, "urls of the form %s:// are not supported; supported are s3://, ssh://, https:// and http://", scheme)
	}
	return b, key, err
}

// web makes the client of a web address.
func (p Place) web(acc Access) (*web.Client, *url.URL, error) {
	config := map[string]string{}
	for k, v := range p.Config {
		config[k] = v
	}
	config["url"] = p.URL
	set, err := web.Parse(p.Name, config, p.Base, acc.Env)
	if err != nil {
		return nil, nil, err
	}
	set.Ask = acc.Ask
	c, err := web.NewClient(set)
	return c, set.URL, err
}

// closeStore lets go of connections.
func closeStore(b storage.Backend) {
	if c, ok := b.(io.Closer); ok {
		_ = c.Close() // nothing was written
	}
}
