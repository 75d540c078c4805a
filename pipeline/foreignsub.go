package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// within finds the DVC project that a path of the repository belongs to: the
// deepest one at or above it, as in DVC. It gives that project, and the path in
// it. The repository itself closes it.
func (f *Foreign) within(ctx context.Context, rel string) (*Foreign, string, error) {
	for dir := rel; dir != "." && dir != ""; dir = path.Dir(dir) {
		info, err := fs.Stat(f.files, path.Join(f.prefix, dir, ".dvc"))
		if err != nil || !info.IsDir() {
			continue
		}
		sub := f.subs[dir]
		if sub == nil {
			if sub, err = f.subproject(ctx, dir); err != nil {
				return nil, "", err
			}
		}
		return sub, relFrom(dir, rel), nil
	}
	return f, rel, nil
}

// subproject opens the project in a folder of the repository.
func (f *Foreign) subproject(ctx context.Context, dir string) (*Foreign, error) {
	cache, err := f.reading()
	if err != nil {
		return nil, err
	}
	sub := &Foreign{Commit: f.Commit, o: f.o, cache: cache, prefix: "."}
	sub.o.Cache = cache // it is not the project's to close
	root := filepath.Join(f.p.Root, filepath.FromSlash(dir))
	live := f.live()
	var config func() ([]byte, error)
	if !live {
		config = func() ([]byte, error) { return fs.ReadFile(f.files, path.Join(f.prefix, dir, ".dvc", "config")) }
	}
	err = sub.project(root, f.p.Git, f.p.Git != nil, config)
	switch {
	case err != nil:
	case live:
		sub.src, sub.files = sub.p.WorkTree(), os.DirFS(root)
	default:
		err = sub.atCommit()
	}
	if err == nil {
		err = sub.findStores(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	if f.subs == nil {
		f.subs = map[string]*Foreign{}
	}
	f.subs[dir] = sub
	return sub, nil
}
