package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// Ingest computes the Tree of a file or folder, as Hasher.Hash does, and stores
// what it reads in the cache in the same go: no byte is read twice. What needs
// no reading, since its digest is remembered, is left to Commit, which finishes
// the work with the Tree and stores the directory object. The workspace is not
// touched.
//
// A file that changes while it is read gives an error of kind Conflict, a disk
// that is too small for the data a *NoSpaceError before anything is written.
func (c *Cache) Ingest(ctx context.Context, path string, ignore Ignore) (Tree, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Tree{}, fmt.Errorf("add %s: %w", path, err)
	}
	info, link, err := statFollow(abs)
	if err != nil {
		return Tree{}, err
	}
	files := []found{{stamp: fsx.StampOf(info), link: link}}
	if info.IsDir() {
		w := walker{root: abs, ignore: ignore}
		if err := w.walk(ctx); err != nil {
			return Tree{}, fmt.Errorf("add %s: %w", abs, err)
		}
		files = w.files
	} else if !info.Mode().IsRegular() {
		return Tree{}, notFile(abs, info.Mode().Type())
	}
	out, err := c.ingestFiles(ctx, abs, files)
	if err != nil {
		return Tree{}, err
	}
	t := Tree{}
	if info.IsDir() {
		t = dirTree(files, out)
	} else {
		t = fileTree(files[0], out[0])
	}
	t.home = c.objectsDir()
	return t, nil
}

// ingestFiles hashes and stores. Where the disk may be too small for all of it,
// it only hashes: part of the data may be in the cache already, which is known
// after that.
func (c *Cache) ingestFiles(ctx context.Context, abs string, files []found) ([]hashed, error) {
	for _, f := range files {
		if err := keepable(f.rel); err != nil {
			return nil, errs.Hint(err, renameHint)
		}
	}
	b, err := c.newBatch()
	if err != nil {
		return nil, err
	}
	var unknown []int64
	sample := abs
	for _, f := range files {
		if _, known := c.opts.State.lookup(join(abs, f.rel), c.alg, printOf(f.stamp)); !known {
			unknown = append(unknown, f.stamp.Size)
			sample = join(abs, f.rel)
		}
	}
	if c.roomFor(unknown, sample) != nil {
		return c.hasher.files(ctx, abs, files)
	}
	out, err := c.hasher.filesBy(ctx, abs, files, b.ingest)
	// What is stored is worth marking also when another file failed.
	if e := b.finish(ctx); err == nil {
		err = e
	}
	return out, err
}

const renameHint = "rename the file, or name it in .dvcignore"

// keepable refuses what no checkout would write.
func keepable(rel string) error {
	if why := BadName(rel); why != "" {
		return errs.New(errs.ProjectFile, "refused to keep %q: %s", rel, why)
	}
	return nil
}

// ingest reads a file once: it hashes it, stores it and remembers the digest.
func (b *batch) ingest(ctx context.Context, path string, f found, m *meter) (hashed, error) {
	h := b.cache.hasher
	start := h.state.clock()
	if f.stamp.Size < hashBlock && b.cache.alg == MD5 && b.cache.noReflink.Load() {
		block := h.pool.Get().(*[]byte)
		defer h.pool.Put(block)
		n, after, err := fsx.ReadInto(path, *block)
		if err != nil {
			return hashed{}, fmt.Errorf("add: %w", err)
		}
		if n < hashBlock {
			if printOf(after) != printOf(f.stamp) || int64(n) != f.stamp.Size {
				return hashed{}, changedError(path)
			}
			data := (*block)[:n]
			d := digestBytes(data)
			if err := b.putSmall(d, data); err != nil {
				return hashed{}, err
			}
			m.add(int64(n))
			return hashed{digest: d, print: h.remember(path, printOf(f.stamp), printOf(after), int64(n), start, d), stored: true}, nil
		}
	}
	d, n, after, err := b.ingestStream(ctx, path, m)
	if err != nil {
		return hashed{}, err
	}
	if after != printOf(f.stamp) || n != after.size {
		return hashed{}, changedError(path)
	}
	return hashed{digest: d, print: h.remember(path, printOf(f.stamp), after, n, start, d), stored: true}, nil
}

// ingestStream stores a file under the digest that its content turns out to
// have. after is the fingerprint of the file when all of it was read.
func (b *batch) ingestStream(ctx context.Context, path string, m *meter) (d Digest, n int64, after fingerprint, err error) {
	src, err := os.Open(path)
	if err != nil {
		return "", 0, after, fmt.Errorf("add: %w", err)
	}
	defer src.Close()
	t, err := b.cloneOf(src, "ingest")
	if err != nil {
		return "", 0, after, err
	}
	if t != nil {
		d, n, err = b.cache.hasher.read(ctx, t, m)
	} else if t, err = b.root.Create("ingest", 0o666); err == nil {
		d, n, err = b.cache.hasher.copy(ctx, fsx.NewFlushing(t.File), src, m)
	}
	if t != nil {
		defer t.Discard()
	}
	if err != nil {
		return "", 0, after, fmt.Errorf("add %s: %w", path, err)
	}
	info, err := src.Stat()
	if err != nil {
		return "", 0, after, fmt.Errorf("add: %w", err)
	}
	after = fingerprintOf(info)
	name, err := b.cache.name(d)
	if err != nil {
		return "", 0, after, err
	}
	if have, err := b.cache.Has(ctx, d); have || err != nil {
		return d, n, after, err
	}
	if err := b.cache.mkdir(b.root, name); err != nil {
		return "", 0, after, err
	}
	return d, n, after, b.publish(t, name, n)
}

// cloneOf makes a file that shares the blocks of src, nil where the file system
// cannot do that.
func (b *batch) cloneOf(src *os.File, name string) (*fsx.Temp, error) {
	if b.cache.noReflink.Load() {
		return nil, nil
	}
	t, err := b.root.CreateClone(src, name, 0o666)
	if errors.Is(err, errors.ErrUnsupported) {
		b.cache.noReflink.Store(true)
		return nil, nil
	}
	return t, err
}
