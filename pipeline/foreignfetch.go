package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

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
	if err == nil {
		f, rel, err = f.within(ctx, rel)
	}
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
				got.Tree.Size += sizeIn(got.Cache, m.MD5)
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
	if below != "" {
		got.Tree.Size = sizeIn(cache, e.Digest)
	}
	if got.Tree.IsDir() {
		got.Tree.Dir, err = cache.ReadDir(ctx, e.Digest)
		got.Tree.NFiles = len(got.Tree.Dir)
	}
	return got, err
}

// sizeIn is the size in bytes of an object that was just fetched: the list of a
// folder does not have the sizes of its files.
func sizeIn(c *storage.Cache, d storage.Digest) int64 {
	info, err := os.Stat(c.Path(d))
	if err != nil {
		return 0
	}
	return info.Size()
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
