package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
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
	temp   string            // folder to remove in the end
	ix     *Index
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
	if err == nil && info.IsDir() {
		err = f.openFolder(ctx, dir)
	} else {
		err = f.openCopy(ctx)
	}
	if err == nil {
		err = f.findStores(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close lets go of the repository.
func (f *Foreign) Close() error {
	var err error
	if f.p != nil {
		err = f.p.Close()
	}
	if f.cache != nil && f.cache != f.o.Cache {
		err = errors.Join(err, f.cache.Close())
	}
	if f.temp != "" {
		err = errors.Join(err, os.RemoveAll(f.temp))
	}
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

// openCopy brings a copy of a repository up to date and opens it.
func (f *Foreign) openCopy(ctx context.Context) error {
	name := sha256.Sum256([]byte(f.o.URL))
	dir := filepath.Join(f.o.CloneDir, hex.EncodeToString(name[:12]))
	have := func(r *gitops.Repo) bool { // a commit by its full name never changes
		hash, err := r.Resolve(f.o.Rev)
		return err == nil && hash == f.o.Rev
	}
	repo, err := gitops.Mirror(ctx, gitops.MirrorOptions{URL: f.o.URL, Dir: dir, Env: f.o.Env, Have: have}, gitops.Options{Env: lookup(f.o.Env), Now: f.o.Now})
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
		return nil, err
	}
	f.cache = storage.OpenCache(f.temp, storage.CacheOptions{Sink: f.o.Sink})
	return f.cache, nil
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

// Fetched is data of another repository that lies in a cache, or in a folder.
type Fetched struct {
	Tree   storage.Tree
	Legacy bool
	Cache  *storage.Cache
}

// Fetch brings a path of the repository, tracked by DVC or by Git, into the
// cache that reading uses.
func (f *Foreign) Fetch(ctx context.Context, rel string) (Fetched, error) {
	rel, err := cleanForeign(rel)
	if err != nil {
		return Fetched{}, err
	}
	ix, err := f.index(ctx)
	if err != nil {
		return Fetched{}, err
	}
	for _, s := range ix.Stages {
		for _, out := range s.Outs {
			if out.Cache && out.Recorded != nil && out.Recorded.Digest != "" && inside(rel, out.Rel) {
				return f.fetchOutput(ctx, out, strings.TrimPrefix(strings.TrimPrefix(rel, out.Rel), "/"))
			}
		}
	}
	return f.fetchFiles(ctx, ix, rel)
}

func (f *Foreign) fetchOutput(ctx context.Context, out *Output, below string) (Fetched, error) {
	e := *out.Recorded
	got := Fetched{Legacy: e.Hash == "", Tree: storage.Tree{Digest: e.Digest, Meta: e.Meta}}
	if below != "" {
		dir, err := f.readDir(ctx, &e)
		if err != nil {
			return got, err
		}
		part, err := partOf(dir, below)
		if err != nil {
			return got, errs.New(errs.NotFound, "'%s/%s' does not exist in '%s'", out.Rel, below, f.o.URL)
		}
		got.Tree = part
		if part.IsDir() { // no such folder is recorded: it is one of our own
			for _, m := range part.Dir {
				if got.Cache, err = f.fetch(ctx, &dvcfile.Entry{Hash: e.Hash, Digest: m.MD5}); err != nil {
					return got, err
				}
			}
			return got, got.Cache.Put(ctx, part.Digest, bytes.NewReader(part.Dir.Encode()))
		}
		e.Digest = part.Digest
	}
	cache, err := f.fetch(ctx, &e)
	if err != nil {
		return got, err
	}
	got.Cache = cache
	if got.Tree.IsDir() {
		got.Tree.Dir, err = cache.ReadDir(ctx, e.Digest)
		got.Tree.NFiles = len(got.Tree.Dir)
	}
	return got, err
}

// partOf gives the file or folder below a path of a folder.
func partOf(dir storage.DirObject, below string) (storage.Tree, error) {
	if d, err := dir.Find(below); err == nil {
		return storage.Tree{Digest: d}, nil
	}
	var part storage.Tree
	for _, e := range dir {
		if rel, ok := strings.CutPrefix(e.RelPath, below+"/"); ok {
			part.Dir = append(part.Dir, storage.DirEntry{MD5: e.MD5, RelPath: rel})
		}
	}
	if len(part.Dir) == 0 {
		return part, fs.ErrNotExist
	}
	part.Dir.Sort()
	part.NFiles = len(part.Dir)
	part.Digest = part.Dir.Digest()
	return part, nil
}

// fetchFiles takes what the repository itself holds at a path, and the outputs
// below it, into the cache.
func (f *Foreign) fetchFiles(ctx context.Context, ix *Index, rel string) (Fetched, error) {
	cache, err := f.reading()
	if err != nil {
		return Fetched{}, err
	}
	got := Fetched{Cache: cache}
	tree, err := f.tree(ctx, ix, true)
	if err != nil {
		return got, err
	}
	node, ok := tree.nodes[rel]
	if !ok {
		return got, errs.New(errs.NotFound, "'%s' does not exist in '%s'", rel, f.o.URL)
	}
	if !node.isDir {
		got.Tree, err = f.storeFile(ctx, rel)
		return got, err
	}
	for at, n := range tree.nodes {
		if n.isDir || !inside(at, rel) {
			continue
		}
		d := n.digest
		if n.isOut {
			if n.legacy {
				return got, errs.Hint(errs.New(errs.Failed, "'%s' holds data that DVC 2 tracked, which cannot be read as part of a larger folder", rel), "name that data itself: %s", at)
			}
			_, err = f.fetch(ctx, &dvcfile.Entry{Hash: "md5", Digest: d})
		} else {
			var t storage.Tree
			t, err = f.storeFile(ctx, at)
			d = t.Digest
			got.Tree.Size += t.Size
		}
		if err != nil {
			return got, err
		}
		got.Tree.Dir = append(got.Tree.Dir, storage.DirEntry{MD5: d, RelPath: relFrom(rel, at)})
	}
	got.Tree.Dir.Sort()
	got.Tree.NFiles, got.Tree.Digest = len(got.Tree.Dir), got.Tree.Dir.Digest()
	return got, cache.Put(ctx, got.Tree.Digest, bytes.NewReader(got.Tree.Dir.Encode()))
}

// storeFile puts a file of the repository into the cache.
func (f *Foreign) storeFile(ctx context.Context, rel string) (storage.Tree, error) {
	data, err := fs.ReadFile(f.files, path.Join(f.prefix, rel))
	if err != nil {
		return storage.Tree{}, fmt.Errorf("read '%s' of '%s': %w", rel, f.o.URL, err)
	}
	t := storage.Tree{Digest: storage.DigestOf(data), Meta: storage.Meta{Size: int64(len(data))}}
	return t, f.cache.Put(ctx, t.Digest, bytes.NewReader(data))
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
