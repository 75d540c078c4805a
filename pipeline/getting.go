package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/storage"
)

func baseName(p string) string { return path.Base(strings.TrimRight(filepath.ToSlash(p), "/")) }

// freePath gives the absolute path that something called name comes to: out, in
// the folder that out is, or in dir.
func freePath(dir, out, name string, force bool) (string, error) {
	if name == "." || name == "/" || name == ".." {
		name = "data"
	}
	to := name
	if out != "" {
		to = out
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(dir, to)
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() && out != "" {
		to = filepath.Join(to, name)
	}
	if isStageFile(filepath.Base(to)) {
		return "", errs.New(errs.Usage, "the given path is a DVC file, you must specify a data file or a directory")
	}
	return to, checkFree(to, force)
}

// getPrefix begins the names of folders, beside the place of what is got, in which
// it waits until it is whole.
const getPrefix = ".ctrx-get-"

// putInPlace lets fill make a file or folder beside its place, and moves it there
// when it is whole. What was there is removed last.
func putInPlace(to string, fill func(temp string) error) (err error) {
	defer func() { err = fsx.FullDisk(err) }()
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), getPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "new")
	if err := fill(temp); err != nil {
		return err
	}
	old := filepath.Join(dir, "old")
	if err := os.Rename(to, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return errors.Join(err, os.Rename(old, to))
	}
	return nil
}

// copyLocal copies a file, or a folder with the files in it; links stand for what
// they lead to. The folder may hold the place that it is copied to: what is on its
// way there is left out.
func copyLocal(ctx context.Context, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(ctx, from, to)
	}
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != from && strings.HasPrefix(d.Name(), getPrefix) {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(at, 0o777)
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return err
		}
		return copyFile(ctx, name, at)
	})
}

func copyFile(ctx context.Context, from, to string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// GetOptions says what is copied out of a repository.
type GetOptions struct {
	Path  string
	Out   string
	Force bool
	Jobs  int
}

// Get copies a file or folder of the repository into the folder where the user
// stands, without tracking it. It gives the path of the copy, and how many files
// are in it.
func (f *Foreign) Get(ctx context.Context, o GetOptions) (to string, files int, err error) {
	if to, err = freePath(f.o.Dir, o.Out, baseName(o.Path), o.Force); err != nil {
		return "", 0, err
	}
	if err := f.readBeside(to, o.Path); err != nil {
		return "", 0, err
	}
	got, err := f.Fetch(ctx, o.Path)
	if err != nil {
		return "", 0, err
	}
	files = 1
	if got.Tree.IsDir() {
		files = got.Tree.NFiles
	}
	return to, files, putInPlace(to, func(temp string) error {
		_, err := got.Cache.Checkout(ctx, temp, got.Tree.Digest, storage.CheckoutOptions{Root: filepath.Dir(temp), CopyOnly: true})
		if errs.KindOf(err) == errs.DataMissing {
			err = f.missing(got.Tree.Digest)
		}
		return err
	})
}

// ObjectURL gives the address that the content of a tracked path has on the
// repository's remote, whether it is there or not.
func (f *Foreign) ObjectURL(ctx context.Context, rel string) (string, error) {
	rel, err := cleanForeign(rel)
	if err == nil {
		f, rel, err = f.within(ctx, rel)
	}
	if err != nil {
		return "", err
	}
	ix, err := f.index(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range ix.Stages {
		for _, out := range s.Outs {
			if !out.Cache || out.Recorded == nil || !inside(rel, out.Rel) {
				continue
			}
			d := out.Recorded.Digest
			if rel != out.Rel {
				dir, err := f.readDir(ctx, out.Recorded)
				if err != nil {
					return "", err
				}
				if d, err = dir.Find(relFrom(out.Rel, rel)); err != nil {
					return "", errs.New(errs.NotFound, "'%s' does not exist in '%s'", rel, f.o.URL)
				}
			}
			name, err := f.p.remoteName(f.o.Remote, out.Remote)
			if err != nil && len(f.stores) > 0 { // without a remote, its cache is one
				return f.p.cacheOf(out.Recorded).Path(d), nil
			}
			if err != nil {
				return "", err
			}
			config, err := f.p.Config.Remote(name)
			if err != nil {
				return "", err
			}
			base := config["url"]
			if !isURL(base) && !filepath.IsAbs(base) {
				base = filepath.Join(f.p.Root, ".dvc", base)
			}
			return strings.TrimRight(base, "/") + "/" + f.p.cacheOf(out.Recorded).Algorithm().Key(d), nil
		}
	}
	return "", errs.New(errs.NotFound, "'%s' is not tracked by DVC in '%s'", rel, f.o.URL)
}

// Destroy takes DVC out of a project: .dvc files, dvc.yaml files with their locks,
// .dvcignore and the folder .dvc with its cache. The data in the work tree stays,
// as files of its own.
func (p *Project) Destroy(ctx context.Context) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	for _, s := range ix.Stages {
		for _, out := range s.Outs {
			if err := p.unprotectOutput(ctx, out); err != nil {
				return fmt.Errorf("destroy: %w", err)
			}
		}
	}
	for _, s := range ix.Stages {
		files := []string{s.File}
		if !s.IsData() {
			files = append(files, s.LockFile())
		}
		for _, file := range files {
			if err := os.Remove(p.Abs(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("destroy: %w", err)
			}
		}
	}
	if err := os.Remove(p.Abs(".dvcignore")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroy: %w", err)
	}
	if err := p.Close(); err != nil {
		return err
	}
	lock.Unlock()
	return os.RemoveAll(p.Abs(".dvc"))
}

// IgnoreMatch is the answer about one path of `check-ignore`.
type IgnoreMatch struct {
	Path    string
	Ignored bool
	Rule    string // FILE:LINE:PATTERN of the rule that decided, "" where none matched
}

// CheckIgnore tells whether .dvcignore files leave a path out.
func (p *Project) CheckIgnore(target string) (IgnoreMatch, error) {
	m := IgnoreMatch{Path: target}
	rel, err := p.Rel(target)
	if err != nil || !insideProject(rel) {
		return m, err
	}
	info, statErr := os.Stat(p.Abs(rel))
	isDir := statErr == nil && info.IsDir() || strings.HasSuffix(target, "/")
	rule, ignored := p.dvcignore.Match(rel, isDir)
	m.Ignored = ignored
	if rule.Source != "" {
		pattern := rule.Pattern
		m.Rule = fmt.Sprintf("%s:%d:%s", p.Show(rule.Source), rule.Line, pattern)
	}
	return m, nil
}
