package remote

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Listed is a file or folder below a Place.
type Listed struct {
	Path  string // slash separated, relative to the place
	IsDir bool
	Size  int64 // bytes; of a folder what the system says; -1: a web server does not tell
	Alone bool  // the place itself, which is a file; Path is its full path
}

// List lists what lies below the place; level limits how deep, 0 is no limit. A
// file gives itself, by its full path, and so does a web address that is there: web
// servers do not list, and what they show of a folder is a page like others.
func (p Place) List(ctx context.Context, acc Access, recursive bool, level int) ([]Listed, error) {
	if dir := p.Local(acc.Env); dir != "" {
		return listLocal(ctx, dir, recursive, level)
	}
	if p.isWeb() {
		return p.listWeb(ctx, acc)
	}
	b, key, err := p.store(ctx, acc)
	if err != nil {
		return nil, err
	}
	defer closeStore(b)
	if key != "" {
		size, err := b.Stat(ctx, key)
		switch {
		case err == nil:
			_, full, _ := strings.Cut(p.URL, "://")
			return []Listed{{Path: full, Size: size, Alone: true}}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	files, err := members(ctx, b, key)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errs.New(errs.NotFound, "The path '%s' does not exist", p.URL)
	}
	if !recursive {
		level = 1
	}
	var out []Listed
	seen := map[string]bool{}
	for _, f := range files {
		parts := strings.Split(f.Path, "/")
		if level > 0 && len(parts) > level {
			f = Listed{Path: strings.Join(parts[:level], "/"), IsDir: true}
		}
		if !seen[f.Path] {
			seen[f.Path] = true
			out = append(out, f)
		}
	}
	return out, nil
}

func (p Place) listWeb(ctx context.Context, acc Access) ([]Listed, error) {
	client, u, err := p.web(acc)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	page, err := client.Describe(ctx, u)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NotFound, "The path '%s' does not exist", p.URL)
	}
	if err != nil {
		return nil, err
	}
	return []Listed{{Path: p.URL, Size: page.Size, Alone: true}}, nil
}

func listLocal(ctx context.Context, dir string, recursive bool, level int) ([]Listed, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, errs.New(errs.NotFound, "The path '%s' does not exist", dir)
	}
	if !info.IsDir() {
		return []Listed{{Path: filepath.ToSlash(dir), Size: info.Size(), Alone: true}}, nil
	}
	if !recursive {
		level = 1
	}
	var out []Listed
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if name == dir {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		l := Listed{Path: filepath.ToSlash(rel), IsDir: d.IsDir()}
		deepest := level > 0 && strings.Count(l.Path, "/")+1 >= level
		if info, err := d.Info(); err == nil {
			l.Size = info.Size()
		}
		if !d.IsDir() || deepest {
			out = append(out, l)
		}
		if d.IsDir() && deepest {
			return fs.SkipDir
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.Path, b.Path) })
	return out, err
}
