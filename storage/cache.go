package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// objectMode marks an object as whole and checked: the trust rule of
// dvc-compat 5.1.
const objectMode fs.FileMode = 0o444

// CacheOptions are the settings of a cache. The zero value is DVC's default.
type CacheOptions struct {
	Links  []LinkType // in order of preference; nil: reflink, then copy
	Shared bool       // group-writable folders (cache.shared = group)
	State  *State     // remembers hashes of workspace files; may be nil
	Large  *State     // remembers which large objects are whole; may be nil
	Jobs   int        // files worked on at a time; 0: number of processors, at least 4
	Sink   event.Sink // progress; may be nil
}

// Cache keeps objects on this machine. It is safe for concurrent use, also by
// several processes, ctrx and DVC alike: objects only ever appear whole.
type Cache struct {
	dir    string // absolute
	alg    Algorithm
	opts   CacheOptions
	hasher *Hasher

	noReflink *atomic.Bool // a reflink into the cache failed: do not try again

	free func(dir string) (fsx.Space, error)

	mu      sync.Mutex
	root    *fsx.Root // below which the objects lie; opened when first needed
	shelves shelves
	whole   map[Digest]fingerprint // large objects that this process has hashed: see knownWhole
}

// OpenCache makes a Cache of the folder dir (DVC's cache.dir), which need not
// exist yet.
func OpenCache(dir string, opts CacheOptions) *Cache {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if len(opts.Links) == 0 {
		opts.Links = DefaultLinks()
	}
	if opts.Jobs <= 0 {
		opts.Jobs = max(4, runtime.GOMAXPROCS(0))
	}
	if opts.Sink == nil {
		opts.Sink = event.Discard
	}
	return &Cache{
		dir: dir, alg: MD5, opts: opts, noReflink: new(atomic.Bool), free: fsx.Free,
		hasher: NewHasher(opts.State, 0, opts.Sink),
	}
}

// Legacy is the part of the same folder that DVC 2 wrote and that entries
// without "hash:" refer to: other layout, other algorithm.
func (c *Cache) Legacy() *Cache {
	return &Cache{
		dir: c.dir, alg: MD5Dos2Unix, opts: c.opts, noReflink: c.noReflink, free: c.free,
		hasher: c.hasher.WithAlgorithm(MD5Dos2Unix),
	}
}

// Close lets go of the folder. The Cache may be used again.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root == nil {
		return nil
	}
	err := errors.Join(c.shelves.close(), c.root.Close())
	c.root = nil
	return err
}

// Dir is the absolute path of the cache folder.
func (c *Cache) Dir() string { return c.dir }

// Algorithm is MD5, or MD5Dos2Unix for a legacy cache.
func (c *Cache) Algorithm() Algorithm { return c.alg }

// Hasher is a Hasher with the algorithm and the state of the cache.
func (c *Cache) Hasher() *Hasher { return c.hasher }

// Path is where the object is, or would be. d must be valid.
func (c *Cache) Path(d Digest) string {
	return filepath.Join(c.dir, filepath.FromSlash(c.alg.Key(d)))
}

// objectsDir is the folder that holds the two-digit folders.
func (c *Cache) objectsDir() string {
	if c.alg == MD5Dos2Unix {
		return c.dir
	}
	return filepath.Join(c.dir, "files", "md5")
}

// name is the place of an object below objectsDir.
func (c *Cache) name(d Digest) (string, error) {
	if !d.Valid() {
		return "", errs.New(errs.ProjectFile, "%q is not a hash", string(d))
	}
	return filepath.Join(string(d[:2]), string(d[2:])), nil
}

// open gives the root folder of the objects, making it if create is set. Without
// create, a cache that was never written to gives fs.ErrNotExist.
func (c *Cache) open(create bool) (*fsx.Root, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root != nil {
		return c.root, nil
	}
	dir := c.objectsDir()
	if create {
		if err := c.makeDir(dir); err != nil {
			return nil, fmt.Errorf("open cache: %w", err)
		}
	}
	r, err := fsx.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c.root = r
	return r, nil
}

// makeDir makes a folder and its parents; in a shared cache those inside of it
// are group-writable.
func (c *Cache) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := c.makeDir(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fsx.FullDisk(err)
	}
	if c.opts.Shared && strings.HasPrefix(dir, c.dir) {
		return os.Chmod(dir, 0o775|fs.ModeSetgid)
	}
	return nil
}

// mkdir makes the two-digit folder of an object.
func (c *Cache) mkdir(r *fsx.Root, name string) error {
	dir := filepath.Dir(name)
	if _, err := r.Lstat(dir); err == nil {
		return nil
	}
	if err := r.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if c.opts.Shared {
		return r.Chmod(dir, 0o775|fs.ModeSetgid)
	}
	return nil
}

// Has tells whether the object is there and whole. For a directory object it
// does not look at the members: see HasTree. An object whose mode does not vouch
// for it is hashed; a corrupt one counts as missing and is left where it is.
func (c *Cache) Has(ctx context.Context, d Digest) (bool, error) {
	err := c.check(ctx, d)
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
		return false, nil
	}
	return err == nil, err
}

// check gives nil for a good object, an error that wraps fs.ErrNotExist for a
// missing one, and one of kind DataCorrupt for a bad one.
func (c *Cache) check(ctx context.Context, d Digest) error {
	unmarked, err := c.look(ctx, d)
	if unmarked {
		c.vouch([]Digest{d})
	}
	return err
}

// look is check that marks nothing: unmarked says that the object is good and its
// mode does not say so.
func (c *Cache) look(ctx context.Context, d Digest) (unmarked bool, err error) {
	if !d.Valid() {
		return false, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
	}
	// By its path, not below the root: this only looks, and it is done for every
	// output of a pipeline.
	info, err := os.Lstat(c.Path(d))
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errs.New(errs.DataCorrupt, "%s is not a file", c.Path(d))
	}
	if info.Mode().Perm() == objectMode {
		return false, nil
	}
	got, err := c.hasher.files(ctx, c.Path(d), []found{{stamp: fsx.StampOf(info)}})
	if err != nil {
		return false, err
	}
	if string(got[0].digest) != d.Hex() {
		return false, errs.New(errs.DataCorrupt, "%s has the content of %s", c.Path(d), got[0].digest)
	}
	return true, nil
}

// vouch marks objects that were found to be good, so that the next reader need
// not hash them again: on the disk first, since their writer may have been killed
// before its flush. Objects of another user, or on a read-only disk, stay as they
// are.
func (c *Cache) vouch(ds []Digest) {
	r, err := c.open(false)
	if err != nil || len(ds) == 0 {
		return
	}
	names := make([]string, 0, len(ds))
	for _, d := range ds {
		if name, err := c.name(d); err == nil {
			names = append(names, name)
		}
	}
	if r.Sync(names) != nil {
		return
	}
	for _, name := range names {
		_ = r.Chmod(name, objectMode)
	}
}

// HasTree tells whether the object and, for a directory object, all its members
// are there and whole.
func (c *Cache) HasTree(ctx context.Context, d Digest) (bool, error) {
	if !d.IsDir() {
		return c.Has(ctx, d)
	}
	dir, err := c.ReadDir(ctx, d)
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = c.eachHas(ctx, len(dir), func(i int) Digest { return dir[i].MD5 }, func(_ int, have bool) error {
		if !have {
			return errMissing
		}
		return nil
	})
	if errors.Is(err, errMissing) {
		return false, nil
	}
	return err == nil, err
}

// errMissing ends a look at many objects at the first that is not there.
var errMissing = errors.New("missing")

// Missing lists which of the objects that make up d are missing or corrupt: d
// itself, or members of the folder that it names. The list is nil when all are
// there.
func (c *Cache) Missing(ctx context.Context, d Digest) ([]MissingObject, error) {
	if !d.IsDir() {
		ok, err := c.Has(ctx, d)
		if ok || err != nil {
			return nil, err
		}
		return []MissingObject{{Digest: d}}, nil
	}
	dir, err := c.ReadDir(ctx, d)
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
		return []MissingObject{{Digest: d}}, nil
	}
	if err != nil {
		return nil, err
	}
	have, err := c.hasAll(ctx, memberDigests(dir))
	if err != nil {
		return nil, err
	}
	var out []MissingObject
	for _, e := range dir {
		if !have[e.MD5] {
			out = append(out, MissingObject{Digest: e.MD5, RelPath: e.RelPath})
		}
	}
	return out, nil
}

// memberDigests lists the different digests of the members.
func memberDigests(dir DirObject) []Digest {
	seen := make(map[Digest]struct{}, len(dir))
	out := make([]Digest, 0, len(dir))
	for _, e := range dir {
		if _, ok := seen[e.MD5]; !ok {
			seen[e.MD5] = struct{}{}
			out = append(out, e.MD5)
		}
	}
	return out
}

// manyObjects is the number of objects from which on it pays to open the folders
// that they are in.
const manyObjects = 1000

// hasAll is Has for many objects at once.
func (c *Cache) hasAll(ctx context.Context, ds []Digest) (map[Digest]bool, error) {
	ok := make([]bool, len(ds))
	err := c.eachHas(ctx, len(ds), func(i int) Digest { return ds[i] }, func(i int, have bool) error {
		ok[i] = have
		return nil
	})
	if err != nil {
		return nil, err
	}
	have := make(map[Digest]bool, len(ds))
	for i, d := range ds {
		have[d] = ok[i]
	}
	return have, nil
}

// eachHas is Has for n objects, several at a time. It ends at the first error,
// be it one of seen. Objects to be marked are flushed together.
func (c *Cache) eachHas(ctx context.Context, n int, object func(i int) Digest, seen func(i int, have bool) error) error {
	var mu sync.Mutex
	var unmarked []Digest
	has := func(ctx context.Context, d Digest) (bool, error) {
		if n >= manyObjects && c.shelfHas(d) {
			return true, nil
		}
		mark, err := c.look(ctx, d)
		if mark {
			mu.Lock()
			unmarked = append(unmarked, d)
			mu.Unlock()
		}
		if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
			return false, nil
		}
		return err == nil, err
	}
	const chunk = 256 // objects for one goroutine: a look takes microseconds
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	for at := 0; at < n; at += chunk {
		g.Go(func() error {
			for i := at; i < min(at+chunk, n); i++ {
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				have, err := has(gctx, object(i))
				if err != nil {
					return err
				}
				if err := seen(i, have); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	c.vouch(unmarked)
	return err
}

// ReadDir reads a directory object and checks it against its digest. One that
// is not there gives an error that wraps fs.ErrNotExist, a bad one an error of
// kind DataCorrupt.
func (c *Cache) ReadDir(ctx context.Context, d Digest) (DirObject, error) {
	if !d.IsDir() {
		return nil, errs.New(errs.ProjectFile, "%q is not the hash of a folder", string(d))
	}
	name, err := c.name(d)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	r, err := c.open(false)
	if err != nil {
		return nil, err
	}
	data, err := r.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read directory object %s: %w", d, err)
	}
	return ParseDirOf(data, d)
}

// Open opens an object for reading. A missing one gives fs.ErrNotExist.
func (c *Cache) Open(d Digest) (*os.File, error) {
	name, err := c.name(d)
	if err != nil {
		return nil, err
	}
	r, err := c.open(false)
	if err != nil {
		return nil, err
	}
	return r.Open(name)
}

// MissingObject is an object that is not where it is needed.
type MissingObject struct {
	Digest  Digest
	RelPath string // of the member inside its folder; empty for an object by itself
	Path    string // that wants it, where Push and Fetch were told; else empty
}

// MissingError says that recorded data is not in the cache. Its kind is
// DataMissing.
type MissingError struct {
	Path    string // of the output that was asked for
	Objects []MissingObject
}

// Error lists the first few objects.
func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Path)
	if len(e.Objects) == 1 && e.Objects[0].RelPath == "" {
		fmt.Fprintf(&b, "the object %s is not in the cache", e.Objects[0].Digest)
		return b.String()
	}
	fmt.Fprintf(&b, "%d files are not in the cache", len(e.Objects))
	const show = 5
	for i, o := range e.Objects {
		if i == show {
			fmt.Fprintf(&b, ", and %d more", len(e.Objects)-show)
			break
		}
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		name := o.RelPath
		if name == "" {
			name = string(o.Digest)
		}
		b.WriteString(sep + name)
	}
	return b.String()
}

// Kind is DataMissing.
func (e *MissingError) Kind() errs.Kind { return errs.DataMissing }

// Hint names the commands that bring data here.
func (e *MissingError) Hint() string {
	return fmt.Sprintf("`ctrx pull %s` downloads it and puts it in place; `ctrx fetch %[1]s` only downloads it", errs.Arg(e.Path))
}
