// Package web keeps objects on a web server: a remote with an http:// or
// https:// url. It reads with GET and HEAD, and stores with POST or PUT, as the
// remote's method says. Servers of this kind neither list nor delete.
//
// Open gives a Backend of a remote; Client alone reads single addresses, for
// imports.
package web

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Backend is a folder of a web server. It implements storage.Backend; List and
// Delete give an error that wraps errors.ErrUnsupported.
type Backend struct {
	client *Client
	base   *url.URL
}

// Open makes a Backend of the remote's url. Nothing is contacted yet.
func Open(set Settings) (*Backend, error) {
	c, err := NewClient(set)
	if err != nil {
		return nil, err
	}
	return &Backend{client: c, base: set.URL}, nil
}

// Close lets go of idle connections.
func (b *Backend) Close() error { return b.client.Close() }

// address is the URL of a key; the key's characters are escaped.
func (b *Backend) address(ctx context.Context, key string) (*url.URL, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	return b.base.JoinPath(key), nil
}

// Stat gives the size of an object, 0 where the server does not tell it.
func (b *Backend) Stat(ctx context.Context, key string) (int64, error) {
	u, err := b.address(ctx, key)
	var h Head
	if err == nil {
		h, err = b.client.Head(ctx, u)
	}
	if err != nil {
		return 0, fmt.Errorf("stat %s: %w", key, err)
	}
	return max(h.Size, 0), nil
}

// Get copies an object to w. A download that breaks off goes on where it was,
// on servers that can do that.
func (b *Backend) Get(ctx context.Context, key string, w io.Writer) error {
	u, err := b.address(ctx, key)
	if err == nil {
		_, err = b.client.Get(ctx, u, w)
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	return nil
}

// GetFrom implements storage.Ranger.
func (b *Backend) GetFrom(ctx context.Context, key, etag string, offset int64, w io.Writer) error {
	u, err := b.address(ctx, key)
	if err == nil {
		_, err = b.client.GetFrom(ctx, u, etag, offset, w)
	}
	if err != nil {
		return fmt.Errorf("get %s from byte %d: %w", key, offset, err)
	}
	return nil
}

// Put stores an object, and asks the server afterwards what it has: the answer
// to an upload means little on a server that is not made for it. The content is
// read twice, since it is checked before any of it leaves.
func (b *Backend) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	if err := b.put(ctx, key, r, size); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (b *Backend) put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	u, err := b.address(ctx, key)
	if err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := md5.New()
	n, err := io.Copy(sum, &watchedReader{ctx: ctx, r: r})
	if err != nil {
		return err
	}
	if n != size {
		return errs.New(errs.Failed, "%d bytes were read where %d were expected", n, size)
	}
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum.Sum(nil)))); err != nil {
		return err
	}
	if err := b.client.upload(ctx, u, r, size, base64.StdEncoding.EncodeToString(sum.Sum(nil))); err != nil {
		return err
	}
	set := b.client.set
	h, err := b.client.Head(ctx, u)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.Hint(errs.New(errs.Failed, "the server took the upload by %s and does not have it now", set.Method),
			"ctrx remote modify %s method %s", set.Name, otherMethod(set.Method))
	case err != nil:
		return err
	case h.Size >= 0 && h.Size != size:
		return storage.Transient(errs.New(errs.Failed, "the server has %d of %d bytes after the upload", h.Size, size))
	}
	return nil
}

// otherMethod is the one to try next.
func otherMethod(method string) string {
	if method == http.MethodPut {
		return http.MethodPost
	}
	return http.MethodPut
}

// watchedReader ends when ctx does.
type watchedReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *watchedReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// List is what web servers cannot do.
func (b *Backend) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		if ctx.Err() != nil {
			yield(storage.Object{}, context.Cause(ctx))
			return
		}
		yield(storage.Object{}, unsupported("list"))
	}
}

// Delete is what web servers cannot do.
func (b *Backend) Delete(ctx context.Context, key string) error {
	if _, err := b.address(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return unsupported("delete")
}

func unsupported(what string) error {
	return errs.Hint(errs.New(errs.Usage, "a web server does not %s: %w", what, errors.ErrUnsupported),
		"look at or clean the folder where the server keeps it, as a remote of its own")
}
