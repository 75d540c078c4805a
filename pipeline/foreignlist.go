package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/ignore"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
	"ctrx/storage/remote"
)

// ListEntry is a file or folder of a repository, as `list` shows it.
type ListEntry struct {
	Path                 string // relative to what was listed
	IsOut, IsDir, IsExec bool
	Size                 int64 // bytes; negative: unknown
	Digest               storage.Digest
}

// Value gives the shape of an item of DVC's `list --json`.
func (e ListEntry) Value() *dvcfile.Map {
	var size dvcfile.Value
	if e.Size >= 0 {
		size = dvcfile.NewInt(e.Size)
	}
	return dvcfile.NewMap("isout", e.IsOut, "isdir", e.IsDir, "isexec", e.IsExec, "size", size, "md5", digestValue(e.Digest), "path", e.Path)
}

// repoNode is a path of a repository: of Git's, of DVC's, or of both.
type repoNode struct {
	isDir, isExec bool
	isOut         bool // an output, or in one
	size          int64
	digest        storage.Digest
	legacy        bool
	recorded      int64 // of a folder output: its recorded size; else 0
}

// repoTree is a repository as its readers see it: Git's files and DVC's data.
type repoTree struct{ nodes map[string]repoNode }

// below lists the paths of a folder, "." for all, in no order.
func (t repoTree) below(dir string) []string {
	var rels []string
	for rel := range t.nodes {
		if rel != dir && (dir == "." || inside(rel, dir)) && rel != "." {
			rels = append(rels, rel)
		}
	}
	return rels
}

// tree reads what the repository has. What Git's side says of a path that both
// have goes before, as in DVC: it is what lies there. deep looks into folder
// outputs.
func (f *Foreign) tree(ctx context.Context, ix *Index, deep bool) (repoTree, error) {
	t, err := f.outputTree(ctx, ix, deep)
	if err != nil {
		return t, err
	}
	sub, err := fs.Sub(f.files, f.prefix)
	if err != nil {
		return t, err
	}
	skip := ignore.NewDVC(sub)
	return t, fs.WalkDir(sub, ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if rel != "." && skip.Ignored(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return t.lay(sub, rel, d, f.live())
	})
}

// outputTree is the side of a tree that is DVC's: outputs as they are recorded.
func (f *Foreign) outputTree(ctx context.Context, ix *Index, deep bool) (repoTree, error) {
	t := repoTree{nodes: map[string]repoNode{}}
	for _, s := range ix.Stages {
		for _, out := range s.Outs {
			if !out.Cache || !insideProject(out.Rel) || out.Recorded == nil {
				continue
			}
			if err := f.addOutput(ctx, t, out, deep); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// live tells whether the repository is read from a work tree, not at a commit.
func (f *Foreign) live() bool {
	_, live := f.src.(workTree)
	return live
}

// lay puts what lies at a path over what is recorded of it. A symlink is never a
// folder; in a work tree (live) it has the size and mode of what it leads to, and
// the size 0 where that is nothing, as in DVC.
func (t repoTree) lay(files fs.FS, rel string, d fs.DirEntry, live bool) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	n := t.nodes[rel]
	n.isDir, n.size, n.isExec = d.IsDir(), info.Size(), info.Mode().IsRegular() && info.Mode()&0o111 != 0
	if live && d.Type()&fs.ModeSymlink != 0 {
		n.size = 0
		if target, err := fs.Stat(files, rel); err == nil {
			n.size, n.isExec = target.Size(), target.Mode().IsRegular() && target.Mode()&0o111 != 0
		}
	}
	t.nodes[rel] = n
	return nil
}

func (f *Foreign) addOutput(ctx context.Context, t repoTree, out *Output, deep bool) error {
	e := out.Recorded
	size := int64(-1)
	if e.HasSize {
		size = e.Meta.Size
	}
	t.nodes[out.Rel] = repoNode{isOut: true, isDir: e.Digest.IsDir(), size: size, digest: e.Digest, legacy: e.Hash == "", recorded: max(size, 0)}
	addParents(t, out.Rel, repoNode{isDir: true, size: -1})
	if !deep || !e.Digest.IsDir() {
		return nil
	}
	dir, err := f.readDir(ctx, e)
	if err != nil {
		return err
	}
	for _, m := range dir {
		rel := out.Rel + "/" + m.RelPath
		t.nodes[rel] = repoNode{isOut: true, size: -1, digest: m.MD5, legacy: e.Hash == ""}
		addParents(t, rel, repoNode{isDir: true, isOut: true, size: -1})
	}
	return nil
}

func addParents(t repoTree, rel string, n repoNode) {
	for at := path.Dir(rel); at != "."; at = path.Dir(at) {
		if _, known := t.nodes[at]; known {
			return
		}
		t.nodes[at] = n
	}
}

// ListOptions says what `list` shows.
type ListOptions struct {
	Path      string
	Recursive bool // files only, with their paths
	DVCOnly   bool
	Level     int // 0: no limit
}

// List gives the files and folders of a folder, sorted by path; of a file, itself.
func (f *Foreign) List(ctx context.Context, o ListOptions) ([]ListEntry, error) {
	rel, err := cleanForeign(o.Path)
	if err == nil {
		f, rel, err = f.within(ctx, rel)
	}
	if err != nil {
		return nil, err
	}
	t, err := f.treeFor(ctx, rel, o.Recursive, o.DVCOnly)
	if err != nil {
		return nil, err
	}
	node, ok := t.nodes[rel]
	if !ok && rel != "." {
		return nil, f.noPath(o.Path)
	}
	if ok && !node.isDir {
		return []ListEntry{node.entry(path.Base(rel))}, nil
	}
	var entries []ListEntry
	for _, at := range t.below(rel) {
		n := t.nodes[at]
		name := relFrom(rel, at)
		depth := strings.Count(name, "/") + 1
		switch {
		case !o.Recursive && depth > 1, o.Recursive && o.Level > 0 && depth > o.Level:
			continue
		case o.Recursive && n.isDir && (o.Level == 0 || depth < o.Level):
			continue
		}
		entries = append(entries, n.entry(name))
	}
	slices.SortFunc(entries, func(a, b ListEntry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

// treeFor reads the repository as far as a listing of rel needs it. With dvcOnly
// nothing but rel itself is looked at outside of what DVC tracks.
func (f *Foreign) treeFor(ctx context.Context, rel string, deep, dvcOnly bool) (repoTree, error) {
	ix, err := f.index(ctx)
	if err != nil {
		return repoTree{}, err
	}
	if !deep { // only a folder output that is looked into must be read
		for _, s := range ix.Stages {
			deep = deep || slices.ContainsFunc(s.Outs, func(o *Output) bool { return inside(rel, o.Rel) })
		}
	}
	if !dvcOnly {
		return f.tree(ctx, ix, deep)
	}
	t, err := f.outputTree(ctx, ix, deep)
	if err != nil {
		return t, err
	}
	info, err := fs.Stat(f.files, path.Join(f.prefix, rel))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	return t, t.lay(f.files, rel, fs.FileInfoToDirEntry(info), f.live())
}

func (n repoNode) entry(name string) ListEntry {
	return ListEntry{Path: name, IsOut: n.isOut, IsDir: n.isDir, IsExec: n.isExec, Size: n.size, Digest: n.digest}
}

// TreeRow is a line of `list --tree`.
type TreeRow struct {
	ListEntry
	Depth int
	Last  []bool // of the row and the folders above it: the last one of its folder
}

// Tree lists a folder and what is below it, each folder before its content.
func (f *Foreign) Tree(ctx context.Context, o ListOptions) ([]TreeRow, error) {
	rel, err := cleanForeign(o.Path)
	if err == nil {
		f, rel, err = f.within(ctx, rel)
	}
	if err != nil {
		return nil, err
	}
	t, err := f.treeFor(ctx, rel, true, o.DVCOnly)
	if err != nil {
		return nil, err
	}
	root, ok := t.nodes[rel]
	if !ok {
		return nil, f.noPath(o.Path)
	}
	top := o.Path
	if top == "" {
		top = "."
	}
	children := map[string][]string{}
	for _, at := range t.below(rel) {
		children[path.Dir(at)] = append(children[path.Dir(at)], at)
	}
	rows := []TreeRow{{ListEntry: root.entry(top)}}
	var add func(dir string, last []bool)
	add = func(dir string, last []bool) {
		if o.Level > 0 && len(last) >= o.Level {
			return
		}
		list := children[dir]
		slices.Sort(list)
		for i, at := range list {
			here := append(slices.Clone(last), i == len(list)-1)
			rows = append(rows, TreeRow{ListEntry: t.nodes[at].entry(path.Base(at)), Depth: len(here), Last: here})
			add(at, here)
		}
	}
	add(rel, nil)
	return rows, nil
}

// Usage is the size of a path.
type Usage struct {
	Path string
	Size int64 // bytes
}

// total is the size of what lies at or below a path. A folder output that is not
// in the work tree counts with its recorded size.
func (t repoTree) total(top string) int64 {
	var n int64
	for at, x := range t.nodes {
		switch {
		case top != "." && !inside(at, top):
		case !x.isDir:
			n += max(x.size, 0)
		case x.recorded > 0 && !slices.ContainsFunc(t.below(at), func(m string) bool { return t.nodes[m].size > 0 }):
			n += x.recorded
		}
	}
	return n
}

// DiskUsage gives the sizes of what lies in a folder and then their sum; with
// summarize, and of a file, one size. A member of a folder output, whose size is
// not recorded, counts as nothing, as in DVC. A project in a folder of the
// repository counts only where p is in it.
func (f *Foreign) DiskUsage(ctx context.Context, p string, summarize bool) ([]Usage, error) {
	rel, err := cleanForeign(p)
	top := ""
	if err == nil {
		whole := rel
		f, rel, err = f.within(ctx, whole)
		top = strings.TrimSuffix(strings.TrimSuffix(whole, rel), "/")
		if rel == "." {
			top = whole
		}
	}
	if err != nil {
		return nil, err
	}
	ix, err := f.index(ctx)
	if err != nil {
		return nil, err
	}
	t, err := f.tree(ctx, ix, true)
	if err != nil {
		return nil, err
	}
	for at := range t.nodes { // as in DVC, its own files do not count
		if name := path.Base(at); isStageFile(name) || name == "dvc.lock" || name == ".dvcignore" {
			delete(t.nodes, at)
		}
	}
	node, ok := t.nodes[rel]
	if !ok {
		return nil, f.noPath(p)
	}
	total := t.total
	if summarize || !node.isDir {
		return []Usage{{p, total(rel)}}, nil
	}
	var all []Usage
	var sum int64
	for _, at := range t.below(rel) {
		if path.Dir(at) == rel {
			u := Usage{path.Join(top, at), total(at)}
			all, sum = append(all, u), sum+u.Size
		}
	}
	slices.SortFunc(all, func(a, b Usage) int { return strings.Compare(a.Path, b.Path) })
	return append(all, Usage{p, sum}), nil
}

// TreeOf makes the rows of a tree out of what lies below a place; a place that is
// a file is a row of its own.
func TreeOf(top string, entries []remote.Listed) []TreeRow {
	if len(entries) == 1 && entries[0].Alone {
		return []TreeRow{{ListEntry: ListEntry{Path: top, Size: entries[0].Size}}}
	}
	t := repoTree{nodes: map[string]repoNode{}}
	children := map[string][]string{}
	for _, e := range entries {
		t.nodes[e.Path] = repoNode{isDir: e.IsDir, size: e.Size}
		addParents(t, e.Path, repoNode{isDir: true})
	}
	for at := range t.nodes {
		children[path.Dir(at)] = append(children[path.Dir(at)], at)
	}
	rows := []TreeRow{{ListEntry: ListEntry{Path: top, IsDir: true}}}
	var add func(dir string, last []bool)
	add = func(dir string, last []bool) {
		list := children[dir]
		slices.Sort(list)
		for i, at := range list {
			here := append(slices.Clone(last), i == len(list)-1)
			rows = append(rows, TreeRow{ListEntry: t.nodes[at].entry(path.Base(at)), Depth: len(here), Last: here})
			add(at, here)
		}
	}
	add(".", nil)
	return rows
}

// noPath says that the repository has no such path. One that is right from where
// the user stands is meant from the root, as at a revision or in a clone.
func (f *Foreign) noPath(asked string) error {
	err := errs.New(errs.NotFound, "[Errno 2] No such file or directory: '%s'", asked)
	here, relErr := filepath.Rel(f.p.Root, f.o.Dir)
	if relErr != nil || !filepath.IsLocal(here) || here == "." || !filepath.IsLocal(filepath.FromSlash(asked)) {
		return err
	}
	if _, statErr := os.Lstat(filepath.Join(f.o.Dir, filepath.FromSlash(asked))); statErr != nil {
		return err
	}
	return errs.Hint(err, "paths begin at the root of the repository: %s", path.Join(filepath.ToSlash(here), filepath.ToSlash(asked)))
}
