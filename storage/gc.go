package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// StoredObject is an object that lies in a cache or in the trash.
type StoredObject struct {
	Digest Digest
	Path   string // absolute
	Size   int64  // bytes
}

// Unused lists the objects that keep does not name: directory objects first, so
// that no list of files outlives its members, each part by digest. A cache that
// was never written to has none.
func (c *Cache) Unused(ctx context.Context, keep func(Digest) bool) ([]StoredObject, error) {
	tops, err := os.ReadDir(c.objectsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the cache: %w", err)
	}
	var found []StoredObject
	for _, top := range tops {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if !top.IsDir() || len(top.Name()) != 2 {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(c.objectsDir(), top.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dvc removes empty ones
		}
		if err != nil {
			return nil, fmt.Errorf("list the cache: %w", err)
		}
		for _, e := range entries {
			d := Digest(top.Name() + e.Name())
			if !d.Valid() || !e.Type().IsRegular() || keep(d) {
				continue
			}
			o := StoredObject{Digest: d, Path: c.Path(d)}
			if info, err := e.Info(); err == nil {
				o.Size = info.Size()
			}
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b StoredObject) int {
		switch {
		case a.Digest.IsDir() && !b.Digest.IsDir():
			return -1
		case b.Digest.IsDir() && !a.Digest.IsDir():
			return 1
		}
		return strings.Compare(string(a.Digest), string(b.Digest))
	})
	return found, nil
}

// Delete removes objects for good, in the order given. One that is gone already
// is no error.
func (c *Cache) Delete(ctx context.Context, objects []StoredObject) error {
	for _, o := range objects {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := os.Remove(o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove from the cache: %w", err)
		}
	}
	return nil
}

// Trash keeps removed objects for a while. Each removal has a folder of its own,
// named by its time, in which objects lie by algorithm and digest: no name in it
// looks like an object of a cache to DVC, wherever the trash is.
type Trash struct {
	dirs []string // where folders may be; the first that a rename reaches is used
}

// trashTime is the layout of the folders' names; it sorts by time.
const trashTime = "20060102T150405.000000000Z"

// OpenTrash makes a Trash of folders that need not exist. An object is moved by
// renaming, so a folder on another file system than the cache takes none.
func OpenTrash(dirs ...string) *Trash { return &Trash{dirs: dirs} }

// Add moves objects of a cache into the trash, in the order given.
func (t *Trash) Add(ctx context.Context, c *Cache, objects []StoredObject, now time.Time) error {
	if len(objects) == 0 {
		return nil
	}
	var last error
	for _, dir := range t.dirs {
		batch := filepath.Join(dir, now.UTC().Format(trashTime), string(c.alg))
		if last = os.MkdirAll(batch, 0o777); last != nil {
			continue
		}
		// The first object shows whether the folder can be reached at all.
		if last = moveToTrash(objects[0], batch); last != nil {
			os.Remove(batch)
			os.Remove(filepath.Dir(batch))
			continue
		}
		for _, o := range objects[1:] {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := moveToTrash(o, batch); err != nil {
				return fmt.Errorf("move to the trash: %w", err)
			}
		}
		return nil
	}
	return errs.Hint(fmt.Errorf("move to the trash: %w", last), "ctrx gc --purge deletes at once, without a trash")
}

func moveToTrash(o StoredObject, batch string) error {
	err := os.Rename(o.Path, filepath.Join(batch, string(o.Digest)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Quarantine moves damaged objects of a cache into a new folder below the first
// of dirs that a rename reaches, and gives that folder. Nothing empties it.
func Quarantine(ctx context.Context, c *Cache, objects []StoredObject, now time.Time, dirs ...string) (string, error) {
	if err := OpenTrash(dirs...).Add(ctx, c, objects, now); err != nil {
		return "", errs.Hint(fmt.Errorf("quarantine of damaged objects: %w", err), "check the owner of the folders %s", strings.Join(dirs, " and "))
	}
	for _, dir := range dirs {
		batch := filepath.Join(dir, now.UTC().Format(trashTime))
		if _, err := os.Stat(batch); err == nil {
			return batch, nil
		}
	}
	return "", errs.New(errs.Failed, "the damaged objects were removed meanwhile")
}

// trashed is one folder of the trash.
type trashed struct {
	dir  string
	when time.Time
}

func (t *Trash) batches() ([]trashed, error) {
	var all []trashed
	for _, dir := range t.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the trash: %w", err)
		}
		for _, e := range entries {
			if when, err := time.Parse(trashTime, e.Name()); err == nil && e.IsDir() {
				all = append(all, trashed{filepath.Join(dir, e.Name()), when})
			}
		}
	}
	return all, nil
}

// Empty deletes what was removed before a time.
func (t *Trash) Empty(ctx context.Context, before time.Time) (objects int, err error) {
	batches, err := t.batches()
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		if ctx.Err() != nil {
			return objects, context.Cause(ctx)
		}
		if !b.when.Before(before) {
			continue
		}
		for _, alg := range []Algorithm{MD5, MD5Dos2Unix} {
			entries, _ := os.ReadDir(filepath.Join(b.dir, string(alg)))
			objects += len(entries)
		}
		if err := os.RemoveAll(b.dir); err != nil {
			return objects, fmt.Errorf("empty the trash: %w", err)
		}
	}
	return objects, nil
}

// Restore moves everything in the trash back into the cache: files first, then
// directory objects. What the cache has again stays as it is there.
func (t *Trash) Restore(ctx context.Context, c *Cache) (objects int, err error) {
	batches, err := t.batches()
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		for _, cache := range []*Cache{c, c.Legacy()} {
			n, err := cache.takeBack(ctx, filepath.Join(b.dir, string(cache.alg)))
			objects += n
			if err != nil {
				return objects, fmt.Errorf("restore from the trash: %w", err)
			}
		}
		if err := os.RemoveAll(b.dir); err != nil {
			return objects, fmt.Errorf("restore from the trash: %w", err)
		}
	}
	return objects, nil
}

func (c *Cache) takeBack(ctx context.Context, dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for _, wantDir := range []bool{false, true} {
		for _, e := range entries {
			d := Digest(e.Name())
			if !d.Valid() || d.IsDir() != wantDir {
				continue
			}
			if ctx.Err() != nil {
				return n, context.Cause(ctx)
			}
			to := c.Path(d)
			if have, err := c.Has(ctx, d); err != nil {
				return n, err
			} else if have { // a damaged one is replaced
				continue
			}
			if err := c.makeDir(filepath.Dir(to)); err != nil {
				return n, fsx.FullDisk(err)
			}
			if err := os.Rename(filepath.Join(dir, e.Name()), to); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// UnusedRemote lists the keys of a remote's objects of one algorithm that keep
// does not name, directory objects first. Objects of the other layout, the run
// cache and foreign files are none of them.
func UnusedRemote(ctx context.Context, b Backend, alg Algorithm, keep func(Digest) bool) ([]string, error) {
	prefix := ""
	if alg == MD5 {
		prefix = "files/md5/"
	}
	var dirs, files []string
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		d, ok := keyDigest(strings.TrimPrefix(o.Key, prefix))
		switch {
		case !ok || keep(d):
		case d.IsDir():
			dirs = append(dirs, o.Key)
		default:
			files = append(files, o.Key)
		}
	}
	slices.Sort(dirs)
	slices.Sort(files)
	return append(dirs, files...), nil
}

// keyDigest reads <2 digits>/<rest>.
func keyDigest(key string) (Digest, bool) {
	if len(key) < 3 || key[2] != '/' {
		return "", false
	}
	d := Digest(key[:2] + key[3:])
	return d, d.Valid()
}
