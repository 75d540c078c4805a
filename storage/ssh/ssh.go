// Package ssh keeps objects in a folder of another machine that is reached by
// SSH: a remote with an ssh:// url. It has the layout of a folder remote, so dvc
// can use the same folder, by ssh or as a path on that machine.
//
// The settings are those of a DVC remote (see Settings), filled up from
// ~/.ssh/config. Unlike DVC, which takes any host key, a host must be in
// known_hosts: see docs/adr/0018-ssh-and-http-remotes.md.
//
// One connection carries a bounded number of SFTP sessions that all calls share.
// A connection that broke is made anew by the next call.
package ssh

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/storage"
)

// requestSize is how much one SFTP request carries at most, in bytes: what every
// server must take.
const requestSize = 32 << 10

// requestsAtOnce is how many requests of one file are under way at a time.
const requestsAtOnce = 64

// foldersAtOnce is how many folders List reads at a time.
const foldersAtOnce = 8

// Backend is a folder on an SSH server. It implements storage.Backend,
// storage.Ranger and io.Closer.
type Backend struct {
	set  Settings
	pool *pool

	mu   sync.Mutex
	made map[string]bool // folders that are there
}

// Open makes a Backend. Nothing is contacted yet.
func Open(set Settings) *Backend {
	return &Backend{set: set, pool: newPool(set), made: map[string]bool{}}
}

// Close ends the connection. Another call would make a new one.
func (b *Backend) Close() error { return b.pool.close() }

// place is the path on the server of a key.
func (b *Backend) place(key string) string { return path.Join(b.set.Path, key) }

// do runs a call of SFTP. The calls know no context, so a connection on which
// one still hangs some time after ctx ended is cut.
func (b *Backend) do(ctx context.Context, key string, f func(*sftp.Client) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return b.pool.do(ctx, f)
}

// Stat gives the size of an object.
func (b *Backend) Stat(ctx context.Context, key string) (int64, error) {
	var size int64
	err := b.do(ctx, key, func(c *sftp.Client) error {
		info, err := c.Stat(b.place(key))
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err == nil {
			size = info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("stat %s: %w", key, b.explain(err))
	}
	return size, nil
}

// Get copies an object to w.
func (b *Backend) Get(ctx context.Context, key string, w io.Writer) error {
	err := b.do(ctx, key, func(c *sftp.Client) error { return b.get(ctx, c, key, "", 0, w) })
	if err != nil {
		return fmt.Errorf("get %s: %w", key, b.explain(err))
	}
	return nil
}

// GetFrom implements storage.Ranger.
func (b *Backend) GetFrom(ctx context.Context, key, etag string, offset int64, w io.Writer) error {
	err := b.do(ctx, key, func(c *sftp.Client) error { return b.get(ctx, c, key, etag, offset, w) })
	if err != nil {
		return fmt.Errorf("get %s from byte %d: %w", key, offset, b.explain(err))
	}
	return nil
}

// tagOf stands in for an ETag: a file of another content has another size, or was
// written in another second. That is not sure, so only objects get one, whose
// content is checked in the end.
func tagOf(info fs.FileInfo) string {
	return fmt.Sprintf("%d-%d", info.ModTime().Unix(), info.Size())
}

func isObject(key string) bool {
	_, ok := storage.KeyDigest(key)
	return ok
}

func (b *Backend) get(ctx context.Context, c *sftp.Client, key, etag string, offset int64, w io.Writer) error {
	f, err := c.Open(b.place(key))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	switch a, ok := w.(storage.Announced); {
	case offset > 0 && (tagOf(info) != etag || info.Size() < offset):
		return storage.ErrReplaced
	case offset > 0:
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return err
		}
	case ok && isObject(key):
		a.Announce(storage.Object{Key: key, Size: info.Size(), ETag: tagOf(info)})
	}
	out := &watchedWriter{ctx: ctx, w: w}
	n, err := f.WriteTo(out)
	switch {
	case out.err != nil:
		return &callerError{out.err}
	case err != nil:
		return err
	case offset+n != info.Size():
		return storage.Transient(errs.New(errs.Failed, "%d of %d bytes arrived", offset+n, info.Size()))
	}
	return nil
}

// callerError is a failure of the caller's reader or writer: not the server's.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

// watchedWriter ends when ctx does, and remembers its own failure.
type watchedWriter struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
		return 0, w.err
	}
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// Put stores an object: a file of another name, whose size is checked, then a
// rename that replaces.
func (b *Backend) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	err := b.do(ctx, key, func(c *sftp.Client) error { return b.put(ctx, c, key, r, size) })
	if err != nil {
		return fmt.Errorf("put %s: %w", key, b.explain(err))
	}
	return nil
}

func (b *Backend) put(ctx context.Context, c *sftp.Client, key string, r io.ReadSeeker, size int64) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return &callerError{err}
	}
	name := b.place(key)
	f, err := b.create(c, path.Dir(name))
	if err != nil {
		return err
	}
	if err := b.fill(ctx, c, f, key, r, size); err != nil {
		f.Close()
		c.Remove(f.Name())
		return err
	}
	if err := f.Close(); err != nil {
		c.Remove(f.Name())
		return err
	}
	if err := publish(c, f.Name(), name); err != nil {
		c.Remove(f.Name())
		return err
	}
	return nil
}

// create makes a file of a new name in the folder dir, and the folder.
func (b *Backend) create(c *sftp.Client, dir string) (*sftp.File, error) {
	b.mu.Lock()
	made := b.made[dir]
	b.mu.Unlock()
	for again := false; ; again = true {
		if !made {
			if err := c.MkdirAll(dir); err != nil {
				return nil, err
			}
			b.mu.Lock()
			b.made[dir] = true
			b.mu.Unlock()
		}
		f, err := c.OpenFile(path.Join(dir, tempName()), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if made && !again && errors.Is(err, fs.ErrNotExist) { // somebody removed it since
			made = false
			continue
		}
		return f, err
	}
}

// tempName is a name that lists leave out; fsx.IsTemp knows it.
func tempName() string { return fmt.Sprintf(".ctrx-%016x.tmp", rand.Uint64()) }

// fill writes the content and makes sure that it has arrived.
func (b *Backend) fill(ctx context.Context, c *sftp.Client, f *sftp.File, key string, r io.Reader, size int64) error {
	sum := md5.New()
	in := &watchedReader{ctx: ctx, r: io.TeeReader(io.LimitReader(r, size+1), sum)}
	n, err := f.ReadFromWithConcurrency(in, int(min(requestsAtOnce, 1+size/requestSize)))
	switch {
	case in.err != nil:
		return &callerError{in.err}
	case err != nil:
		return b.full(c, f.Name(), size, err)
	case n != size:
		return errs.New(errs.Failed, "the content has not the %d bytes that were expected", size)
	}
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum.Sum(nil)))); err != nil {
		return err
	}
	if _, ok := c.HasExtension("fsync@openssh.com"); ok {
		if err := f.Sync(); err != nil {
			return b.full(c, f.Name(), 0, err)
		}
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = storage.Transient(errs.New(errs.Failed, "%d of %d bytes arrived", info.Size(), size))
	}
	return err
}

// watchedReader ends when ctx does, and remembers its own failure.
type watchedReader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *watchedReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// full asks, after a failed write, whether the server's disk is the reason: the
// protocol has no word for it.
func (b *Backend) full(c *sftp.Client, name string, size int64, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	if _, ok := c.HasExtension("statvfs@openssh.com"); !ok {
		return err
	}
	if st, e := c.StatVFS(path.Dir(name)); e == nil && st.FreeSpace() < uint64(size) {
		return errs.Hint(errs.New(errs.Failed, "the disk of %s is full: %d bytes are free: %w", b.set.Host, st.FreeSpace(), err),
			"free space there, then repeat the command: what was transferred stays")
	}
	return err
}

// publish gives a whole file its name. Where the server cannot rename over a
// file, the old one is removed first.
func publish(c *sftp.Client, from, to string) error {
	if _, ok := c.HasExtension("posix-rename@openssh.com"); ok {
		return c.PosixRename(from, to)
	}
	err := c.Rename(from, to)
	if err == nil {
		return nil
	}
	if _, e := c.Stat(to); e != nil {
		return err
	}
	if err := c.Remove(to); err != nil {
		return err
	}
	return c.Rename(from, to)
}

// List gives the objects whose key begins with prefix.
func (b *Backend) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		top := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			top = path.Clean(prefix[:i])
		}
		if !fs.ValidPath(top) {
			return
		}
		l := lister{b: b, prefix: prefix, yield: yield, take: func(info fs.FileInfo) bool { return !fsx.IsTemp(info.Name()) }}
		if err := l.walk(ctx, top); err != nil {
			yield(storage.Object{}, fmt.Errorf("list ssh://%s: %w", path.Join(b.set.Host, b.set.Path, prefix), b.explain(err)))
		}
	}
}

type lister struct {
	b      *Backend
	prefix string
	take   func(fs.FileInfo) bool // of the files, these
	yield  func(storage.Object, error) bool
}

// Leftovers implements storage.Sweeper.
func (b *Backend) Leftovers(ctx context.Context, before time.Time) ([]storage.Object, error) {
	var out []storage.Object
	l := lister{b: b,
		take: func(info fs.FileInfo) bool { return storage.IsLeftover(info.Name()) && info.ModTime().Before(before) },
		yield: func(o storage.Object, _ error) bool {
			out = append(out, o)
			return true
		}}
	if err := l.walk(ctx, "."); err != nil {
		return nil, fmt.Errorf("look for leftovers: %w", b.explain(err))
	}
	return out, nil
}

// Sweep removes a leftover.
func (b *Backend) Sweep(ctx context.Context, key string) error { return b.Delete(ctx, key) }

// walk reads the folders below top, several at a time.
func (l *lister) walk(ctx context.Context, top string) error {
	for todo := []string{top}; len(todo) > 0; {
		n := min(len(todo), foldersAtOnce)
		batch := slices.Clone(todo[len(todo)-n:])
		found := make([][]fs.FileInfo, n)
		g, gctx := errgroup.WithContext(ctx)
		for i, dir := range batch {
			g.Go(func() (err error) {
				found[i], err = l.b.readDir(gctx, dir)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		todo = todo[:len(todo)-n]
		for i, infos := range found {
			for _, info := range infos {
				key := path.Join(batch[i], info.Name())
				if info.IsDir() {
					if sub := key + "/"; strings.HasPrefix(sub, l.prefix) || strings.HasPrefix(l.prefix, sub) {
						todo = append(todo, key)
					}
				} else if strings.HasPrefix(key, l.prefix) && info.Mode().IsRegular() && l.take(info) && storage.CheckKey(key) == nil {
					if !l.yield(storage.Object{Key: key, Size: info.Size()}, nil) {
						return nil
					}
				}
			}
		}
	}
	return nil
}

// readDir reads a folder; one that is missing or a file has nothing in it. Names
// that no path can hold are a broken server's.
func (b *Backend) readDir(ctx context.Context, dir string) ([]fs.FileInfo, error) {
	var infos []fs.FileInfo
	err := b.pool.do(ctx, func(c *sftp.Client) (err error) {
		infos, err = c.ReadDirContext(ctx, b.place(dir))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else if err != nil {
			if info, e := c.Stat(b.place(dir)); e == nil && !info.IsDir() {
				err = nil
			}
		}
		return err
	})
	for _, info := range infos {
		if n := info.Name(); n == "." || n == ".." || strings.ContainsRune(n, '/') {
			return nil, errs.New(errs.Failed, "the server lists a file named %q", n)
		}
	}
	return infos, err
}

// Delete removes an object.
func (b *Backend) Delete(ctx context.Context, key string) error {
	err := b.do(ctx, key, func(c *sftp.Client) error { return c.Remove(b.place(key)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, b.explain(err))
	}
	return nil
}
