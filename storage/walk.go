package storage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// Ignore tells whether a path is left out of a folder: rel is slash separated
// and relative to the folder that is walked. A folder that is left out is not
// entered. nil leaves nothing out.
type Ignore func(rel string, isDir bool) bool

// dvcignoreFile may not lie inside a folder that is hashed: the digest would
// depend on a file that is not part of it.
const dvcignoreFile = ".dvcignore"

// found is a file below a walked folder.
type found struct {
	rel    string    // slash separated
	stamp  fsx.Stamp // of the target, for a link
	link   bool      // a symbolic link
	broken bool      // a link to nothing; stamp is that of the link
}

// own tells whether the file is a file by itself: no link of any kind.
func (f found) own() bool { return !f.link && f.stamp.Mode.IsRegular() && f.stamp.Links <= 1 }

// walker collects the files of a folder by the rules of dvc-compat 4.4: links
// to files stand for their content, links to folders are neither entered nor
// listed, empty folders vanish.
type walker struct {
	root     string
	ignore   Ignore
	lenient  bool // broken links and .dvcignore files are listed, not errors
	mu       sync.Mutex
	files    []found
	parts    [][]found // those of each folder, until all are known
	temps    []string  // unfinished files of a killed process
	dirs     []string  // all folders below root, for removing empty ones
	dirLinks []string  // links to folders
}

func (w *walker) walk(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	if err := w.dir(ctx, g, ""); err != nil {
		g.Wait()
		return err
	}
	if err := g.Wait(); err != nil {
		return err
	}
	w.sort()
	return nil
}

// sort brings the files into the order of their paths. Those of a folder are in
// it already and, but for folders within folders, that is all there is to do.
func (w *walker) sort() {
	slices.SortFunc(w.parts, func(a, b []found) int { return comparePaths(a[0].rel, b[0].rel) })
	w.files = slices.Concat(w.parts...)
	w.parts = nil
	if !slices.IsSortedFunc(w.files, compareFound) {
		slices.SortFunc(w.files, compareFound)
	}
}

func compareFound(a, b found) int { return comparePaths(a.rel, b.rel) }

func (w *walker) dir(ctx context.Context, g *errgroup.Group, rel string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	path := filepath.Join(w.root, filepath.FromSlash(rel))
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return err
	}
	here := walker{files: make([]found, 0, len(entries))}
	for _, e := range entries {
		sub := e.Name()
		if rel != "" {
			sub = rel + "/" + sub
		}
		if fsx.IsTemp(e.Name()) {
			here.temps = append(here.temps, sub)
			continue
		}
		if w.ignore != nil && w.ignore(sub, e.IsDir()) {
			continue
		}
		if e.IsDir() {
			here.dirs = append(here.dirs, sub)
			// A free worker takes the folder; without one this one goes on, so
			// that no slot is held while waiting for another.
			if !g.TryGo(func() error { return w.dir(ctx, g, sub) }) {
				if err := w.dir(ctx, g, sub); err != nil {
					return err
				}
			}
			continue
		}
		if e.Name() == dvcignoreFile && !w.lenient {
			return errs.Hint(errs.New(errs.ProjectFile, "%s: a .dvcignore file may not lie inside a tracked folder", filepath.Join(path, e.Name())),
				"move its patterns to a .dvcignore file outside of %s", w.root)
		}
		if err := here.file(folder, sub, e, w.lenient); err != nil {
			return err
		}
	}
	slices.SortFunc(here.files, compareFound)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(here.files) > 0 {
		w.parts = append(w.parts, here.files)
	}
	w.temps = append(w.temps, here.temps...)
	w.dirs = append(w.dirs, here.dirs...)
	w.dirLinks = append(w.dirLinks, here.dirLinks...)
	return nil
}

func (w *walker) file(folder *os.File, rel string, e fs.DirEntry, lenient bool) error {
	f := found{rel: rel, link: e.Type()&fs.ModeSymlink != 0}
	var err error
	if f.stamp, err = fsx.LstatIn(folder, e.Name()); err != nil {
		return err
	}
	if f.link {
		path := filepath.Join(folder.Name(), e.Name())
		target, err := os.Stat(path)
		switch {
		case err != nil && !lenient:
			return brokenLink(path)
		case err != nil:
			f.broken = true
		case target.IsDir():
			w.dirLinks = append(w.dirLinks, rel)
			return nil
		default:
			f.stamp = fsx.StampOf(target)
		}
	}
	if !f.broken && !f.stamp.Mode.IsRegular() {
		return notFile(filepath.Join(folder.Name(), e.Name()), e.Type())
	}
	w.files = append(w.files, f)
	return nil
}

func notFile(path string, kind fs.FileMode) error {
	return errs.New(errs.Failed, "%s is neither a file nor a folder (%s)", path, kind)
}

func brokenLink(path string) error {
	target, _ := os.Readlink(path)
	return errs.Hint(errs.New(errs.NotFound, "%s is a broken symbolic link to %s", path, target),
		"restore the file that it points to, or remove the link")
}

// statFollow describes path and what it leads to. An error that it does not
// exist wraps fs.ErrNotExist; a broken link is another error.
func statFollow(path string) (info fs.FileInfo, link bool, err error) {
	info, err = os.Lstat(path)
	if fsx.Missing(err) {
		return nil, false, fmt.Errorf("hash: %w", &fs.PathError{Op: "lstat", Path: path, Err: fs.ErrNotExist})
	}
	if err != nil {
		return nil, false, fmt.Errorf("hash: %w", err)
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return info, false, nil
	}
	info, err = os.Stat(path)
	if err != nil {
		return nil, true, brokenLink(path)
	}
	return info, true, nil
}
