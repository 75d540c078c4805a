package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Remove removes the file or folder at path from the workspace below root: the
// files that t lists, and the folders that this leaves empty. Other files, such
// as ignored ones, stay. What is gone already is no error.
func (c *Cache) Remove(ctx context.Context, path, root string, t Tree) error {
	if err := c.remove(ctx, path, root, t); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

func (c *Cache) remove(ctx context.Context, path, root string, t Tree) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	ws, base, err := openWorkspace(root, abs)
	if err != nil {
		return err
	}
	defer ws.Close()
	if err := checkOutputName(ws, base); err != nil {
		return err
	}
	if !t.IsDir() {
		return ws.Remove(base)
	}
	folders := map[string]struct{}{"": {}}
	for _, e := range t.Dir {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := ws.Remove(join(base, e.RelPath)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for p := parentOf(e.RelPath); p != ""; p = parentOf(p) {
			folders[p] = struct{}{}
		}
	}
	names := make([]string, 0, len(folders))
	for name := range folders {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return comparePaths(b, a) })
	for _, name := range names {
		_ = ws.Remove(join(base, name)) // one with other files stays
	}
	return nil
}
