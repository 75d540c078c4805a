package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// CheckoutOptions say how Checkout treats what is in its way.
type CheckoutOptions struct {
	// Root is the folder that may be written to, normally the project's.
	// Empty: the folder of the path.
	Root string
	// IsExec gives a file the user's execute bit.
	IsExec bool
	// Ignore leaves files of a folder alone: they are neither compared nor
	// removed.
	Ignore Ignore
	// Force overwrites and removes files whose content is not in the cache.
	Force bool
	// Relink also replaces files of the right content that are not what the
	// link types ask for.
	Relink bool
	// AllowMissing checks out what is in the cache and lists the rest in
	// Changes.Missing. Without it, anything missing is an error and nothing is
	// changed.
	AllowMissing bool
	// CopyOnly makes files of their own, whatever the link types.
	CopyOnly bool
}

// Changes is what Checkout did. Paths are slash separated and relative to the
// path that was checked out; the path itself, as a file, is "".
type Changes struct {
	Created  bool // nothing was at the path before
	Added    []string
	Modified []string
	Deleted  []string
	Relinked int
	Missing  []MissingObject // only with AllowMissing
}

// Any tells whether content in the workspace changed.
func (c Changes) Any() bool { return len(c.Added)+len(c.Modified)+len(c.Deleted) > 0 || c.Created }

// Checkout makes path the file or folder that d names, touching only what
// differs. Files of a folder that do not belong to it are removed. Errors come
// before the first change:
//
//   - *MissingError (kind DataMissing): objects are not in the cache;
//   - kind Conflict: a file that is in the way has content that is not in the
//     cache, so it would be lost; or a folder on the way is a symbolic link;
//   - kind ProjectFile: the path is outside of Root, or in .git or .dvc.
//
// An object found to be corrupt while it is copied gives kind DataCorrupt.
func (c *Cache) Checkout(ctx context.Context, path string, d Digest, opts CheckoutOptions) (Changes, error) {
	changes, err := c.checkout(ctx, path, d, opts)
	var missing *MissingError
	if err != nil && !errors.As(err, &missing) {
		err = fmt.Errorf("checkout %s: %w", path, err)
	}
	return changes, err
}

func (c *Cache) checkout(ctx context.Context, path string, d Digest, opts CheckoutOptions) (Changes, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Changes{}, err
	}
	ws, base, err := openWorkspace(opts.Root, abs)
	if err != nil {
		return Changes{}, err
	}
	defer ws.Close()
	if err := checkOutputName(ws, base); err != nil {
		return Changes{}, err
	}
	k := &checkout{cache: c, opts: opts, ws: ws, link: newLinker(c, ws, opts.CopyOnly), abs: abs, base: base, isDir: d.IsDir()}
	if !d.Valid() {
		return Changes{}, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
	}
	k.target = DirObject{{MD5: d}}
	if d.IsDir() {
		k.target, err = c.ReadDir(ctx, d)
		if errors.Is(err, fs.ErrNotExist) {
			missing := []MissingObject{{Digest: d}}
			if opts.AllowMissing {
				return Changes{Missing: missing}, nil
			}
			return Changes{}, &MissingError{Path: path, Objects: missing}
		}
		if err != nil {
			return Changes{}, errs.Hint(err, "remove %s, then `ctrx fetch` it again", c.Path(d))
		}
	}
	if err := k.checkNames(); err != nil {
		return Changes{}, err
	}
	if err := k.scan(ctx); err != nil {
		return Changes{}, err
	}
	if err := k.plan(ctx); err != nil {
		return Changes{}, err
	}
	if len(k.out.Missing) > 0 && !opts.AllowMissing {
		return Changes{}, &MissingError{Path: path, Objects: k.out.Missing}
	}
	if err := k.conflicts(ctx); err != nil {
		return Changes{}, err
	}
	err = k.apply(ctx)
	return k.out, err
}

// checkOutputName refuses places that data may not be put in.
func checkOutputName(ws *fsx.Root, name string) error {
	if err := checkDataName(ws, name); err != nil {
		return err
	}
	return ws.Check(name)
}

// checkDataName refuses a name by its text alone.
func checkDataName(ws *fsx.Root, name string) error {
	if why := BadName(filepath.ToSlash(name)); why != "" {
		return errs.New(errs.ProjectFile, "refused to write %q: %s", name, why)
	}
	return ws.CheckName(name)
}

// BadName says why no data may have a name, "" if it may. The settings in .dvc
// and .git decide what later commands do; control characters hide on a terminal
// what a name is.
func BadName(name string) string {
	if strings.ContainsFunc(name, isControl) {
		return "its name has a control character"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case strings.EqualFold(strings.TrimRight(part, ". "), ".dvc"):
			return "it is inside a .dvc folder"
		case fsx.IsGit(part):
			return "it is inside a .git folder"
		}
	}
	return ""
}

// CheckNames refuses a folder with a file that no checkout would write.
func (o DirObject) CheckNames() error {
	for _, e := range o {
		if err := keepable(e.RelPath); err != nil {
			return err
		}
	}
	return nil
}

// checkNames refuses a folder that has a member of a bad name before any other
// member is written.
func (k *checkout) checkNames() error {
	if !k.isDir {
		return nil
	}
	for _, e := range k.target {
		if err := checkDataName(k.ws, join(k.base, e.RelPath)); err != nil {
			return err
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// checkout is one Checkout at work: scan sees what is there, plan compares,
// conflicts protects, apply changes.
type checkout struct {
	cache  *Cache
	opts   CheckoutOptions
	ws     *fsx.Root
	link   *linker
	abs    string // the path
	base   string // the path below ws
	target DirObject
	isDir  bool

	absent   bool                // nothing at the path
	present  map[string]hashed   // what is there, by rel; broken links have no digest
	dirs     map[string]struct{} // folders that are there
	temps    []string
	dirLinks []string // links to folders

	write  []DirEntry // to be made
	relink []DirEntry // content is right, link type is not
	remove []string
	unlink []string // links to folders that are in the way
	out    Changes
}

func (k *checkout) scan(ctx context.Context) error {
	k.present = map[string]hashed{}
	info, err := os.Lstat(k.abs)
	switch {
	case fsx.Missing(err):
		k.absent = true
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return k.scanDir(ctx)
	}
	f := found{stamp: fsx.StampOf(info), link: info.Mode()&fs.ModeSymlink != 0}
	if f.link {
		target, err := os.Stat(k.abs)
		switch {
		case err != nil:
			f.broken = true
		case target.IsDir():
			return k.scanDirLink(ctx)
		default:
			f.stamp = fsx.StampOf(target)
		}
	}
	if !f.broken && !f.stamp.Mode.IsRegular() {
		return errs.New(errs.Conflict, "%s is neither a file nor a folder (%s)", k.abs, f.stamp.Mode.Type())
	}
	out, err := k.cache.hasher.files(ctx, k.abs, []found{f})
	if err != nil {
		return err
	}
	k.present[""] = out[0]
	return nil
}

func (k *checkout) scanDir(ctx context.Context) error {
	w := walker{root: k.abs, ignore: k.opts.Ignore, lenient: true}
	if err := w.walk(ctx); err != nil {
		return err
	}
	out, err := k.cache.hasher.files(ctx, k.abs, w.files)
	if err != nil {
		return err
	}
	for i, f := range w.files {
		k.present[f.rel] = out[i]
	}
	k.temps, k.dirLinks = w.temps, w.dirLinks
	k.dirs = make(map[string]struct{}, len(w.dirs)+1)
	for _, d := range w.dirs {
		k.dirs[d] = struct{}{}
	}
	if !k.isDir {
		k.dirs[""] = struct{}{}
	}
	return nil
}

// scanDirLink handles a path that is a link to a folder. If the folder has the
// wanted content all is well; else the link itself is in the way.
func (k *checkout) scanDirLink(ctx context.Context) error {
	if k.isDir {
		t, err := k.cache.hasher.Hash(ctx, k.abs, k.opts.Ignore)
		if err != nil {
			return err
		}
		if slices.Equal(t.Dir, k.target) {
			for _, e := range k.target {
				k.present[e.RelPath] = hashed{digest: e.MD5}
			}
			k.opts.Relink = false
			return nil
		}
	}
	k.dirLinks = []string{""}
	return nil
}

// plan compares what is there with the target.
func (k *checkout) plan(ctx context.Context) error {
	if k.opts.Relink && len(k.target) > 0 {
		k.link.probe(k.target[0].MD5)
	}
	wanted := make(map[string]struct{}, len(k.target))
	for _, e := range k.target {
		wanted[e.RelPath] = struct{}{}
		was, there := k.present[e.RelPath]
		switch {
		case !there || was.digest != e.MD5:
			k.write = append(k.write, e)
		case k.opts.Relink && k.isDir && k.link.executable(join(k.base, e.RelPath)):
			// As in DVC. Nothing records that a file of a folder is a program: a
			// link in its place would be none.
		case k.opts.Relink && !k.link.placed(e.MD5, join(k.base, e.RelPath)):
			k.relink = append(k.relink, e)
		}
	}
	have, err := k.cache.hasAll(ctx, append(memberDigests(k.write), memberDigests(k.relink)...))
	if err != nil {
		return err
	}
	k.write = slices.DeleteFunc(k.write, func(e DirEntry) bool {
		if have[e.MD5] {
			return false
		}
		k.out.Missing = append(k.out.Missing, MissingObject{Digest: e.MD5, RelPath: e.RelPath})
		return true
	})
	// Content that is here and right is not missed for relinking.
	k.relink = slices.DeleteFunc(k.relink, func(e DirEntry) bool { return !have[e.MD5] })
	for rel := range k.present {
		if _, ok := wanted[rel]; !ok {
			k.remove = append(k.remove, rel)
		}
	}
	slices.SortFunc(k.remove, comparePaths)
	for _, link := range k.dirLinks {
		for _, e := range k.target {
			if link == "" || e.RelPath == link || strings.HasPrefix(e.RelPath, link+"/") {
				k.unlink = append(k.unlink, link)
				break
			}
		}
	}
	return nil
}

// conflicts refuses to destroy content that exists nowhere else.
func (k *checkout) conflicts(ctx context.Context) error {
	if k.opts.Force {
		return nil
	}
	var rels []string
	for _, e := range k.write {
		if _, there := k.present[e.RelPath]; there {
			rels = append(rels, e.RelPath)
		}
	}
	rels = append(rels, k.remove...)
	var ds []Digest
	for _, rel := range rels {
		if d := k.present[rel].digest; d != "" {
			ds = append(ds, d)
		}
	}
	have, err := k.cache.hasAll(ctx, ds)
	if err != nil {
		return err
	}
	lost := slices.Clone(k.unlink)
	for _, rel := range rels {
		if d := k.present[rel].digest; d != "" && !have[d] {
			lost = append(lost, rel)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.SortFunc(lost, comparePaths)
	return errs.Hint(errs.New(errs.Conflict, "%s", lostText(k.abs, lost)),
		"`--force` overwrites; `ctrx add` keeps the present content")
}

func lostText(abs string, lost []string) string {
	const show = 5
	var names []string
	for i, rel := range lost {
		if i == show {
			names = append(names, fmt.Sprintf("%d more", len(lost)-show))
			break
		}
		names = append(names, join(abs, rel))
	}
	return "content that is not in the cache would be lost: " + strings.Join(names, ", ")
}
