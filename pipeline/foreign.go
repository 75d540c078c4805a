package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/settings"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
	"ctrx/storage/local"
	"ctrx/storage/remote"
)

// ForeignOptions says which repository is read, which need not be the user's own.
type ForeignOptions struct {
	OpenOptions                    // Dir: where the user stands
	URL          string            // a folder, file://, https://, ssh:// or user@host:path
	Rev          string            // "" is the folder as it is, or the default branch
	ConfigFile   string            // merged over the repository's own configuration
	Remote       string            // its remote to read from; "" means its default one
	RemoteConfig map[string]string // options over those of that remote
	CloneDir     string            // folder for copies of repositories that are no folders
	Cache        *storage.Cache    // where data that is read is kept; nil: for the time of one call
}

// Foreign is a repository that data is read from: a Git repository with or
// without DVC. Reading it runs nothing of it and writes nothing into it. Close
// it.
type Foreign struct {
	Commit string // "" for a folder as it is, outside of Git or with no commit
	p      *Project
	src    Source
	files  fs.FS  // the files that the repository itself has
	prefix string // of the project in files, "." when they are the same
	o      ForeignOptions
	cache  *storage.Cache
	stores []storage.Backend // where its data may be, in the order of asking
	temp   string            // folder to remove in the end; one with a part of a large object stays (readBeside)
	lock   *os.File          // of temp; nil where the folder has a name of its own
	ix     *Index
	subs   map[string]*Foreign // projects in folders of the repository, by their folder
}

// OpenForeign opens a repository; its stage files are read when they are first
// needed.
func OpenForeign(ctx context.Context, o ForeignOptions) (*Foreign, error) {
	if o.Sink == nil {
		o.Sink = event.Discard
	}
	f := &Foreign{o: o, prefix: "."}
	dir := strings.TrimPrefix(o.URL, "file://")
	if dir != o.URL && !filepath.IsAbs(dir) {
		return nil, errs.New(errs.Usage, "%q: a file:// address needs an absolute path", o.URL)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.Dir, dir)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil || !info.IsDir():
		err = f.openCopy(ctx, o.URL)
	case isBare(dir):
		err = f.openCopy(ctx, dir)
	default:
		err = f.openFolder(ctx, dir)
	}
	if err == nil {
		err = f.findStores(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// isBare tells a Git repository without a work tree.
func isBare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// Close lets go of the repository.
func (f *Foreign) Close() error {
	var err error
	for _, sub := range f.subs {
		err = errors.Join(err, sub.Close())
	}
	if f.p != nil {
		err = errors.Join(err, f.p.Close())
	}
	if f.cache != nil && f.cache != f.o.Cache {
		err = errors.Join(err, f.cache.Close())
	}
	remove := f.temp != "" && (f.lock == nil || !f.cache.HasPartial())
	var left error
	if remove {
		left = os.RemoveAll(f.temp)
	}
	if f.lock != nil {
		err = errors.Join(err, fsx.CloseLocked(f.lock))
		if remove && left != nil { // some systems keep a file that is open
			left = os.RemoveAll(f.temp)
		}
	}
	err = errors.Join(err, left)
	return err
}

// openFolder opens a folder of this machine where it is.
func (f *Foreign) openFolder(ctx context.Context, dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	root, err := FindRoot(dir)
	if err != nil {
		root = dir // a Git repository without DVC, or a plain folder
	}
	repo, gitErr := gitops.OpenWith(root, gitops.Options{Env: lookup(f.o.Env), Now: f.o.Now})
	if err != nil && gitErr == nil {
		root = repo.Root()
	}
	if gitErr != nil && f.o.Rev != "" {
		return gitErr
	}
	if gitErr == nil {
		rev := f.o.Rev
		if rev == "" {
			rev = "HEAD"
		}
		f.Commit, err = repo.Resolve(rev)
		if err != nil && f.o.Rev != "" {
			return err
		}
	}
	if err := f.project(root, repo, gitErr == nil, nil); err != nil {
		return err
	}
	if f.o.Rev == "" {
		f.src, f.files = f.p.WorkTree(), os.DirFS(root)
		return nil
	}
	return f.atCommit()
}

// openCopy brings a copy of the repository at url up to date and opens it.
func (f *Foreign) openCopy(ctx context.Context, url string) error {
	name := sha256.Sum256([]byte(url))
	dir := filepath.Join(f.o.CloneDir, hex.EncodeToString(name[:12]))
	have := func(r *gitops.Repo) bool { // a commit by its full name never changes
		hash, err := r.Resolve(f.o.Rev)
		return err == nil && hash == f.o.Rev
	}
	repo, err := gitops.Mirror(ctx, gitops.MirrorOptions{URL: url, Dir: dir, Env: f.o.Env, Have: have}, gitops.Options{Env: lookup(f.o.Env), Now: f.o.Now})
	if err != nil {
		return err
	}
	if f.Commit, err = repo.RemoteRevision(f.o.Rev); err != nil {
		return err
	}
	tree, err := repo.Tree(f.Commit)
	if err != nil {
		return err
	}
	if err := f.project(dir, repo, true, func() ([]byte, error) { return tree.ReadFile(".dvc/config") }); err != nil {
		return err
	}
	return f.atCommit()
}

func (f *Foreign) atCommit() error {
	tree, err := f.p.Git.Tree(f.Commit)
	if err != nil {
		return err
	}
	f.prefix = f.p.gitPrefix
	f.files = tree
	f.src, err = newGitTree(tree, f.prefix)
	return err
}

// project makes the Project through which the repository is read.
func (f *Foreign) project(root string, repo *gitops.Repo, hasGit bool, config func() ([]byte, error)) (err error) {
	p := &Project{Root: root, Dir: ".", args: f.o.Args, env: f.o.Env, now: f.o.Now, sink: f.o.Sink, locks: map[string]*lockFile{}}
	if p.Config, err = settings.ReadDVC(settings.Options{Root: root, Env: lookup(f.o.Env), RepoConfig: config}); err != nil {
		return err
	}
	if err := p.Config.Validate(); err != nil {
		return err
	}
	if hasGit {
		p.Git = repo
		prefix, err := filepath.Rel(repo.Root(), root)
		if err != nil {
			return err
		}
		p.gitPrefix = filepath.ToSlash(prefix)
	}
	f.p = p
	return p.openCache()
}

// reading is the cache that data which is read is put into, made when it is first
// needed.
func (f *Foreign) reading() (_ *storage.Cache, err error) {
	if f.cache == nil {
		f.cache = f.o.Cache
	}
	if f.cache != nil {
		return f.cache, nil
	}
	if f.temp, err = os.MkdirTemp("", "ctrx-read-"); err != nil {
		return nil, fsx.FullDisk(err)
	}
	f.cache = storage.OpenCache(f.temp, storage.CacheOptions{Sink: f.o.Sink})
	return f.cache, nil
}

// readBeside lets what is read of a path wait beside to, the place it will have,
// so that after a dropped connection or a kill the same call goes on with it. Where
// another process does the same at this moment, nothing changes.
func (f *Foreign) readBeside(to, rel string) error {
	if f.cache != nil || f.o.Cache != nil {
		return nil
	}
	name := sha256.Sum256([]byte(f.o.URL + "\n" + rel))
	dir := filepath.Join(filepath.Dir(to), getPrefix+hex.EncodeToString(name[:8]))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fsx.FullDisk(err)
	}
	if ours, err := fsx.LockOpen(lock); !ours || err != nil {
		return errors.Join(err, lock.Close())
	}
	f.lock, f.temp = lock, dir
	f.cache = storage.OpenCache(dir, storage.CacheOptions{Sink: f.o.Sink})
	return nil
}

// findStores lists where the data may be: for a folder of this machine its cache,
// then the remote that it names.
func (f *Foreign) findStores(ctx context.Context) error {
	if _, err := os.Stat(f.p.Cache.Dir()); err == nil {
		f.stores = append(f.stores, local.Open(f.p.Cache.Dir(), local.Options{}))
	}
	name := f.o.Remote
	if name == "" {
		name, _ = f.p.Config.DefaultRemote()
	}
	if name == "" {
		return nil
	}
	b, err := f.openStore(ctx, name)
	if err == nil {
		f.stores = append(f.stores, b)
	}
	if f.o.Remote == "" && err != nil && len(f.stores) > 0 {
		return nil // the cache may have all that is wanted
	}
	return err
}

func (f *Foreign) openStore(ctx context.Context, name string) (storage.Backend, error) {
	if f.o.ConfigFile == "" && len(f.o.RemoteConfig) == 0 {
		b, _, err := f.p.openRemote(ctx, name)
		return b, err
	}
	return f.p.openRemoteWith(ctx, name, f.o.RemoteConfig, f.o.ConfigFile)
}

// index reads the stage files, once. A repository without DVC has none.
func (f *Foreign) index(ctx context.Context) (*Index, error) {
	if f.ix != nil {
		return f.ix, nil
	}
	ix, err := f.p.LoadIndex(ctx, f.src)
	f.ix = ix
	return ix, err
}

// readDir reads the list of a folder output, from wherever it is. It goes into
// the cache that reading uses.
func (f *Foreign) readDir(ctx context.Context, e *dvcfile.Entry) (storage.DirObject, error) {
	if dir, err := f.p.cacheOf(e).ReadDir(ctx, e.Digest); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	cache, err := f.cacheOf(e)
	if err != nil {
		return nil, err
	}
	if dir, err := cache.ReadDir(ctx, e.Digest); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	for _, b := range f.stores {
		var text bytes.Buffer
		err := b.Get(ctx, cache.Algorithm().Key(e.Digest), &text)
		if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := cache.Put(ctx, e.Digest, &text); err != nil {
			return nil, err
		}
		return cache.ReadDir(ctx, e.Digest)
	}
	return nil, f.missing(e.Digest)
}

func (f *Foreign) missing(d storage.Digest) error {
	return errs.Hint(errs.New(errs.DataMissing, "the object %s is neither in the cache of '%s' nor on its remote", d, f.o.URL),
		"in that repository: ctrx push, or name another of its remotes: --remote NAME")
}

func (f *Foreign) cacheOf(e *dvcfile.Entry) (*storage.Cache, error) {
	cache, err := f.reading()
	if err == nil && e.Hash == "" {
		cache = cache.Legacy()
	}
	return cache, err
}

// fetch brings an object, for a folder with all that is in it, into the cache
// that reading uses.
func (f *Foreign) fetch(ctx context.Context, e *dvcfile.Entry) (*storage.Cache, error) {
	cache, err := f.cacheOf(e)
	if err != nil {
		return nil, err
	}
	for _, b := range f.stores {
		if have, err := cache.HasTree(ctx, e.Digest); have || err != nil {
			return cache, err
		}
		_, err := storage.Fetch(ctx, storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{e.Digest}, Sink: f.o.Sink})
		if kind := errs.KindOf(err); err != nil && kind != errs.DataMissing && kind != errs.NotFound {
			return nil, err
		}
	}
	missing, err := cache.Missing(ctx, e.Digest)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, f.missing(missing[0].Digest)
	}
	return cache, nil
}

// cleanForeign makes a path inside of a repository out of what the user wrote.
func cleanForeign(p string) (string, error) {
	p = path.Clean(strings.TrimLeft(filepath.ToSlash(p), "/"))
	if !fs.ValidPath(p) {
		return "", errs.New(errs.Usage, "'%s' is not a path inside the repository", p)
	}
	return p, nil
}

// openRemoteWith opens a remote with options over those that are configured:
// first those of a config file, then single ones.
func (p *Project) openRemoteWith(ctx context.Context, name string, options map[string]string, file string) (storage.Backend, error) {
	config, err := p.Config.Remote(name)
	merged := map[string]string{}
	for k, v := range config {
		merged[k] = v
	}
	if file != "" {
		over, fileErr := settings.ReadDVC(settings.Options{Root: p.Root, Env: func(string) string { return os.DevNull }, RepoConfig: func() ([]byte, error) { return os.ReadFile(file) }})
		if fileErr != nil {
			return nil, fileErr
		}
		if extra, extraErr := over.Remote(name); extraErr == nil {
			for k, v := range extra {
				merged[k] = v
			}
		}
	}
	for k, v := range options {
		merged[k] = v
	}
	if merged["url"] == "" {
		return nil, err
	}
	return remote.Open(ctx, name, merged, filepath.Join(p.Root, ".dvc"), p.access())
}
