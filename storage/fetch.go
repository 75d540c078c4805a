package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
)

// Fetch downloads the objects that the cache does not have. Content is hashed
// while it arrives; other content than the digest promises is an error of kind
// DataCorrupt and never gets into the cache. Objects that neither side has are
// listed in the result. Failures of single objects give a *TransferError after
// the rest was done.
func Fetch(ctx context.Context, o TransferOptions) (Transfer, error) {
	f := &fetch{TransferOptions: o.withDefaults(), tally: tally{present: map[Digest]bool{}, name: o.Name}}
	out, err := f.result(ctx, "download", f.run(ctx))
	if len(out.Missing) > 0 {
		f.Known.Clear() // something was removed from the remote
	}
	if err != nil {
		return out, fmt.Errorf("fetch: %w", err)
	}
	return out, nil
}

type fetch struct {
	TransferOptions
	tally
	rels  map[Digest]string // of members, within their folder
	trees []fetchedTree
}

// fetchedTree is a directory object that came from the remote and is stored
// after its members.
type fetchedTree struct {
	digest  Digest
	data    []byte
	members DirObject
}

func (f *fetch) run(ctx context.Context) error {
	files, err := f.plan(ctx)
	if err != nil {
		return err
	}
	local, err := f.Cache.hasAll(ctx, files)
	if err != nil {
		return err
	}
	var todo []Digest
	for _, d := range files {
		if !local[d] {
			todo = append(todo, d)
		}
	}
	size, known, err := f.sizes(ctx, todo, false)
	if err != nil {
		return err
	}
	var total int64
	if known {
		wanted := todo
		todo = nil
		for _, d := range wanted {
			n, ok := size[d]
			if !ok {
				f.missing(MissingObject{Digest: d, RelPath: f.rels[d], Path: f.paths[d]})
				continue
			}
			todo = append(todo, d)
			total += n
		}
	}
	b, err := f.Cache.newBatch()
	if err != nil {
		return err
	}
	_, b.resume = f.Remote.(Ranger)
	m := newMeter(f.Sink, "fetch", "B", total)
	m.of, f.meter = int64(len(todo)+len(f.trees)), m
	defer m.finish()
	err = f.download(ctx, b, todo, m)
	if e := b.finish(ctx); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return f.storeTrees(ctx)
}

// storeTrees stores the directory objects. A folder with missing members is stored
// too: what is there can be checked out, and the rest is known by name. One whose
// members failed is not: the next call brings them.
func (f *fetch) storeTrees(ctx context.Context) error {
	failed := map[Digest]bool{}
	for _, o := range f.failed {
		failed[o.Digest] = true
	}
	for _, t := range f.trees {
		if slices.ContainsFunc(t.members, func(e DirEntry) bool { return failed[e.MD5] }) {
			continue
		}
		if err := f.Cache.put(ctx, t.digest, bytes.NewReader(t.data)); err != nil {
			return err
		}
		f.done(t.digest, int64(len(t.data)))
	}
	return nil
}

// plan gets the directory objects and lists the files to have.
func (f *fetch) plan(ctx context.Context) ([]Digest, error) {
	f.paths, f.rels = map[Digest]string{}, map[Digest]string{}
	var files, absent []Digest
	add := func(root Digest, tree DirObject) error {
		for _, e := range tree {
			files = append(files, e.MD5)
			f.rels[e.MD5] = e.RelPath
			if f.paths[e.MD5] == "" {
				f.paths[e.MD5] = f.pathOf(root, e.RelPath)
			}
		}
		return tree.CheckNames()
	}
	for _, d := range unique(f.Objects) {
		if !d.Valid() {
			return nil, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
		}
		f.paths[d] = f.Paths[d]
		if !d.IsDir() {
			files = append(files, d)
			continue
		}
		tree, err := f.Cache.ReadDir(ctx, d)
		if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
			absent = append(absent, d)
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, err := f.Cache.Has(ctx, d); err != nil { // marks it, where its writer was killed before
			return nil, err
		}
		if err := add(d, tree); err != nil {
			return nil, err
		}
	}
	data, err := f.readDirs(ctx, absent)
	if err != nil {
		return nil, err
	}
	for i, d := range absent {
		if data[i] == nil {
			continue
		}
		tree, err := ParseDirOf(data[i], d)
		if err != nil {
			return nil, err
		}
		if err := add(d, tree); err != nil {
			return nil, err
		}
		f.trees = append(f.trees, fetchedTree{d, data[i], tree})
	}
	return unique(files), nil
}

// readDirs reads directory objects of the remote, several at a time. What is not
// there, and what failed and was noted, is nil.
func (f *fetch) readDirs(ctx context.Context, ds []Digest) ([][]byte, error) {
	data := make([][]byte, len(ds))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.Jobs)
	for i, d := range ds {
		g.Go(func() error {
			var err error
			data[i], err = f.readDir(gctx, d)
			if errors.Is(err, fs.ErrNotExist) {
				f.missing(MissingObject{Digest: d, Path: f.Paths[d]})
				return nil
			}
			if err != nil {
				return f.fail(gctx, d, err)
			}
			return nil
		})
	}
	return data, g.Wait()
}

// readDir reads a directory object of the remote.
func (o TransferOptions) readDir(ctx context.Context, d Digest) ([]byte, error) {
	var buf bytes.Buffer
	err := o.Retry.do(ctx, func() error {
		buf.Reset()
		if err := o.Remote.Get(ctx, o.key(d), &buf); err != nil {
			return err
		}
		_, err := ParseDirOf(buf.Bytes(), d)
		return err
	})
	if errs.KindOf(err) == errs.DataCorrupt {
		err = errs.Hint(fmt.Errorf("on the remote: %w", err), "%s", o.corruptHint())
	}
	if err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// download gets the objects, several at a time.
func (f *fetch) download(ctx context.Context, b *batch, ds []Digest, m *meter) error {
	return each(ctx, f.Jobs, len(ds), func(ctx context.Context, i int) error {
		d := ds[i]
		var n int64
		err := f.Retry.do(ctx, func() (err error) {
			n, err = f.get(ctx, b, d, m)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			f.missing(MissingObject{Digest: d, RelPath: f.rels[d], Path: f.paths[d]})
			return nil
		}
		if err != nil {
			return f.fail(ctx, d, err)
		}
		f.done(d, n)
		return nil
	})
}

func (f *fetch) get(ctx context.Context, b *batch, d Digest, m *meter) (int64, error) {
	var n int64
	err := b.receive(ctx, d, func(in *incoming) error {
		w := &counted{in: in, n: &n, m: m}
		w.add(-n) // of an attempt that was of no use
		ranger, ok := f.Remote.(Ranger)
		if offset, etag := in.begun(); ok && offset > 0 {
			w.add(offset)
			if in.complete() {
				return nil
			}
			return ranger.GetFrom(ctx, f.key(d), etag, offset, w)
		}
		return f.Remote.Get(ctx, f.key(d), w)
	})
	if err != nil {
		m.add(-n)
		n = 0
	}
	return n, f.corrupt(d, err)
}

// corrupt says of an error that content is not what it should be where the object
// lies, and what to do.
func (f *fetch) corrupt(d Digest, err error) error {
	if errs.KindOf(err) != errs.DataCorrupt {
		return err
	}
	return errs.Hint(fmt.Errorf("object %s on the remote is corrupt: %w", d, err), "%s", f.corruptHint())
}

// counted counts what arrives.
type counted struct {
	in *incoming
	n  *int64
	m  *meter
}

func (c *counted) add(n int64) {
	*c.n += n
	c.m.add(n)
}

// Announce implements Announced.
func (c *counted) Announce(o Object) { c.in.Announce(o) }

// TakeFile implements FileTaker.
func (c *counted) TakeFile(ctx context.Context, f *os.File) (bool, error) {
	before := c.in.sum.n
	done, err := c.in.TakeFile(ctx, f)
	c.add(c.in.sum.n - before)
	return done, err
}

// Scatter implements Scatterer.
func (c *counted) Scatter() bool { return c.in.Scatter() }

// WriteAt implements Scatterer.
func (c *counted) WriteAt(p []byte, offset int64) (int, error) { return c.in.WriteAt(p, offset) }

// Next implements Scatterer.
func (c *counted) Next(p []byte) error {
	err := c.in.Next(p)
	c.add(int64(len(p)))
	return err
}

// Write passes content on.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	c.add(int64(n))
	return n, err
}
