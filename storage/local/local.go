// Package local keeps objects in a folder: a disk, a mounted network drive, a
// folder that several people share. It has the layout of a DVC remote with a
// path as its url, so dvc can read and write the same folder.
//
// Objects have mode 0444, as in a cache, and get it only after their content
// was flushed to the disk: see Backend.Flush. Files below runs/ (the run cache)
// keep normal modes.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/storage"
)

// objectMode says that an object is whole and was checked.
const objectMode fs.FileMode = 0o444

// bigObject is the size from which on an object is flushed by itself.
const bigObject = 8 << 20

// blockSize is how much is copied between two looks at the context.
const blockSize = 1 << 20

// Options are the settings of a folder remote.
type Options struct {
	Shared bool // group-writable folders (shared = group)
}

// Backend is a folder of objects. It implements storage.Backend and
// storage.Flusher.
type Backend struct {
	dir    string
	opts   Options
	blocks *sync.Pool // of *[]byte, blockSize long
	hasher *storage.Hasher

	noReflink atomic.Bool // sharing blocks with what is put failed: do not try again

	mu      sync.Mutex
	root    *fsx.Root // opened when first needed
	dirs    map[string]*fsx.Dir
	pending []string // names in place, not flushed and not marked
}

// Open makes a Backend of the folder dir (absolute). The folder is made by the
// first Put; until then the remote is empty.
func Open(dir string, opts Options) *Backend {
	return &Backend{dir: dir, opts: opts, hasher: storage.NewHasher(nil, 0, nil), blocks: &sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}}
}

// Close flushes, and lets go of the folder.
func (b *Backend) Close() error {
	err := errors.Join(b.mark(), b.closeDirs())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.root != nil {
		err = errors.Join(err, b.root.Close())
		b.root = nil
	}
	return err
}

// open gives the folder; create makes it. Where it is missing and create is not
// set, the error wraps fs.ErrNotExist.
func (b *Backend) open(create bool) (*fsx.Root, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.root != nil {
		return b.root, nil
	}
	if create {
		if err := os.MkdirAll(b.dir, 0o777); err != nil {
			return nil, kind(fsx.FullDisk(err))
		}
	}
	r, err := fsx.OpenRoot(b.dir)
	if err != nil {
		return nil, kind(err)
	}
	b.root = r
	return r, nil
}

// kind gives a refused access its kind.
func kind(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return errs.Hint(errs.New(errs.Auth, "%w", err), "check the owner and the mode of the remote's folder")
	}
	return err
}

// Stat gives the size of an object. One that is not whole counts as missing.
func (b *Backend) Stat(ctx context.Context, key string) (int64, error) {
	r, err := b.begin(ctx, key, false)
	if err != nil {
		return 0, fmt.Errorf("stat %s: %w", key, err)
	}
	info, err := r.Lstat(filepath.FromSlash(key))
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, fmt.Errorf("stat %s: %w", key, notDirIsMissing(kind(err)))
	}
	if ok, err := b.whole(ctx, r, key, info.Mode()); !ok {
		return 0, fmt.Errorf("stat %s: %w", key, cmp.Or(err, error(fs.ErrNotExist)))
	}
	return info.Size(), nil
}

// begin is what each method does first.
func (b *Backend) begin(ctx context.Context, key string, create bool) (*fsx.Root, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	return b.open(create)
}

// Get copies an object to w.
func (b *Backend) Get(ctx context.Context, key string, w io.Writer) error {
	r, err := b.begin(ctx, key, false)
	if err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	block := b.blocks.Get().(*[]byte)
	defer b.blocks.Put(block)
	if data, ok := b.getSmall(r, key, *block); ok {
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("get %s: %w", key, fsx.FullDisk(err))
		}
		return nil
	}
	f, err := openFile(r, key)
	if err != nil {
		return err
	}
	defer f.Close()
	if taker, ok := w.(storage.FileTaker); ok {
		done, err := taker.TakeFile(ctx, f)
		if err != nil {
			return fmt.Errorf("get %s: %w", key, err)
		}
		if done {
			return nil
		}
	}
	if _, err := copyBlocks(ctx, w, f, *block); err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	return nil
}

func openFile(r *fsx.Root, key string) (*os.File, error) {
	f, err := r.Open(filepath.FromSlash(key))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, notDirIsMissing(kind(err)))
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("get %s: %w", key, errors.Join(err, fs.ErrNotExist))
	}
	return f, nil
}

// notDirIsMissing: where a/b is asked for and a is a file, a/b is missing.
func notDirIsMissing(err error) error {
	if err != nil && isNotDir(err) {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}

// getSmall reads an object that is smaller than the block. ok is false for one
// that is larger or needs a closer look.
func (b *Backend) getSmall(r *fsx.Root, key string, block []byte) (data []byte, ok bool) {
	dir, err := b.folder(r, filepath.FromSlash(path.Dir(key)), false)
	if dir == nil || err != nil {
		return nil, false
	}
	n, _, err := dir.Read(path.Base(key), block)
	if err != nil || n == len(block) {
		return nil, false
	}
	return block[:n], true
}

// copyBlocks is io.CopyBuffer that ends soon after ctx does.
func copyBlocks(ctx context.Context, w io.Writer, r io.Reader, block []byte) (int64, error) {
	var total int64
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := io.ReadFull(r, block)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return total, err
		}
		written, err := w.Write(block[:n])
		total += int64(written)
		if end || err != nil {
			return total, fsx.FullDisk(err)
		}
	}
}

// Put stores an object: temporary file, rename.
func (b *Backend) Put(ctx context.Context, key string, src io.ReadSeeker, size int64) error {
	if err := b.put(ctx, key, src, size); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (b *Backend) put(ctx context.Context, key string, src io.ReadSeeker, size int64) error {
	r, err := b.begin(ctx, key, true)
	if err != nil {
		return err
	}
	block := b.blocks.Get().(*[]byte)
	defer b.blocks.Put(block)
	if size < blockSize && !isRun(key) {
		done, err := b.putSmall(r, key, src, size, *block)
		if done || err != nil {
			return kind(err)
		}
	}
	return b.putLarge(ctx, r, key, src, size)
}

// putSmall is put for an object that fits into a block. done is false where the
// longer way must be taken.
func (b *Backend) putSmall(r *fsx.Root, key string, src io.ReadSeeker, size int64, block []byte) (done bool, err error) {
	name := filepath.FromSlash(key)
	dir, err := b.folder(r, filepath.Dir(name), true)
	if dir == nil || err != nil {
		return false, err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	n, err := io.ReadFull(src, block)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	if err := check(key, block[:n], int64(n), size); err != nil {
		return false, err
	}
	_, err = dir.Put(filepath.Base(name), block[:n], 0o666)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) { // the folder was removed behind our back
		return false, b.closeDirs()
	}
	if err != nil {
		return false, err
	}
	b.later(name)
	return true, nil
}

func check(key string, data []byte, n, size int64) error {
	if n != size {
		return errs.New(errs.Failed, "%d bytes were read where %d were expected", n, size)
	}
	return storage.CheckContent(key, storage.DigestOf(data))
}

func (b *Backend) putLarge(ctx context.Context, r *fsx.Root, key string, src io.ReadSeeker, size int64) error {
	name := filepath.FromSlash(key)
	if err := b.mkdir(r, filepath.Dir(name)); err != nil {
		return kind(err)
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t, got, n, err := b.take(ctx, r, name, src)
	if err != nil {
		return kind(err)
	}
	defer t.Discard()
	if n != size {
		return errs.New(errs.Failed, "%d bytes were read where %d were expected", n, size)
	}
	// A network drive may take content and keep less of it.
	if info, err := t.Stat(); err != nil || info.Size() != size {
		return errs.Hint(errs.New(errs.Failed, "the folder kept something else than the %d bytes that were written", size), "check the disk or network drive of %s", b.dir)
	}
	if got != "" {
		err = storage.CheckContent(key, got)
	} else if storage.IsHashed(src) == nil {
		err = storage.ErrSourceChanged
	}
	if err != nil {
		return err
	}
	durability := fsx.Fast
	if size >= bigObject || isRun(key) {
		durability = fsx.Flushed
	}
	if err := t.Publish(durability); err != nil {
		return kind(err)
	}
	if isRun(key) {
		return nil
	}
	if durability != fsx.Fast {
		return protect(r, name)
	}
	b.later(name)
	return nil
}

// take makes a temporary file of the content of src: one that shares the blocks of
// src where that is a file on the same disk, else a copy. got is the digest of what
// is in it. Where src was hashed before, it is only copied, and got is "".
func (b *Backend) take(ctx context.Context, r *fsx.Root, name string, src io.ReadSeeker) (t *fsx.Temp, got storage.Digest, n int64, err error) {
	if from, ok := src.(storage.FileSource); ok && from.SourceFile() != nil && !b.noReflink.Load() {
		t, err = r.CreateClone(from.SourceFile(), name, 0o666)
		switch {
		case err == nil:
			var info fs.FileInfo
			if info, err = t.Stat(); err == nil {
				n = info.Size()
				if storage.IsHashed(src) == nil {
					got, err = b.hasher.Sum(ctx, t)
				}
			}
		case errors.Is(err, errors.ErrUnsupported):
			b.noReflink.Store(true)
		default:
			return nil, "", 0, err
		}
	}
	if t == nil {
		if t, err = r.Create(name, 0o666); err != nil {
			return nil, "", 0, err
		}
		if from := storage.IsHashed(src); from != nil {
			n, err = copyHashed(ctx, t, from)
		} else {
			got, n, err = b.hasher.CopyTo(ctx, t, src)
		}
	}
	if err != nil {
		t.Discard()
		return nil, "", 0, err
	}
	return t, got, n, nil
}

// copyHashed copies what needs no hashing to a file that will be flushed.
func copyHashed(ctx context.Context, t *fsx.Temp, src storage.HashedSource) (total int64, err error) {
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := src.CopyTo(t.File, fsx.FlushStep)
		fsx.StartFlush(t.File, total, n)
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, fsx.FullDisk(err)
		}
	}
}

// later takes note of an object that is to be flushed and marked.
func (b *Backend) later(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(b.pending, name)
}

// isRun tells the files of the run cache, which are no objects.
func isRun(key string) bool { return strings.HasPrefix(key, "runs/") }

// Flush brings everything that was put to the disk, then marks the objects as
// whole.
func (b *Backend) Flush(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.mark()
}

func (b *Backend) mark() error {
	b.mu.Lock()
	names, r := b.pending, b.root
	b.pending = nil
	b.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	if err := r.Sync(names); err != nil {
		return fmt.Errorf("flush %s: %w", b.dir, err)
	}
	for _, name := range names {
		// Another process may have removed it since.
		if err := b.markOne(r, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mark %s: %w", name, err)
		}
	}
	return nil
}

func (b *Backend) markOne(r *fsx.Root, name string) error {
	dir, err := b.folder(r, filepath.Dir(name), false)
	if err != nil {
		return err
	}
	if dir == nil {
		return protect(r, name)
	}
	return unprotected(dir.Chmod(filepath.Base(name), objectMode))
}

// protect marks an object as whole; a file system that keeps no modes is no
// reason to fail.
func protect(r *fsx.Root, name string) error {
	return unprotected(r.Chmod(name, objectMode))
}

// unprotected leaves out the errors of a file system that keeps no modes.
func unprotected(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Delete removes an object.
func (b *Backend) Delete(ctx context.Context, key string) error {
	r, err := b.begin(ctx, key, false)
	if err == nil {
		err = notDirIsMissing(r.Remove(filepath.FromSlash(key)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, kind(err))
	}
	return nil
}
