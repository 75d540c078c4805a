package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// MergeOptions are what Git tells a merge driver.
type MergeOptions struct {
	Ancestor, Our, Their string // files; Our also receives the result
	Path                 string // name of the merged file in the work tree; "" when Git did not say
	Open                 OpenOptions
}

// MergeDriver merges three versions of a dvc.lock or .dvc file into the one
// named Our. A conflict is an error, with both versions in the file between
// Git's marks.
//
// The project is opened for one thing only, folders that both sides changed:
// a merge may have left its configuration unreadable, too.
func MergeDriver(ctx context.Context, o MergeOptions) error {
	v := dvcfile.Versions{File: o.Path}
	if v.File == "" {
		v.File = "the merged file"
	}
	for _, side := range []struct {
		file string
		data *[]byte
	}{{o.Ancestor, &v.Base}, {o.Our, &v.Ours}, {o.Their, &v.Theirs}} {
		name := side.file
		if !filepath.IsAbs(name) {
			name = filepath.Join(o.Open.Dir, name)
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.NotFound, "merge %s: %s does not exist", v.File, side.file)
		}
		if err != nil {
			return fmt.Errorf("merge %s: %w", v.File, err)
		}
		*side.data = data
	}
	var merged dvcfile.Merged
	if path.Base(o.Path) == "dvc.lock" || o.Path == "" && dvcfile.IsLock(v.Base, v.Ours, v.Theirs) {
		merged = dvcfile.MergeLock(v)
	} else {
		merged = dvcfile.MergeDataFile(v, func(base, ours, theirs dvcfile.Entry) (dvcfile.Entry, error) {
			return mergeFolders(ctx, o, base, ours, theirs)
		})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	our := o.Our
	if !filepath.IsAbs(our) {
		our = filepath.Join(o.Open.Dir, our)
	}
	if err := fsx.WriteFile(our, merged.Data, 0o666); err != nil {
		return fmt.Errorf("merge %s: %w", v.File, err)
	}
	if len(merged.Conflicts) == 0 {
		return nil
	}
	next := "ctrx checkout"
	if path.Base(v.File) == "dvc.lock" {
		next = "ctrx repro"
	}
	return errs.Hint(errs.New(errs.Failed, "merge %s: conflict in %s", v.File, strings.Join(merged.Conflicts, "; ")),
		"keep one of the two versions in the file, or: git checkout --ours %s (or --theirs); then: %s", v.File, next)
}

// mergeFolders merges two versions of a tracked folder file by file and puts
// the new directory object into the cache.
func mergeFolders(ctx context.Context, o MergeOptions, base, ours, theirs dvcfile.Entry) (dvcfile.Entry, error) {
	open := o.Open
	open.Dir = existingFolder(open.Dir, path.Dir(filepath.ToSlash(o.Path)))
	p, err := Open(ctx, open)
	if err != nil {
		return dvcfile.Entry{}, err
	}
	defer p.Close()
	cache := p.Cache
	if ours.Hash == "" {
		cache = cache.Legacy()
	}
	var dirs [3]storage.DirObject
	for i, e := range []dvcfile.Entry{base, ours, theirs} {
		if e.Digest == "" {
			continue
		}
		if dirs[i], err = cache.ReadDir(ctx, e.Digest); errors.Is(err, fs.ErrNotExist) {
			return dvcfile.Entry{}, fmt.Errorf("its files cannot be compared, since %s is not in the cache (`ctrx fetch --all-commits` brings it, then merge again)", e.Digest)
		} else if err != nil {
			return dvcfile.Entry{}, err
		}
	}
	merged, err := mergeDir(dirs[0], dirs[1], dirs[2])
	if err != nil {
		return dvcfile.Entry{}, err
	}
	if err := cache.Put(ctx, merged.Digest(), bytes.NewReader(merged.Encode())); err != nil {
		return dvcfile.Entry{}, err
	}
	e := dvcfile.NewEntry(ours.Path, merged.Digest(), storage.Meta{NFiles: len(merged)})
	e.Hash = ours.Hash
	e.Meta.Size, e.HasSize = sizeOf(cache, merged)
	return e, nil
}

// existingFolder is the folder that a path of the work tree is in, or the
// nearest one above it that exists: a merge may be about to make it.
func existingFolder(root, rel string) string {
	for dir := filepath.Join(root, filepath.FromSlash(rel)); dir != root; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return root
}

// sizeOf sums the sizes of the files, unless one is not in the cache.
func sizeOf(cache *storage.Cache, dir storage.DirObject) (size int64, known bool) {
	for _, e := range dir {
		info, err := os.Stat(cache.Path(e.MD5))
		if err != nil {
			return 0, false
		}
		size += info.Size()
	}
	return size, true
}

// mergeDir merges three versions of a folder: a file that one side added,
// changed or deleted is taken from that side.
func mergeDir(base, ours, theirs storage.DirObject) (storage.DirObject, error) {
	mine := map[string]storage.Digest{}
	for _, c := range storage.DiffDir(base, ours) {
		mine[c.RelPath] = c.New
	}
	merged := map[string]storage.Digest{}
	for _, e := range ours {
		merged[e.RelPath] = e.MD5
	}
	var conflicts []string
	for _, c := range storage.DiffDir(base, theirs) {
		switch our, both := mine[c.RelPath]; {
		case both && our != c.New:
			conflicts = append(conflicts, c.RelPath)
		case c.New == "":
			delete(merged, c.RelPath)
		default:
			merged[c.RelPath] = c.New
		}
	}
	out := storage.DirObject{}
	for rel, md5 := range merged {
		if dir := folderInTheWay(merged, rel); dir != "" {
			conflicts = append(conflicts, dir+" (a file on one side, a folder on the other)")
		}
		out = append(out, storage.DirEntry{MD5: md5, RelPath: rel})
	}
	if len(conflicts) > 0 {
		slices.Sort(conflicts)
		return nil, fmt.Errorf("both sides changed these files of it: %s", strings.Join(slices.Compact(conflicts), ", "))
	}
	out.Sort()
	return out, nil
}

// folderInTheWay gives the folder of rel that is also a file, or "".
func folderInTheWay(files map[string]storage.Digest, rel string) string {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if _, ok := files[dir]; ok {
			return dir
		}
	}
	return ""
}
