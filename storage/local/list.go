package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/internal/fsx"
	"ctrx/storage"
)

// List gives the objects whose key begins with prefix. One that is not whole is
// left out: storing it again mends it.
func (b *Backend) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		r, err := b.open(false)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(storage.Object{}, fmt.Errorf("list %s: %w", filepath.Join(b.dir, prefix), err))
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
		l := lister{ctx: ctx, b: b, root: r, prefix: prefix, yield: yield}
		if err := l.walk(top); err != nil {
			yield(storage.Object{}, fmt.Errorf("list %s: %w", filepath.Join(b.dir, prefix), notDirIsMissing(kind(err))))
		}
	}
}

type lister struct {
	ctx    context.Context
	b      *Backend
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
		ok, err := l.b.whole(l.ctx, l.root, key, info.Mode())
		if err != nil {
			return err
		}
		if ok && !l.yield(storage.Object{Key: key, Size: info.Size()}, nil) {
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
