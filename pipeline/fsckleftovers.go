package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/fsx"
	"ctrx/storage"
)

// leftoverAge is how old a temporary file must be to be taken for one that a
// dead process left; partialAge, one that the same command would go on with.
const (
	leftoverAge = time.Hour
	partialAge  = 24 * time.Hour
)

// leftovers finds what dead processes left below .dvc/tmp. The folders there
// belong to commands that hold the lock.
func (f *fsck) leftovers() {
	dir := filepath.Join(f.p.TmpDir(), "ctrx")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	busy := false
	if !f.o.Repair { // then the lock is ours
		busy, err = fsx.Held(filepath.Join(f.p.TmpDir(), "lock"))
		busy = busy || err != nil && !errors.Is(err, fs.ErrNotExist)
	}
	old := f.p.now().Add(-leftoverAge)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		ofCommand := e.IsDir() && (strings.HasPrefix(e.Name(), "import-") || strings.HasPrefix(e.Name(), "to-remote-"))
		switch {
		case ofCommand && !busy, !e.IsDir() && storage.IsLeftover(e.Name()) && info.ModTime().Before(old):
			f.leftover(filepath.Join(dir, e.Name()), "of a command that died")
		case e.IsDir() && e.Name() == storage.PartialDir && f.unused(filepath.Join(dir, e.Name()), partialAge):
			f.leftover(filepath.Join(dir, e.Name()), "an unfinished download")
		}
	}
}

// workLeftovers finds what dead processes left in the work tree: temporary files,
// and downloads that nobody went on with. Only names that ctrx alone gives count.
func (f *fsck) workLeftovers(ctx context.Context) error {
	old := f.p.now().Add(-leftoverAge)
	return filepath.WalkDir(f.p.Root, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return nil // what cannot be read holds nothing of ours, or will be found another time
		}
		switch base := d.Name(); {
		case d.IsDir() && (fsx.IsGit(base) || base == ".dvc" || name == f.p.Cache.Dir()):
			return fs.SkipDir
		case d.IsDir() && (base == storage.PartialDir || strings.HasPrefix(base, getPrefix)):
			if f.unused(name, partialAge) {
				f.leftover(name, "an unfinished download")
			}
			return fs.SkipDir
		case d.Type().IsRegular() && fsx.IsTemp(base):
			if info, err := d.Info(); err == nil && info.ModTime().Before(old) {
				f.leftover(name, "an unfinished file")
			}
		}
		return nil
	})
}

func (f *fsck) leftover(name, what string) {
	f.add(Problem{Finding: storage.Finding{What: storage.Leftover, Path: name, Size: sizeBelow(name), Detail: what}, Where: "project", Hint: "ctrx fsck --repair"})
}

// unused tells whether nothing at or below a path was written to for some time.
func (f *fsck) unused(name string, age time.Duration) bool {
	limit, unused := f.p.now().Add(-age), true
	err := filepath.WalkDir(name, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(limit) {
			unused = false
			return fs.SkipAll
		}
		return nil
	})
	return unused && err == nil
}

// sizeBelow adds up what lies at a path; for messages.
func sizeBelow(name string) (total int64) {
	_ = filepath.WalkDir(name, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// remoteLeftovers finds and removes what dead processes left on the remote.
func (f *fsck) remoteLeftovers(ctx context.Context, b storage.Backend, legacy bool) error {
	sweeper, ok := b.(storage.Sweeper)
	if !ok || legacy { // both layouts are in one place
		return nil
	}
	left, err := sweeper.Leftovers(ctx, f.p.now().Add(-leftoverAge))
	if err != nil {
		return err
	}
	for _, ob := range left {
		problem := Problem{Finding: storage.Finding{What: storage.Leftover, Path: ob.Key, Size: ob.Size, Detail: "an unfinished file"},
			Where: "remote '" + f.o.Remote + "'", Remote: f.o.Remote, Hint: "ctrx fsck --remote " + f.o.Remote + " --repair"}
		if f.o.Repair {
			if err := sweeper.Sweep(ctx, ob.Key); err != nil {
				return err
			}
			problem.Repaired = "removed"
		}
		f.add(problem)
	}
	return nil
}
