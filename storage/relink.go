package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// relink makes the workspace files what the link types ask for, after the cache
// holds their content.
func (c *Cache) relink(ctx context.Context, abs string, t Tree, opts CommitOptions) error {
	ws, base, err := openWorkspace(opts.Root, abs)
	if err != nil {
		return err
	}
	defer ws.Close()
	l := newLinker(c, ws, opts.CopyOnly)
	members := t.Dir
	if !t.IsDir() {
		members = DirObject{{MD5: t.Digest}}
	}
	if !t.IsDir() { // DVC leaves the files of a folder that are no links
		l.probe(t.Digest)
	}
	var later settling
	m := newMeter(nil, "", "", 0)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	for i, e := range members {
		name := join(base, e.RelPath)
		if i < len(t.seen) && t.seen[i].own && l.wantsOwn() || l.placed(e.MD5, name) {
			continue
		}
		g.Go(func() error {
			if err := c.unchanged(gctx, join(abs, e.RelPath), e.MD5, t.seen, i); err != nil {
				return err
			}
			if err := l.place(gctx, e.MD5, name, t.IsExec, m); err != nil {
				return err
			}
			later.look(join(abs, e.RelPath), e.MD5)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !t.IsDir() {
		mode := ownMode(false)
		if l.types[0] == Copy { // as DVC: only where copies were asked for
			mode = ownMode(c.opts.Shared)
		}
		if err := normalMode(ws, base, mode, t.IsExec); err != nil {
			return err
		}
	}
	return later.record(ctx, c.opts.State, c.alg)
}

// unchanged makes sure that a workspace file about to be replaced still has the
// content that is in the cache.
func (c *Cache) unchanged(ctx context.Context, path string, d Digest, known []seen, i int) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if i < len(known) && known[i].print == fingerprintOf(info) {
		return nil
	}
	got, err := c.hasher.files(ctx, path, []found{{stamp: fsx.StampOf(info)}})
	if err != nil {
		return err
	}
	if string(got[0].digest) != d.Hex() {
		return changedError(path)
	}
	return nil
}

// ownMode is the mode of a workspace file of its own that is no program. DVC
// gives those that it makes writable in a project with a shared cache to the
// group, whatever the umask.
func ownMode(shared bool) fs.FileMode {
	if shared {
		return 0o664
	}
	return 0o666 &^ fsx.Umask()
}

// normalMode gives a tracked file of its own the mode want, plus the user's
// execute bit if it had any: what DVC leaves behind, so that the same file
// checked out elsewhere is the same (dvc-compat 4.6).
func normalMode(ws *fsx.Root, name string, want fs.FileMode, exec bool) error {
	info, err := ws.Lstat(name)
	if err != nil {
		return err
	}
	if _, links := inode(info); !info.Mode().IsRegular() || links > 1 {
		return nil
	}
	if exec {
		want |= 0o100
	}
	if info.Mode().Perm() == want {
		return nil
	}
	err = ws.Chmod(name, want)
	// A file below a linked folder, or of another user, keeps its mode: it is
	// in the cache, and that is what was asked for.
	if errs.KindOf(err) == errs.Conflict || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// openWorkspace opens the folder root (or that of the path) for writing, and
// gives the name of the path below it.
func openWorkspace(root, abs string) (*fsx.Root, string, error) {
	if root == "" {
		root = filepath.Dir(abs)
	}
	ws, err := fsx.OpenRoot(root)
	if err != nil {
		return nil, "", err
	}
	name, err := ws.Rel(abs)
	if err != nil {
		ws.Close()
		return nil, "", err
	}
	return ws, name, nil
}

// settling collects files that were just written with known content, to
// remember their digests once the clock has moved on: see State.
type settling struct {
	mu    sync.Mutex
	files []settlingFile
	bytes int64
	last  int64 // newest time of change, in nanoseconds since 1970
}

type settlingFile struct {
	path   string
	digest Digest
	print  fingerprint
}

// look adds a file as it lies there.
func (s *settling) look(path string, d Digest) {
	info, err := os.Stat(path)
	if err != nil {
		return // then it is hashed when it is back
	}
	s.add(path, d, printOf(fsx.StampOf(info)))
}

func (s *settling) add(path string, d Digest, p fingerprint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, settlingFile{path, d, p})
	s.bytes += p.size
	s.last = max(s.last, p.mtime)
}

// record waits for the clock if that pays, and remembers the files that no later
// change can leave looking the same.
func (s *settling) record(ctx context.Context, state *State, alg Algorithm) error {
	if state == nil || len(s.files) == 0 {
		return nil
	}
	if s.bytes >= worthWaiting {
		if err := waitSettled(ctx, time.Unix(0, s.last)); err != nil {
			return fmt.Errorf("wait for the clock: %w", err)
		}
	}
	now := state.now()
	for _, f := range s.files {
		// A file that was changed since does not look like this any more.
		if settled(time.Unix(0, f.print.mtime), now) {
			state.record(f.path, alg, f.print, f.digest)
		}
	}
	return nil
}

// Unprotect makes the workspace files of path (a file, or a folder with its
// files) writable files of their own, where they are links into the cache.
func (c *Cache) Unprotect(ctx context.Context, path, root string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("unprotect %s: %w", path, err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return fmt.Errorf("unprotect: %w", err)
	}
	files := []found{{stamp: fsx.StampOf(info)}}
	if info.IsDir() {
		w := walker{root: abs, lenient: true}
		if err := w.walk(ctx); err != nil {
			return fmt.Errorf("unprotect %s: %w", path, err)
		}
		files = w.files
	}
	ws, base, err := openWorkspace(root, abs)
	if err != nil {
		return fmt.Errorf("unprotect %s: %w", path, err)
	}
	defer ws.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	for _, f := range files {
		if !f.broken {
			g.Go(func() error { return c.unprotectFile(gctx, ws, join(base, f.rel), join(abs, f.rel)) })
		}
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("unprotect %s: %w", path, err)
	}
	return nil
}

func (c *Cache) unprotectFile(ctx context.Context, ws *fsx.Root, name, abs string) error {
	info, err := ws.Lstat(name)
	if err != nil {
		return err
	}
	exec, mode := info.Mode().IsRegular() && info.Mode()&0o100 != 0, ownMode(c.opts.Shared)
	if _, links := inode(info); info.Mode().IsRegular() && links <= 1 {
		return normalMode(ws, name, mode, exec)
	}
	src, err := os.Open(abs)
	if err != nil {
		return err
	}
	defer src.Close()
	t, err := ws.Create(name, 0o666)
	if err != nil {
		return err
	}
	defer t.Discard()
	if _, _, err := c.hasher.copy(ctx, t, src, newMeter(nil, "", "", 0)); err != nil {
		return err
	}
	if err := t.Publish(fsx.Flushed); err != nil {
		return err
	}
	return normalMode(ws, name, mode, exec)
}
