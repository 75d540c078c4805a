package gitops

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Untracked lists the files that are neither in the index nor ignored, relative
// to the root, sorted. Repositories within this one are not looked into.
func (r *Repo) Untracked(ctx context.Context) ([]string, error) {
	x, err := r.readIndex()
	if err != nil {
		return nil, err
	}
	var found []string
	err = filepath.WalkDir(r.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if name == r.root {
			return nil
		}
		rel, err := filepath.Rel(r.root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == ".git" || r.Ignored(rel, true) && !x.has(rel) {
				return fs.SkipDir
			}
			if _, err := os.Lstat(filepath.Join(name, ".git")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !r.Ignored(rel, false) && !x.has(rel) {
			found = append(found, rel)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list untracked files: %w", err)
	}
	slices.Sort(found)
	return found, nil
}
