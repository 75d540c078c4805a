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

// apply changes the workspace.
func (k *checkout) apply(ctx context.Context) error {
	for _, rel := range k.unlink {
		if err := k.ws.Remove(join(k.base, rel)); err != nil {
			return err
		}
	}
	// Publishing comes before deleting, except where a file stands in the
	// place of a folder or the other way round.
	first := k.inTheWay()
	if first {
		if err := k.removeAll(ctx); err != nil {
			return err
		}
	}
	if err := k.writeAll(ctx); err != nil {
		return err
	}
	if !first {
		if err := k.removeAll(ctx); err != nil {
			return err
		}
	}
	for _, rel := range k.temps {
		k.ws.Remove(join(k.base, rel))
	}
	k.out.Created = k.absent && (k.isDir || len(k.write) > 0)
	k.out.Relinked = len(k.relink)
	if k.isDir || k.opts.CopyOnly || !k.opts.IsExec || len(k.out.Missing) > 0 {
		return nil
	}
	return normalMode(k.ws, k.base, ownMode(false), true)
}

// undisturbed makes sure that a file about to be replaced or removed is the one
// whose content was compared, and found in the cache: what was written since is
// nowhere else. One that is gone is nobody's loss.
func (k *checkout) undisturbed(ctx context.Context, rel string) error {
	was := k.present[rel]
	if k.opts.Force || was.digest == "" {
		return nil
	}
	abs := join(k.abs, rel)
	info, err := os.Stat(abs)
	if fsx.Missing(err) || err == nil && fingerprintOf(info) == was.print {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		now, err := k.cache.hasher.files(ctx, abs, []found{{stamp: fsx.StampOf(info)}})
		if err != nil {
			return err
		}
		if now[0].digest == was.digest {
			return nil
		}
	}
	return errs.Hint(errs.New(errs.Conflict, "%s was written to during the checkout, and is left as it is", abs),
		"repeat the command when nothing writes there any more; `--force` overwrites, `ctrx add` keeps the present content")
}

// inTheWay tells whether something must be removed before the target can be
// written.
func (k *checkout) inTheWay() bool {
	removed := make(map[string]struct{}, len(k.remove))
	for _, r := range k.remove {
		removed[r] = struct{}{}
	}
	if _, file := removed[""]; file {
		return true
	}
	for _, e := range k.write {
		if _, dir := k.dirs[e.RelPath]; dir {
			return true
		}
		for p := parentOf(e.RelPath); p != ""; p = parentOf(p) {
			if _, file := removed[p]; file {
				return true
			}
		}
	}
	return false
}

func parentOf(rel string) string {
	i := strings.LastIndexByte(rel, '/')
	return rel[:max(i, 0)]
}

// removeAll removes files that do not belong to the target, and the folders
// that this leaves empty.
func (k *checkout) removeAll(ctx context.Context) error {
	emptied := map[string]struct{}{}
	for _, rel := range k.remove {
		if err := k.undisturbed(ctx, rel); err != nil {
			return err
		}
		if err := k.ws.Remove(join(k.base, rel)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		k.out.Deleted = append(k.out.Deleted, rel)
		for p := parentOf(rel); p != ""; p = parentOf(p) {
			emptied[p] = struct{}{}
		}
	}
	for _, e := range k.target {
		for p := parentOf(e.RelPath); p != ""; p = parentOf(p) {
			delete(emptied, p)
		}
		if _, dir := k.dirs[e.RelPath]; dir {
			for d := range k.dirs { // a folder in the place of a file goes whole
				if d == e.RelPath || e.RelPath == "" || strings.HasPrefix(d, e.RelPath+"/") {
					emptied[d] = struct{}{}
				}
			}
		}
	}
	dirs := make([]string, 0, len(emptied))
	for d := range emptied {
		dirs = append(dirs, d)
	}
	slices.SortFunc(dirs, func(a, b string) int { return comparePaths(b, a) })
	for _, d := range dirs {
		// Folders with ignored files stay. Where such a folder is in the way,
		// writing the file says so.
		k.ws.Remove(join(k.base, d))
	}
	return nil
}

// writeAll makes the missing and differing files.
func (k *checkout) writeAll(ctx context.Context) error {
	top := k.base
	if !k.isDir {
		top = filepath.Dir(k.base)
	}
	if err := k.ws.MkdirAll(top, 0o777); err != nil {
		return err
	}
	todo := append(slices.Clone(k.write), k.relink...)
	slices.SortFunc(todo, func(a, b DirEntry) int { return comparePaths(a.RelPath, b.RelPath) })
	total, err := k.makeDirs(todo)
	if err != nil {
		return err
	}
	m := newMeter(k.cache.opts.Sink, "checkout", "B", total)
	m.of = int64(len(todo))
	defer m.finish()
	var later settling
	// Neighbours go together: they are in the same folder.
	const chunk = 64
	err = each(ctx, k.cache.opts.Jobs, (len(todo)+chunk-1)/chunk, func(ctx context.Context, i int) error {
		p := placer{linker: k.link, exec: k.opts.IsExec && !k.isDir, m: m, later: &later}
		defer p.close()
		for _, e := range todo[i*chunk : min(len(todo), (i+1)*chunk)] {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := k.undisturbed(ctx, e.RelPath); err != nil {
				return err
			}
			if err := p.place(ctx, e.MD5, join(k.base, e.RelPath), join(k.abs, e.RelPath)); err != nil {
				return err
			}
			m.file()
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range k.write {
		if was, there := k.present[e.RelPath]; there && was.digest != "" {
			k.out.Modified = append(k.out.Modified, e.RelPath)
		} else {
			k.out.Added = append(k.out.Added, e.RelPath)
		}
	}
	return later.record(ctx, k.cache.opts.State, k.cache.alg)
}

// makeDirs makes the folders of files to be written, and gives the number of
// bytes in the files.
func (k *checkout) makeDirs(todo []DirEntry) (int64, error) {
	var total int64
	made := map[string]struct{}{}
	for _, e := range todo {
		if p := parentOf(e.RelPath); p != "" {
			if _, ok := made[p]; !ok {
				made[p] = struct{}{}
				if err := k.ws.MkdirAll(join(k.base, p), 0o777); err != nil {
					return 0, err
				}
			}
		}
		if dir, name, err := k.cache.shelf(e.MD5, false); err == nil {
			if s, err := dir.Lstat(name); err == nil {
				total += s.Size
			}
		}
	}
	return total, nil
}

// placer puts files in place one after the other, keeping the folder of the last
// one open.
type placer struct {
	*linker
	exec  bool
	m     *meter
	later *settling

	parent string
	dir    *fsx.Dir
}

func (p *placer) close() {
	if p.dir != nil {
		p.dir.Close()
		p.dir = nil
	}
}

// place is linker.place, with a short way for small files that are copied.
func (p *placer) place(ctx context.Context, d Digest, name, abs string) error {
	if p.types[min(int(p.first.Load()), len(p.types)-1)] == Copy && p.cache.alg == MD5 {
		s, done, err := p.copySmall(d, name)
		if err != nil {
			return fmt.Errorf("check out %s: %w", abs, err)
		}
		if done {
			p.later.add(abs, d, printOf(s))
			return nil
		}
	}
	if err := p.linker.place(ctx, d, name, p.exec, p.m); err != nil {
		return err
	}
	p.later.look(abs, d)
	return nil
}

// copySmall copies an object that fits into a block, and checks it on the way.
// done is false for another one.
func (p *placer) copySmall(d Digest, name string) (s fsx.Stamp, done bool, err error) {
	block := p.cache.hasher.pool.Get().(*[]byte)
	defer p.cache.hasher.pool.Put(block)
	data, ok := p.cache.read(d, *block)
	if !ok {
		return s, false, nil
	}
	if got := digestBytes(data); string(got) != d.Hex() {
		return s, false, p.corrupt(d)
	}
	if parent := filepath.Dir(name); p.dir == nil || parent != p.parent {
		p.close()
		if p.dir, err = p.ws.OpenDir(parent); err != nil {
			return s, false, err
		}
		p.parent = parent
	}
	if err := p.ws.CheckName(name); err != nil {
		return s, false, err
	}
	if s, err = p.dir.Put(filepath.Base(name), data, copyMode(p.exec)); err != nil {
		return s, false, err
	}
	p.m.add(int64(len(data)))
	return s, true, nil
}
