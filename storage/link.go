package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// LinkType is a way to make a workspace file out of a cache object.
type LinkType string

// The types, as spelled in cache.type.
const (
	Reflink  LinkType = "reflink"  // shares blocks until one side changes
	Hardlink LinkType = "hardlink" // the same file under a second name, read-only
	Symlink  LinkType = "symlink"  // a link to the absolute path of the object, read-only
	Copy     LinkType = "copy"
)

// DefaultLinks is the order that DVC uses when cache.type is not set.
func DefaultLinks() []LinkType { return []LinkType{Reflink, Copy} }

// ParseLinks reads a value of cache.type: link types separated by commas.
func ParseLinks(s string) ([]LinkType, error) {
	var out []LinkType
	for part := range strings.SplitSeq(s, ",") {
		l := LinkType(strings.TrimSpace(part))
		switch l {
		case Reflink, Hardlink, Symlink, Copy:
			out = append(out, l)
		default:
			return nil, errs.New(errs.ProjectFile, "cache.type: %q is not one of reflink, hardlink, symlink, copy", part)
		}
	}
	return out, nil
}

// linker makes workspace files out of objects of one cache. What link types
// work between the two places is found by trying.
type linker struct {
	cache *Cache
	ws    *fsx.Root
	types []LinkType
	first atomic.Int32 // index of the first type that may work
}

func newLinker(c *Cache, ws *fsx.Root, copyOnly bool) *linker {
	l := &linker{cache: c, ws: ws, types: c.opts.Links}
	if copyOnly {
		l.types = []LinkType{Copy}
	}
	return l
}

// probe finds out by a copy of the object d whether blocks can be shared, where a
// link is the second choice: a file of its own is then in place or not.
func (l *linker) probe(d Digest) {
	if len(l.types) < 2 || l.types[0] != Reflink || l.types[1] == Copy {
		return
	}
	if l.cache.noReflink.Load() || !l.cache.sharesBlocksOf(l.cache.Path(d)) && l.cache.noReflink.Load() {
		l.first.CompareAndSwap(0, 1)
	}
}

// place makes the file name in the workspace out of the object d, in one step.
// exec asks for the user's execute bit, which only a file of its own can have:
// on a link it would change the object.
func (l *linker) place(ctx context.Context, d Digest, name string, exec bool, m *meter) error {
	for i := int(l.first.Load()); i < len(l.types); i++ {
		t := l.types[i]
		if exec && (t == Hardlink || t == Symlink) {
			t = Copy
		}
		err := l.try(ctx, t, d, name, exec, m)
		if err == nil {
			return nil
		}
		if !linkUnsupported(err) {
			return fmt.Errorf("check out %s: %w", filepath.Join(l.ws.Dir(), name), err)
		}
		l.first.CompareAndSwap(int32(i), int32(i+1))
	}
	return errs.Hint(errs.New(errs.Failed, "check out %s: none of the link types %v works between the cache %s and the workspace",
		filepath.Join(l.ws.Dir(), name), l.types, l.cache.dir), "ctrx config cache.type reflink,copy")
}

func (l *linker) try(ctx context.Context, t LinkType, d Digest, name string, exec bool, m *meter) error {
	perm := copyMode(exec)
	if t == Copy {
		return l.copy(ctx, d, name, perm, m)
	}
	src, err := l.cache.Open(d)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	switch {
	case t == Symlink:
		err = l.ws.Symlink(l.cache.Path(d), name)
	case t == Reflink:
		err = l.ws.Reflink(src, name, perm)
	case info.Size() == 0: // as DVC does: all empty files would be one file
		err = l.empty(name, perm)
	default:
		err = l.ws.Link(l.cache.Path(d), name)
	}
	if err == nil {
		m.add(info.Size())
	}
	return err
}

// copyMode is the mode of a workspace file of its own, before the umask: like
// DVC, exec sets the user's bit only.
func copyMode(exec bool) fs.FileMode {
	if exec {
		return 0o766
	}
	return 0o666
}

func (l *linker) empty(name string, perm fs.FileMode) error {
	t, err := l.ws.Create(name, perm)
	if err != nil {
		return err
	}
	return t.Publish(fsx.Fast)
}

// copy copies an object, and checks it on the way: a disk that lost a bit must
// not get into results. A large one that was hashed before needs no check.
func (l *linker) copy(ctx context.Context, d Digest, name string, perm fs.FileMode, m *meter) error {
	src, err := l.cache.Open(d)
	if err != nil {
		return err
	}
	defer src.Close()
	t, err := l.ws.Create(name, perm)
	if err != nil {
		return err
	}
	defer t.Discard()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	before, start := fingerprintOf(info), l.cache.opts.Large.clock()
	if l.cache.knownWhole(d, before) {
		if err := copyPlain(ctx, t.File, src, m); err != nil {
			return fsx.FullDisk(err)
		}
		if !unchangedSince(src, before) {
			return l.corrupt(d)
		}
		return t.Publish(fsx.Fast)
	}
	got, _, err := l.cache.hasher.copy(ctx, t, src, m)
	if err != nil {
		return err
	}
	if string(got) != d.Hex() {
		return l.corrupt(d)
	}
	if unchangedSince(src, before) {
		l.cache.hashedWhole(d, before, start)
	}
	// No flush: what is lost in a power cut is in the cache.
	return t.Publish(fsx.Fast)
}

// copyPlain copies a file by the fastest way that the system has.
func copyPlain(ctx context.Context, dst, src *os.File, m *meter) error {
	const step = 64 << 20 // bytes between two looks at ctx
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.CopyN(dst, src, step)
		m.add(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *linker) corrupt(d Digest) error {
	return errs.Hint(errs.New(errs.DataCorrupt, "the cache object %s is corrupt", l.cache.Path(d)),
		"remove that file, then `ctrx fetch` it again")
}

// linkUnsupported tells the errors that mean "this kind of link does not work
// here".
func linkUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || isLinkRefused(err)
}

// wantsOwn tells whether the first link type that may work makes files of their
// own, so that any such file of the right content is in place.
func (l *linker) wantsOwn() bool {
	i := int(l.first.Load())
	return i < len(l.types) && (l.types[i] == Copy || l.types[i] == Reflink)
}

// executable tells whether a workspace file is one by itself that has an execute
// bit.
func (l *linker) executable(name string) bool {
	info, err := l.ws.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// placed tells whether the workspace file is already what the first link type
// that may work would make of the object d, given that its content is right.
// Only that type counts: a copy is not good enough where a hardlink is wanted
// and a copy is the second choice.
func (l *linker) placed(d Digest, name string) bool {
	i := int(l.first.Load())
	info, err := l.ws.Lstat(name)
	if err != nil || i >= len(l.types) {
		return false
	}
	link := info.Mode()&fs.ModeSymlink != 0
	ino, nlink := inode(info)
	switch l.types[i] {
	case Copy, Reflink: // which of the two it is cannot be seen
		return !link && nlink <= 1
	case Symlink:
		target, err := l.ws.Readlink(name)
		return link && err == nil && target == l.cache.Path(d)
	}
	if link || info.Size() == 0 {
		return !link
	}
	object, err := os.Lstat(l.cache.Path(d))
	if err != nil || nlink <= 1 {
		return false
	}
	objectIno, _ := inode(object)
	return ino == objectIno
}
