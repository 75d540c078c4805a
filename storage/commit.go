package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// CommitOptions say what Commit does besides storing.
type CommitOptions struct {
	// Root is the folder that workspace files may be replaced in, normally the
	// project's. Empty: the folder of the path.
	Root string
	// NoRelink leaves the workspace files as they are.
	NoRelink bool
	// CopyOnly keeps workspace files of their own, whatever the link types: for
	// outputs with cache: false.
	CopyOnly bool
}

// bigObject is the size from which on an object is flushed and marked by
// itself. Below, a batch is flushed together.
const bigObject = 8 << 20

// Batches end after so many objects or bytes, so that a run that is killed has
// most of its work marked as checked.
const (
	batchObjects = 16384
	batchBytes   = 256 << 20
)

// Commit stores the content of path, which t describes, in the cache: first the
// files, then the directory object. Then it makes the workspace files what the
// link types ask for. Each object is hashed while it is copied, and nothing in
// the workspace is touched before the cache holds all of it: a file that changed
// since it was hashed gives an error of kind Conflict.
func (c *Cache) Commit(ctx context.Context, path string, t Tree, opts CommitOptions) error {
	if !t.Digest.Valid() {
		return fmt.Errorf("commit %s: no digest", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("commit %s: %w", path, err)
	}
	if err := c.storeTree(ctx, abs, t); err != nil {
		return fmt.Errorf("commit %s: %w", path, err)
	}
	if opts.NoRelink {
		return nil
	}
	if err := c.relink(ctx, abs, t, opts); err != nil {
		return fmt.Errorf("commit %s: %w", path, err)
	}
	return nil
}

// storeTree stores the files of t, then its directory object.
func (c *Cache) storeTree(ctx context.Context, abs string, t Tree) error {
	members := t.Dir
	if !t.IsDir() {
		members = DirObject{{MD5: t.Digest}}
	}
	if err := members.CheckNames(); err != nil { // what no checkout would write is not kept either
		return errs.Hint(err, renameHint)
	}
	todo, err := c.unstored(ctx, members, t)
	if err != nil {
		return err
	}
	if err := c.storeFiles(ctx, abs, todo); err != nil || !t.IsDir() {
		return err
	}
	return c.storeDir(ctx, t.Dir, t.Digest)
}

// unstored lists one member for each content that the cache lacks.
func (c *Cache) unstored(ctx context.Context, members DirObject, t Tree) ([]DirEntry, error) {
	var ask DirObject
	for i, e := range members {
		if t.home != c.objectsDir() || !t.seen[i].stored {
			ask = append(ask, e)
		}
	}
	have, err := c.hasAll(ctx, memberDigests(ask))
	if err != nil {
		return nil, err
	}
	var todo []DirEntry
	for _, e := range ask {
		if !have[e.MD5] {
			have[e.MD5] = true
			todo = append(todo, e)
		}
	}
	return todo, nil
}

// storeFiles stores the content of files below abs.
func (c *Cache) storeFiles(ctx context.Context, abs string, todo []DirEntry) error {
	if len(todo) == 0 {
		return nil
	}
	b, err := c.newBatch()
	if err != nil {
		return err
	}
	m := newMeter(c.opts.Sink, "cache", "B", 0)
	m.of = int64(len(todo))
	var sizes []int64
	for _, e := range todo {
		if info, err := os.Stat(join(abs, e.RelPath)); err == nil {
			m.total += info.Size()
			sizes = append(sizes, info.Size())
		}
	}
	if err := c.roomFor(sizes, join(abs, todo[0].RelPath)); err != nil {
		return err
	}
	defer m.finish()
	err = each(ctx, c.opts.Jobs, len(todo), func(ctx context.Context, i int) error {
		defer m.file()
		return b.storeFile(ctx, join(abs, todo[i].RelPath), todo[i].MD5, m)
	})
	// What is stored is worth marking also when another file failed.
	if e := b.finish(ctx); err == nil {
		err = e
	}
	return err
}

// storeDir stores a directory object whose members are all stored.
func (c *Cache) storeDir(ctx context.Context, dir DirObject, d Digest) error {
	if ok, err := c.Has(ctx, d); ok || err != nil {
		return err
	}
	return c.put(ctx, d, bytes.NewReader(dir.Encode()))
}

// Put stores a stream as the object d. A stream with other content gives an
// error of kind DataCorrupt and stores nothing.
func (c *Cache) Put(ctx context.Context, d Digest, r io.Reader) error { return c.put(ctx, d, r) }

func (c *Cache) put(ctx context.Context, d Digest, r io.Reader) error {
	b, err := c.newBatch()
	if err != nil {
		return err
	}
	err = b.receive(ctx, d, func(in *incoming) error {
		_, err := io.Copy(in, r)
		return err
	})
	if e := b.finish(ctx); err == nil {
		err = e
	}
	return err
}

// batch stores objects and marks them as whole once they are on the disk. Its
// methods store and receive may be called at the same time; finish comes last.
type batch struct {
	cache *Cache
	root  *fsx.Root
	// resume says that large objects that do not arrive whole are kept, and gone
	// on with: see receive.
	resume bool
	// noReflink says that blocks of a remote's files cannot be shared.
	noReflink atomic.Bool

	mu    sync.Mutex
	names []string // renamed into place, not flushed, not marked
	bytes int64

	marking errgroup.Group // one flush at a time, beside the work
	later   settling       // large objects, to be remembered
}

func (c *Cache) newBatch() (*batch, error) {
	r, err := c.open(true)
	if err != nil {
		return nil, err
	}
	b := &batch{cache: c, root: r}
	b.marking.SetLimit(1)
	return b, nil
}

// storeFile puts the content of the file at path into the cache as d.
func (b *batch) storeFile(ctx context.Context, path string, d Digest, m *meter) error {
	name, err := b.cache.name(d)
	if err != nil {
		return err
	}
	if err := b.cache.mkdir(b.root, name); err != nil {
		return err
	}
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	done, err := b.clone(ctx, src, d, name, m)
	if done || err != nil {
		return err
	}
	got, err := b.write(ctx, name, d, src, m)
	if err != nil {
		return err
	}
	if got != "" {
		return changedError(path)
	}
	return nil
}

func changedError(path string) error {
	return errs.Hint(errs.New(errs.Conflict, "%s changed while it was being added; nothing was replaced", path),
		"wait until nothing writes to it, then repeat the command")
}

// clone shares the blocks of src and checks the result. done is false if the
// file system cannot do that.
func (b *batch) clone(ctx context.Context, src *os.File, d Digest, name string, m *meter) (done bool, err error) {
	t, err := b.cloneOf(src, name)
	if t == nil || err != nil {
		return false, err
	}
	defer t.Discard()
	got, n, err := b.cache.hasher.read(ctx, t, m)
	if err != nil {
		return false, err
	}
	if string(got) != d.Hex() {
		return false, changedError(src.Name())
	}
	return true, b.publish(t, name, n)
}

// write copies r into the object d. other is the digest of the content where it
// is not d; then nothing is stored.
func (b *batch) write(ctx context.Context, name string, d Digest, r io.Reader, m *meter) (other Digest, err error) {
	t, err := b.root.Create(name, 0o666)
	if err != nil {
		return "", err
	}
	defer t.Discard()
	got, n, err := b.cache.hasher.copy(ctx, fsx.NewFlushing(t.File), r, m)
	if err != nil {
		return "", err
	}
	if string(got) != d.Hex() {
		return got, nil
	}
	return "", b.publish(t, name, n)
}

func (b *batch) publish(t *fsx.Temp, name string, size int64) error {
	big := size >= bigObject
	durability := fsx.Fast
	if big {
		durability = fsx.Flushed
	}
	info, err := t.Stat() // of what was hashed, before anybody else sees it
	if err != nil {
		return err
	}
	if err := t.PublishAs(name, durability); err != nil {
		return err
	}
	b.wholeLater(name, info)
	return b.stored(name, size, big)
}

// stored takes note of an object that is in place; flushed ones are marked at
// once. When there are enough of the others, they are flushed and marked while
// the work goes on.
func (b *batch) stored(name string, size int64, flushed bool) error {
	if flushed {
		return b.protect(name)
	}
	b.mu.Lock()
	b.names = append(b.names, name)
	b.bytes += size
	var due []string
	if len(b.names) >= batchObjects || b.bytes >= batchBytes {
		due = b.names
		b.names, b.bytes = nil, 0
	}
	b.mu.Unlock()
	if due != nil {
		b.marking.Go(func() error { return b.mark(due) })
	}
	return nil
}

// flush flushes and marks what is left.
func (b *batch) flush() error {
	err := b.marking.Wait()
	b.mu.Lock()
	due := b.names
	b.names, b.bytes = nil, 0
	b.mu.Unlock()
	return errors.Join(err, b.mark(due))
}

func (b *batch) mark(names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := b.root.Sync(names); err != nil {
		return err
	}
	for _, name := range names {
		if err := b.protect(name); err != nil {
			return err
		}
	}
	return nil
}

// protect marks an object as whole. A file system that keeps no modes is no
// reason to fail: its objects are hashed before use. Another process may have
// removed the object since.
func (b *batch) protect(name string) error {
	dir, base, err := b.cache.shelf(digestOf(name), false)
	if err == nil {
		err = dir.Chmod(base, objectMode)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// digestOf is the opposite of Cache.name.
func digestOf(name string) Digest { return Digest(name[:2] + name[3:]) }
