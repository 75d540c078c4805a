package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// downloadJobs is how many files come at a time where nobody says.
const downloadJobs = 16

// Download writes what lies at the place, which is not on this machine, to the
// path to: a file, or a folder with all that is in it. Nothing being there is an
// error that wraps fs.ErrNotExist. What a failure leaves at the path is the
// caller's to remove.
func (p Place) Download(ctx context.Context, acc Access, to string, jobs int) error {
	if p.isWeb() {
		return p.downloadWeb(ctx, acc, to)
	}
	b, key, err := p.store(ctx, acc)
	if err != nil {
		return err
	}
	defer closeStore(b)
	if key != "" && !strings.HasSuffix(p.URL, "/") {
		if size, err := b.Stat(ctx, key); err == nil {
			progress := storage.NewProgress(acc.Sink, "download", 1, size)
			defer progress.Finish()
			return getTo(ctx, b, key, to, progress)
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
	total := int64(0)
	for _, f := range files {
		total += f.Size
	}
	progress := storage.NewProgress(acc.Sink, "download", int64(len(files)), total)
	defer progress.Finish()
	g, gctx := errgroup.WithContext(ctx)
	if jobs <= 0 {
		jobs = downloadJobs
	}
	g.SetLimit(jobs)
	for _, f := range files {
		name := filepath.Join(to, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		g.Go(func() error { return getTo(gctx, b, strings.TrimPrefix(key+"/"+f.Path, "/"), name, progress) })
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

// getTo writes an object to a new file.
func getTo(ctx context.Context, b storage.Backend, key, to string, progress *storage.Progress) error {
	defer progress.File()
	return writeNew(to, func(w io.Writer) error { return b.Get(ctx, key, io.MultiWriter(w, progress)) })
}

func writeNew(to string, write func(io.Writer) error) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (p Place) downloadWeb(ctx context.Context, acc Access, to string) error {
	client, u, err := p.web(acc)
	if err != nil {
		return err
	}
	defer client.Close()
	progress := storage.NewProgress(acc.Sink, "download", 1, 0)
	defer progress.Finish()
	return writeNew(to, func(w io.Writer) error {
		_, err := client.Get(ctx, u, io.MultiWriter(w, progress))
		return err
	})
}
