package gitops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ctrx/internal/fsx"
)

// WorkTrees lists the folders of the repository's other work trees, as `git
// worktree list` does: the main one and those linked to it, without this one.
// One whose folder is gone is left out, and so is one that is being made.
func (r *Repo) WorkTrees() ([]string, error) {
	var all []string
	if filepath.Base(r.commonDir) == ".git" {
		all = append(all, filepath.Dir(r.commonDir))
	}
	admins, err := os.ReadDir(filepath.Join(r.commonDir, "worktrees"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list work trees: %w", err)
	}
	for _, admin := range admins {
		dir := filepath.Join(r.commonDir, "worktrees", admin.Name())
		if _, err := os.Lstat(filepath.Join(dir, linkedMark)); err == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "gitdir"))
		if fsx.Missing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list work trees: %w", err)
		}
		file := filepath.FromSlash(strings.TrimSpace(string(data)))
		if !filepath.IsAbs(file) { // Git can be told to write them so
			file = filepath.Join(dir, file)
		}
		all = append(all, filepath.Dir(file))
	}
	var others []string
	own, err := os.Stat(r.root)
	if err != nil {
		return nil, err
	}
	for _, dir := range all {
		info, err := os.Stat(dir)
		if err != nil || os.SameFile(info, own) {
			continue
		}
		others = append(others, dir)
	}
	return others, nil
}
