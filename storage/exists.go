package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
)

// listPage is how many objects an object store lists per request.
const listPage = 1000

// sizes finds which of the objects are on the remote, and how large they are.
// Asking for each costs a request per object; listing costs one per page of
// everything there, wanted or not: whichever takes less time is done. full says
// that the answer must be complete; without it, objects may be left out of
// known when finding out would cost a request for each of many.
func (o TransferOptions) sizes(ctx context.Context, ds []Digest, full bool) (size map[Digest]int64, known bool, err error) {
	if len(ds) <= 2*o.Jobs {
		size, err = o.statEach(ctx, ds)
		return size, true, err
	}
	pages, err := o.estimatePages(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		if !full {
			return nil, false, nil
		}
		size, err = o.statEach(ctx, ds)
		return size, true, err
	}
	if err != nil {
		return nil, false, err
	}
	switch {
	case pages <= len(ds)/o.Jobs:
		size, err = o.list(ctx, ds, []string{o.prefix()})
	case max(pages, 256) < len(ds):
		size, err = o.list(ctx, ds, o.prefixes())
	case full:
		size, err = o.statEach(ctx, ds)
	default:
		return nil, false, nil
	}
	return size, true, err
}

// prefix is what the keys of all objects begin with. Legacy objects lie at the
// root, beside everything else.
func (o TransferOptions) prefix() string {
	if o.Cache.alg == MD5Dos2Unix {
		return ""
	}
	return "files/md5/"
}

func (o TransferOptions) prefixes() []string {
	out := make([]string, 256)
	for i := range out {
		out[i] = fmt.Sprintf("%s%02x/", o.prefix(), i)
	}
	return out
}

// estimatePages counts the objects whose digest begins with three zeros, a
// 4096th of all, and gives the number of pages that all would fill.
func (o TransferOptions) estimatePages(ctx context.Context) (int, error) {
	n := 0
	err := o.Retry.do(ctx, func() error {
		n = 0
		for _, err := range o.Remote.List(ctx, o.prefix()+"00/0") {
			if err != nil {
				return err
			}
			if n++; n >= listPage {
				break // more than four million: no need to know how many more
			}
		}
		return nil
	})
	return 1 + n*4096/listPage, err
}

// statEach asks for each object.
func (o TransferOptions) statEach(ctx context.Context, ds []Digest) (map[Digest]int64, error) {
	out := make(map[Digest]int64, len(ds))
	var mu sync.Mutex
	m := newMeter(o.Sink, "query remote", "objects", int64(len(ds)))
	defer m.finish()
	return out, each(ctx, o.Jobs, len(ds), func(ctx context.Context, i int) error {
		var size int64
		err := o.Retry.do(ctx, func() (err error) {
			size, err = o.Remote.Stat(ctx, o.key(ds[i]))
			return err
		})
		m.add(1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		out[ds[i]] = size
		return nil
	})
}

// list lists the prefixes, several at a time, and picks the wanted objects.
func (o TransferOptions) list(ctx context.Context, ds []Digest, prefixes []string) (map[Digest]int64, error) {
	wanted := make(map[string]Digest, len(ds))
	for _, d := range ds {
		wanted[o.key(d)] = d
	}
	out := make(map[Digest]int64, len(ds))
	var mu sync.Mutex
	m := newMeter(o.Sink, "query remote", "objects", 0)
	defer m.finish()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for _, prefix := range prefixes {
		g.Go(func() error {
			return o.Retry.do(gctx, func() error {
				for object, err := range o.Remote.List(gctx, prefix) {
					if err != nil {
						return err
					}
					m.add(1)
					if d, ok := wanted[object.Key]; ok {
						mu.Lock()
						out[d] = object.Size
						mu.Unlock()
					}
				}
				return nil
			})
		})
	}
	return out, g.Wait()
}
