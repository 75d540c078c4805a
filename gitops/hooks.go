package gitops

import (
	"context"
	"path/filepath"
	"strings"
)

// HooksDir is the folder where Git looks for hooks: core.hooksPath, or the
// hooks folder of the repository. It may not exist yet.
func (r *Repo) HooksDir(ctx context.Context) (string, error) {
	out, err := r.git(ctx, nil, "rev-parse", "--git-path", "hooks")
	if err != nil {
		return "", needGit(err, "finding the hooks folder")
	}
	dir := filepath.FromSlash(strings.TrimRight(string(out), "\r\n"))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(r.root, dir)
	}
	return dir, nil
}

// SetConfig sets a value ("merge.dvc.driver") in the repository's own
// configuration.
func (r *Repo) SetConfig(ctx context.Context, key, value string) error {
	_, err := r.git(ctx, nil, "config", "--local", key, value)
	return needGit(err, "setting "+key)
}
