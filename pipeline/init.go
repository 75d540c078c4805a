package pipeline

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// InitOptions says what kind of project is made.
type InitOptions struct {
	Dir    string // absolute
	NoSCM  bool   // without Git
	Subdir bool   // in a folder of a Git repository instead of its root
	Force  bool   // remove an existing .dvc first
	Sink   event.Sink
}

const dvcignoreText = "# Add patterns of files dvc should ignore, which could improve\n" +
	"# the performance. Learn more at\n# https://dvc.org/doc/user-guide/dvcignore\n"

// Init makes a folder a DVC project: the files are the ones that DVC makes, and
// they are staged for the next Git commit.
func Init(ctx context.Context, o InitOptions) error {
	if o.NoSCM && o.Subdir {
		return errs.New(errs.Usage, "--no-scm and --subdir cannot be used together")
	}
	repo, err := initRepo(o)
	if err != nil {
		return err
	}
	dvc := filepath.Join(o.Dir, ".dvc")
	if _, err := os.Lstat(dvc); err == nil {
		if !o.Force {
			return errs.Hint(errs.New(errs.Conflict, "'.dvc' exists. Use `-f` to force."), "ctrx init -f (removes .dvc with its cache first)")
		}
		if err := os.RemoveAll(dvc); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dvc, "tmp"), 0o777); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	config := ""
	if o.NoSCM {
		config = "[core]\n    no_scm = True\n"
	}
	type file struct{ rel, text string }
	files := []file{{".dvc/config", config}, {".dvcignore", dvcignoreText}}
	if !o.NoSCM {
		files = append([]file{{".dvc/.gitignore", "/config.local\n/tmp\n/cache\n"}}, files...)
	}
	for _, f := range files {
		name := filepath.Join(o.Dir, filepath.FromSlash(f.rel))
		if _, err := os.Lstat(name); err == nil && f.rel == ".dvcignore" {
			continue
		}
		if err := fsx.WriteFile(name, []byte(f.text), 0o666); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	if repo == nil {
		return nil
	}
	dir, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return err
	}
	prefix, err := filepath.Rel(repo.Root(), dir)
	if err != nil {
		return err
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, path.Join(filepath.ToSlash(prefix), f.rel))
	}
	return repo.AddToIndex(ctx, paths...)
}

// initRepo finds the Git repository that the project will live in; nil without.
func initRepo(o InitOptions) (*gitops.Repo, error) {
	if o.NoSCM {
		return nil, nil
	}
	if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
		return nil, errs.Hint(errs.New(errs.NotFound, "%s is not a folder", o.Dir), "git init %s, then again", o.Dir)
	}
	repo, err := gitops.Open(o.Dir)
	if err != nil {
		return nil, errs.Hint(errs.New(errs.NotFound, "%s is not tracked by any supported SCM tool (e.g. Git)", o.Dir),
			"git init, or for a project without Git: ctrx init --no-scm")
	}
	dir, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return nil, err
	}
	if repo.Root() != dir && !o.Subdir {
		return nil, errs.Hint(errs.New(errs.Usage, "%s is not the root of its Git repository", o.Dir), "ctrx init --subdir, or: cd %s && ctrx init", errs.Arg(repo.Root()))
	}
	return repo, nil
}
