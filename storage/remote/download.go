package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/storage"
)

// downloadJobs is how many files come at a time where nobody says.
const downloadJobs = 16

// Download writes what lies at the place, which is not on this machine, to a path
// below root: a file, or a folder with all that is in it. Nothing being there is
// an error that wraps fs.ErrNotExist. What a failure leaves at the path is the
// caller's to remove. Large files that did not arrive whole stay below root, where
// a later call with the same place and root goes on (storage.Download).
func (p Place) Download(ctx context.Context, acc Access, root *fsx.Root, to string, jobs int) error {
	if p.isWeb() {
		return p.downloadWeb(ctx, acc, root, to)
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
			return p.getTo(ctx, b, key, storage.DownloadOptions{Root: root, Name: to, Progress: progress})
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
		if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			return p.getTo(gctx, b, strings.TrimPrefix(key+"/"+f.Path, "/"), storage.DownloadOptions{Root: root, Name: name, Progress: progress})
		})
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
func (p Place) getTo(ctx context.Context, b storage.Backend, key string, o storage.DownloadOptions) error {
	defer o.Progress.File()
	o.ID = p.Config["endpointurl"] + " " + p.URL + " " + key
	return storage.Download(ctx, o, storage.SourceOf(b, key))
}

func (p Place) downloadWeb(ctx context.Context, acc Access, root *fsx.Root, to string) error {
	client, u, err := p.web(acc)
	if err != nil {
		return err
	}
	defer client.Close()
	progress := storage.NewProgress(acc.Sink, "download", 1, 0)
	defer progress.Finish()
	return storage.Download(ctx, storage.DownloadOptions{Root: root, Name: to, ID: u.String(), Progress: progress},
		func(ctx context.Context, etag string, offset int64, w io.Writer) error {
			_, err := client.GetFrom(ctx, u, etag, offset, w)
			return err
		})
}
