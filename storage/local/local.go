// Package local keeps objects in a folder: a disk, a mounted network drive, a
// folder that several people share. It has the layout of a DVC remote with a
// path as its url, so dvc can read and write the same folder.
//
// Objects have mode 0444, as in a cache, and get it only after their content
// was flushed to the disk: see Backend.Flush. Files below runs/ (the run cache)
// keep normal modes.
package local

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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
	dir  string
	opts Options

	mu      sync.Mutex
	root    *fsx.Root // opened when first needed
	pending []string  // names in place, not flushed and not marked
}

// Open makes a Backend of the folder dir (absolute). The folder is made by the
// first Put; until then the remote is empty.
func Open(dir string, opts Options) *Backend {
	return &Backend{dir: dir, opts: opts}
}

// Close flushes, and lets go of the folder.
func (b *Backend) Close() error {
	err := b.mark()
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

// Stat gives the size of an object.
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
	f, err := r.Open(filepath.FromSlash(key))
	if err != nil {
		return fmt.Errorf("get %s: %w", key, notDirIsMissing(kind(err)))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("get %s: %w", key, errors.Join(err, fs.ErrNotExist))
	}
	if _, err := copyBlocks(ctx, w, f); err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	return nil
}

// notDirIsMissing: where a/b is asked for and a is a file, a/b is missing.
func notDirIsMissing(err error) error {
	if err != nil && isNotDir(err) {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}

// copyBlocks is io.Copy that ends soon after ctx does.
func copyBlocks(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var total int64
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := io.CopyN(w, r, blockSize)
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
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
	name := filepath.FromSlash(key)
	if err := b.mkdir(r, filepath.Dir(name)); err != nil {
		return kind(err)
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t, err := r.Create(name, 0o666)
	if err != nil {
		return kind(err)
	}
	defer t.Discard()
	sum := md5.New()
	n, err := copyBlocks(ctx, io.MultiWriter(t, sum), src)
	if err != nil {
		return err
	}
	if n != size {
		return errs.New(errs.Failed, "%d bytes were read where %d were expected", n, size)
	}
	// A network drive may take content and keep less of it.
	if info, err := t.Stat(); err != nil || info.Size() != size {
		return errs.Hint(errs.New(errs.Failed, "the folder kept something else than the %d bytes that were written", size), "check the disk or network drive of %s", b.dir)
	}
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum.Sum(nil)))); err != nil {
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
	b.mu.Lock()
	b.pending = append(b.pending, name)
	b.mu.Unlock()
	return nil
}

// isRun tells the files of the run cache, which are no objects.
func isRun(key string) bool { return strings.HasPrefix(key, "runs/") }

func (b *Backend) mkdir(r *fsx.Root, dir string) error {
	if _, err := r.Lstat(dir); err == nil {
		return nil
	}
	if !b.opts.Shared {
		return r.MkdirAll(dir, 0o777)
	}
	if parent := filepath.Dir(dir); parent != "." {
		if err := b.mkdir(r, parent); err != nil {
			return err
		}
	}
	if err := r.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return r.Chmod(dir, 0o775|fs.ModeSetgid)
}

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
		if err := protect(r, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mark %s: %w", name, err)
		}
	}
	return nil
}

// protect marks an object as whole; a file system that keeps no modes is no
// reason to fail.
func protect(r *fsx.Root, name string) error {
	err := r.Chmod(name, objectMode)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// List gives the objects whose key begins with prefix.
func (b *Backend) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		r, err := b.open(false)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(storage.Object{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		// Only the folder that holds all matches is walked.
		top := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			top = path.Clean(prefix[:i])
		}
		if !fs.ValidPath(top) {
			return
		}
		l := lister{ctx: ctx, root: r, prefix: prefix, yield: yield}
		if err := l.walk(top); err != nil {
			yield(storage.Object{}, fmt.Errorf("list %s: %w", prefix, notDirIsMissing(kind(err))))
		}
	}
}

type lister struct {
	ctx    context.Context
	root   *fsx.Root
	prefix string
	yield  func(storage.Object, error) bool
	done   bool
}

func (l *lister) walk(dir string) error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	d, err := l.root.Open(filepath.FromSlash(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		if isNotDir(err) {
			return nil // a file: its key does not end in a slash
		}
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if l.done {
			return nil
		}
		key := path.Join(dir, e.Name())
		if e.IsDir() {
			sub := key + "/"
			if strings.HasPrefix(sub, l.prefix) || strings.HasPrefix(l.prefix, sub) {
				if err := l.walk(key); err != nil {
					return err
				}
			}
			continue
		}
		if !strings.HasPrefix(key, l.prefix) || fsx.IsTemp(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if !l.yield(storage.Object{Key: key, Size: info.Size()}, nil) {
			l.done = true
		}
	}
	return nil
}

// Leftovers implements storage.Sweeper.
func (b *Backend) Leftovers(ctx context.Context, before time.Time) ([]storage.Object, error) {
	var out []storage.Object
	err := filepath.WalkDir(b.dir, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || d.IsDir() || !d.Type().IsRegular() || !storage.IsLeftover(d.Name()) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(before) {
			return nil
		}
		rel, err := filepath.Rel(b.dir, name)
		out = append(out, storage.Object{Key: filepath.ToSlash(rel), Size: info.Size()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for leftovers in %s: %w", b.dir, kind(err))
	}
	return out, nil
}

// Sweep removes a leftover.
func (b *Backend) Sweep(ctx context.Context, key string) error { return b.Delete(ctx, key) }

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
