package remote

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/s3"
	"ctrx/storage/web"
)

// Content is what DVC records of data behind a URL.
type Content struct {
	ETag     string         // of an object of a bucket, without quotes
	Checksum string         // of a web address: its ETag header, else Content-MD5, as sent
	Digest   storage.Digest // of a folder of a bucket, made of names and ETags; on an SSH server, of the content
	Size     int64          // bytes; of a folder all of it; -1: a web server does not tell
	NFiles   int            // of a folder
	Page     *web.Page      // of a web address
}

// describeJobs is how many files are read at a time where nothing else tells
// what is in them.
const describeJobs = 8

// Describe asks what lies at a place that is not on this machine. That nothing
// does is an error that wraps fs.ErrNotExist. An SSH server knows no checksums,
// so everything there is read, as in DVC.
func (p Place) Describe(ctx context.Context, acc Access) (Content, error) {
	if p.isWeb() {
		return p.describeWeb(ctx, acc)
	}
	b, key, err := p.store(ctx, acc)
	if err != nil {
		return Content{}, err
	}
	defer closeStore(b)
	if key == "" {
		return Content{}, errs.New(errs.ProjectFile, "%s names no file of a bucket or server", p.URL)
	}
	bucket, isBucket := b.(*s3.Backend)
	switch {
	case isBucket && !strings.HasSuffix(p.URL, "/"):
		o, err := bucket.Describe(ctx, key)
		if err == nil {
			return Content{ETag: o.ETag, Size: o.Size}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Content{}, err
		}
	case !isBucket:
		sum, size, err := sumOf(ctx, b, key)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return Content{Digest: sum, Size: size}, err
		}
	}
	return describeFolder(ctx, b, key, isBucket)
}

// sumOf reads an object for its MD5.
func sumOf(ctx context.Context, b storage.Backend, key string) (storage.Digest, int64, error) {
	size, err := b.Stat(ctx, key)
	if err != nil {
		return "", 0, err
	}
	sum := md5.New()
	if err := b.Get(ctx, key, sum); err != nil {
		return "", 0, err
	}
	return storage.Digest(hex.EncodeToString(sum.Sum(nil))), size, nil
}

// describeFolder describes the objects below a key: by their ETags, as DVC does
// a folder of a bucket, of which it reads no file, or by what is in them.
func describeFolder(ctx context.Context, b storage.Backend, key string, byTag bool) (Content, error) {
	var c Content
	var folder storage.DirObject
	for o, err := range b.List(ctx, key+"/") {
		if err != nil {
			return c, err
		}
		folder = append(folder, storage.DirEntry{MD5: storage.Digest(o.ETag), RelPath: strings.TrimPrefix(o.Key, key+"/")})
		c.Size += o.Size
	}
	if len(folder) == 0 {
		return c, fmt.Errorf("stat %s: %w", key, fs.ErrNotExist)
	}
	c.NFiles = len(folder)
	folder.Sort()
	if byTag {
		c.Digest = folder.DigestOf("etag")
		return c, nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(describeJobs)
	for i := range folder {
		g.Go(func() (err error) {
			folder[i].MD5, _, err = sumOf(gctx, b, key+"/"+folder[i].RelPath)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return c, err
	}
	c.Digest = folder.DigestOf("md5")
	return c, nil
}

// describeWeb refuses an address of which a change could not be seen. DVC goes by
// the size there, or by nothing.
func (p Place) describeWeb(ctx context.Context, acc Access) (Content, error) {
	client, u, err := p.web(acc)
	if err != nil {
		return Content{}, err
	}
	defer client.Close()
	page, err := client.Describe(ctx, u)
	if err != nil {
		return Content{}, err
	}
	if page.Checksum == "" && page.Digest == "" && page.LastModified == "" {
		return Content{}, errs.Hint(errs.New(errs.Failed, "the server sends none of the headers ETag, Content-MD5, Digest and Last-Modified, so that a change would not be seen"),
			"to track it as it is now: ctrx get-url %s FILE, then ctrx add FILE; to follow it: download it in a stage with always_changed: true", u.Redacted())
	}
	return Content{Checksum: page.Checksum, Size: page.Size, Page: &page}, nil
}
