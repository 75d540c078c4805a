package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// PartialDir holds large objects that did not arrive whole, each beside the ETag
// that it had on the remote. It lies in the folder that the objects belong into
// so that a rename reaches them; neither DVC nor ctrx takes what is in it for an
// object.
const PartialDir = ".ctrx-partial"

// resumeSize is the size in bytes from which on an object that did not arrive
// whole is kept. A smaller one is sooner got again than found.
const resumeSize = 16 << 20

// partial is a file on its way. A large one whose ETag is known is written below
// PartialDir, where a later call finds what came so far.
type partial struct {
	root *fsx.Root
	name string // what it will be called below root
	id   string // what it is called below PartialDir

	t    *fsx.Temp // nil while there is none
	kept bool      // t lies in PartialDir
	etag string    // of the content; "" where it is not kept
}

func (p *partial) partialName() string { return filepath.Join(PartialDir, p.id) }

func (p *partial) etagName() string { return p.partialName() + ".etag" }

func (p *partial) newETagName() string { return p.etagName() + ".new" }

// keep chooses PartialDir as the place of a large object, where it can be gone
// on with.
func (p *partial) keep(o Object) {
	if p.t != nil || o.Size < resumeSize || o.ETag == "" || p.root.MkdirAll(PartialDir, 0o777) != nil {
		return
	}
	t, err := p.root.Resume(p.name, p.partialName(), 0o666)
	if err != nil {
		return // another process is at it
	}
	if t.Truncate(0) != nil || p.write(o.ETag) != nil {
		t.Discard()
		return
	}
	p.t, p.kept, p.etag = t, true, o.ETag
}

// write replaces the text beside the object. Only the process that has locked the
// object does that; one that is killed meanwhile leaves a file, whose name the
// next one takes. Nothing is flushed: a text that a power cut takes costs time.
func (p *partial) write(text string) error {
	_ = p.root.Remove(p.newETagName())
	f, err := p.root.CreateNew(p.newETagName(), 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		_ = p.root.Remove(p.newETagName())
		return fsx.FullDisk(err)
	}
	return p.root.Rename(p.newETagName(), p.etagName())
}

// find opens what an earlier call has left, and gives how many bytes of it were
// noted to be in their place; negative: nothing was noted. Without anything to go
// on with, t stays nil.
func (p *partial) find() (safe int64) {
	if _, err := p.root.Lstat(p.partialName()); err != nil {
		return -1
	}
	t, err := p.root.Resume(p.name, p.partialName(), 0o666)
	if err != nil {
		return -1
	}
	etag, safe, ok := p.read() // nobody else writes it from now on
	if !ok {
		t.Keep()
		return -1
	}
	p.t, p.kept, p.etag = t, true, etag
	return safe
}

// read gives what write has left: the ETag, and how many bytes were noted;
// negative: nothing was.
func (p *partial) read() (etag string, safe int64, ok bool) {
	text, err := p.root.ReadFile(p.etagName())
	etag, count, counted := strings.Cut(string(text), "\n")
	if err != nil || etag == "" {
		return "", -1, false
	}
	if !counted {
		return etag, -1, true
	}
	safe, err = strconv.ParseInt(count, 10, 64)
	return etag, safe, err == nil && safe >= 0
}

// record writes down that n bytes are on the disk for sure.
func (p *partial) record(n int64) error {
	if err := p.t.Sync(); err != nil {
		return err
	}
	return p.note(n)
}

// note writes down that n bytes are in their place, for when the process is
// killed. After a power cut they may not be on the disk.
func (p *partial) note(n int64) error {
	return p.write(p.etag + "\n" + strconv.FormatInt(n, 10))
}

// drop throws away what came so far.
func (p *partial) drop() {
	if p.t != nil {
		p.t.Discard()
		p.tidy()
	}
	p.t, p.kept, p.etag = nil, false, ""
}

// resumable tells whether, after a failed attempt, a later one can go on.
func (p *partial) resumable(ctx context.Context, err error) bool {
	kind := errs.KindOf(err)
	return p.t != nil && p.kept && (ctx.Err() != nil || IsTransient(err) || kind == errs.Auth || kind == errs.Unreachable)
}

// tidy removes what only an unfinished object needs.
func (p *partial) tidy() {
	if !p.kept {
		return
	}
	_ = p.root.Remove(p.newETagName()) // of a process that was killed
	if err := p.root.Remove(p.etagName()); err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = p.root.Remove(PartialDir) // fails while there are others
	}
}

// HasPartial tells whether a part of a large object waits in the cache for the
// call that goes on with it.
func (c *Cache) HasPartial() bool {
	entries, err := os.ReadDir(filepath.Join(c.objectsDir(), PartialDir))
	return err == nil && len(entries) > 0
}
