package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// repairCache mends what was found in the cache: damaged objects are moved out
// of the way, then what is missing comes from the work tree or a remote.
func (f *fsck) repairCache(ctx context.Context) error {
	if err := f.quarantine(ctx); err != nil {
		return err
	}
	for _, legacy := range []bool{false, true} {
		lost := f.lost(legacy)
		if len(lost) == 0 {
			continue
		}
		from := map[storage.Digest]string{}
		if err := f.fromWorkTree(ctx, legacy, lost, from); err != nil {
			return err
		}
		if err := f.fromRemotes(ctx, legacy, lost, from); err != nil {
			return err
		}
		f.settle(legacy, from)
	}
	return f.tidy()
}

// lost are the objects to bring back.
func (f *fsck) lost(legacy bool) map[storage.Digest]bool {
	lost := map[storage.Digest]bool{}
	for _, b := range f.out.Problems {
		if b.Where != "cache" || b.Legacy != legacy {
			continue
		}
		if b.What == storage.Corrupt || b.What == storage.Missing {
			lost[b.Digest] = true
		}
		for _, m := range b.Members {
			lost[m.Digest] = true
		}
	}
	return lost
}

// quarantine moves damaged objects out of the cache: DVC takes whatever has mode
// 0444 for good.
func (f *fsck) quarantine(ctx context.Context) error {
	for _, legacy := range []bool{false, true} {
		var bad []storage.StoredObject
		for _, b := range f.out.Problems {
			if b.Where == "cache" && b.Legacy == legacy && b.What == storage.Corrupt {
				bad = append(bad, storage.StoredObject{Digest: b.Digest, Path: b.Path, Size: b.Size})
			}
		}
		if len(bad) == 0 {
			continue
		}
		dir, err := storage.Quarantine(ctx, f.cache(legacy), bad, f.p.now(),
			filepath.Join(f.p.TmpDir(), "ctrx", "quarantine"), filepath.Join(f.p.Cache.Dir(), ".ctrx-quarantine"))
		if err != nil {
			return err
		}
		f.out.Quarantine = dir
	}
	return nil
}

// fromWorkTree stores files of the work tree that have the wanted content.
func (f *fsck) fromWorkTree(ctx context.Context, legacy bool, lost map[storage.Digest]bool, from map[storage.Digest]string) error {
	cache := f.cache(legacy)
	take := func(d storage.Digest, name, rel string) error {
		if !lost[d] || from[d] != "" {
			return nil
		}
		file, err := os.Open(name)
		if err != nil {
			return nil // a link to what is lost
		}
		defer file.Close()
		err = cache.Put(ctx, d, file)
		if errs.KindOf(err) == errs.DataCorrupt {
			return nil // it has changed
		}
		if err == nil {
			from[d] = "brought back from " + f.p.Show(rel)
		}
		return err
	}
	for _, out := range f.outputs {
		if (out.Recorded.Hash == "") != legacy {
			continue
		}
		tree, err := cache.Hasher().Hash(ctx, f.p.Abs(out.Rel), f.p.dvcignoreBelow(out.Rel))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			continue // not there, or not readable
		}
		if !tree.IsDir() {
			if err := take(tree.Digest, f.p.Abs(out.Rel), out.Rel); err != nil {
				return err
			}
			continue
		}
		for _, e := range tree.Dir {
			if err := take(e.MD5, filepath.Join(f.p.Abs(out.Rel), filepath.FromSlash(e.RelPath)), out.Rel); err != nil {
				return err
			}
		}
		if lost[tree.Digest] && from[tree.Digest] == "" {
			if err := cache.Commit(ctx, f.p.Abs(out.Rel), tree, storage.CommitOptions{NoRelink: true}); err == nil {
				from[tree.Digest] = "brought back from " + f.p.Show(out.Rel)
			}
		}
	}
	return nil
}

// fromRemotes fetches what is still lost.
func (f *fsck) fromRemotes(ctx context.Context, legacy bool, lost map[storage.Digest]bool, from map[storage.Digest]string) error {
	for _, name := range f.remotes() {
		var want []storage.Digest
		for d := range lost {
			if from[d] == "" {
				want = append(want, d)
			}
		}
		if len(want) == 0 {
			return nil
		}
		b, config, err := f.p.openRemote(ctx, name)
		if err != nil {
			return err
		}
		_, err = storage.Fetch(ctx, storage.TransferOptions{
			Cache: f.cache(legacy), Remote: b, Objects: want, Jobs: f.o.Jobs, Sink: f.p.sink, Name: name, Known: f.p.knownOn(config, legacy), Paths: f.wanted[legacy],
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil { // what it has not given stays in the list
			f.p.Warn("remote '%s': %v", name, err)
		}
		for _, d := range want {
			if ok, err := f.cache(legacy).Has(ctx, d); err != nil {
				return err
			} else if ok {
				from[d] = "brought back from remote '" + name + "'"
			}
		}
	}
	return nil
}

// remotes are those that may have the data.
func (f *fsck) remotes() []string {
	var names []string
	seen := map[string]bool{"": true}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	add(f.o.Remote)
	if def, ok := f.p.Config.DefaultRemote(); ok {
		add(def)
	}
	for _, out := range f.outputs {
		add(out.Remote)
	}
	return names
}

// settle enters what was done about each problem.
func (f *fsck) settle(legacy bool, from map[storage.Digest]string) {
	for i := range f.out.Problems {
		b := &f.out.Problems[i]
		if b.Where != "cache" || b.Legacy != legacy || b.Harmless() {
			continue
		}
		done := ""
		if b.What != storage.Incomplete {
			done = from[b.Digest]
		}
		whole := true
		for _, m := range b.Members {
			whole = whole && from[m.Digest] != ""
			done = from[m.Digest]
		}
		switch {
		case whole && done != "":
			b.Repaired = done
		case b.What == storage.Corrupt:
			b.Hint = "no copy was found; the damaged one is in " + f.out.Quarantine
		case b.For != "":
			b.Hint = "ctrx push, where the data is, then ctrx fetch " + errs.Arg(b.For)
		}
	}
}

// tidy gives whole objects their mode and removes what dead processes left.
func (f *fsck) tidy() error {
	var failed error
	for i := range f.out.Problems {
		b := &f.out.Problems[i]
		switch {
		case b.What == storage.WrongMode:
			if err := f.cache(b.Legacy).MarkWhole([]storage.Digest{b.Digest}); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			b.Repaired = "mode 0444"
		case b.What == storage.Leftover && b.Remote == "":
			if err := os.RemoveAll(b.Path); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			b.Repaired = "removed"
		}
	}
	return failed
}
