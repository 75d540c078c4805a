package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// TreeOptions say what PushTree and FetchTree copy: the files below the folder
// Prefix, which has the same place below Dir and on the remote. It serves the
// run cache ("runs" below the cache folder): files there never change under
// their name, so a file that the other side has is not copied again.
type TreeOptions struct {
	Dir    string
	Prefix string // slash separated
	Remote Backend
	Jobs   int
	Retry  Retry
}

func (o TreeOptions) withDefaults() TreeOptions {
	o.Jobs = TransferOptions{Jobs: o.Jobs}.withDefaults().Jobs
	return o
}

// remote lists the keys of the remote below the prefix.
func (o TreeOptions) remote(ctx context.Context) (map[string]struct{}, error) {
	var keys map[string]struct{}
	err := o.Retry.do(ctx, func() error {
		keys = map[string]struct{}{}
		for object, err := range o.Remote.List(ctx, o.Prefix+"/") {
			if err != nil {
				return err
			}
			// The remote decides the names, so they are checked like any input.
			if CheckKey(object.Key) != nil || !strings.HasPrefix(object.Key, o.Prefix+"/") {
				return errs.New(errs.DataCorrupt, "the remote lists the name %q below %s", object.Key, o.Prefix)
			}
			keys[object.Key] = struct{}{}
		}
		return nil
	})
	return keys, err
}

// PushTree uploads the files that the remote does not have.
func PushTree(ctx context.Context, o TreeOptions) (Transfer, error) {
	o = o.withDefaults()
	there, err := o.remote(ctx)
	if err != nil {
		return Transfer{}, fmt.Errorf("push %s: %w", o.Prefix, err)
	}
	root := filepath.Join(o.Dir, filepath.FromSlash(o.Prefix))
	w := walker{root: root}
	if err := w.walk(ctx); errors.Is(err, fs.ErrNotExist) {
		return Transfer{}, nil
	} else if err != nil {
		return Transfer{}, fmt.Errorf("push %s: %w", o.Prefix, err)
	}
	t := tally{present: map[Digest]bool{}}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for _, f := range w.files {
		key := path.Join(o.Prefix, f.rel)
		if _, ok := there[key]; ok {
			continue
		}
		g.Go(func() error {
			var size int64
			err := o.Retry.do(gctx, func() (err error) {
				size, err = putFile(gctx, o.Remote, key, join(root, f.rel))
				return err
			})
			if err != nil {
				return t.fail(gctx, Digest(key), err)
			}
			t.done("", size)
			return nil
		})
	}
	err = g.Wait()
	if err == nil {
		err = flush(ctx, o.Remote)
	}
	return t.result(ctx, "upload", err)
}

func putFile(ctx context.Context, b Backend, key, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), b.Put(ctx, key, f, info.Size())
}

// FetchTree downloads the files that are not below Dir.
func FetchTree(ctx context.Context, o TreeOptions) (Transfer, error) {
	o = o.withDefaults()
	there, err := o.remote(ctx)
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch %s: %w", o.Prefix, err)
	}
	if len(there) == 0 {
		return Transfer{}, nil
	}
	if err := os.MkdirAll(o.Dir, 0o777); err != nil {
		return Transfer{}, fmt.Errorf("fetch %s: %w", o.Prefix, fsx.FullDisk(err))
	}
	root, err := fsx.OpenRoot(o.Dir)
	if err != nil {
		return Transfer{}, fmt.Errorf("fetch %s: %w", o.Prefix, err)
	}
	defer root.Close()
	t := tally{present: map[Digest]bool{}}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for key := range there {
		name := filepath.FromSlash(key)
		if _, err := root.Lstat(name); err == nil {
			continue
		}
		g.Go(func() error {
			var size int64
			err := o.Retry.do(gctx, func() (err error) {
				size, err = getFile(gctx, o.Remote, key, root, name)
				return err
			})
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed since it was listed
			}
			if err != nil {
				return t.fail(gctx, Digest(key), err)
			}
			t.done("", size)
			return nil
		})
	}
	return t.result(ctx, "download", g.Wait())
}

func getFile(ctx context.Context, b Backend, key string, root *fsx.Root, name string) (int64, error) {
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return 0, err
	}
	t, err := root.Create(name, 0o666)
	if err != nil {
		return 0, err
	}
	defer t.Discard()
	if err := b.Get(ctx, key, t); err != nil {
		return 0, fsx.FullDisk(err)
	}
	info, err := t.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), t.Publish(fsx.Flushed)
}
