package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"ctrx/internal/errs"
)

// Backend keeps objects by key in some other place: a folder, a bucket. What
// callers may rely on, and what storage/backendtest checks:
//
// Keys are slash separated, pass fs.ValidPath and are not "."; another key is
// an error, before anything is touched. The place of the keys (a folder, a
// prefix of a bucket) belongs to the Backend.
//
// Whole objects only. An object is seen with all its content or not at all:
// while Put runs, after Put failed, after the process was killed or the
// connection broke. A Put that failed leaves what was there before; a Put that
// returned nil is seen by every later call. Put replaces. When a key names its
// content (see KeyDigest), other content is refused with kind DataCorrupt.
//
// Missing is an answer. Stat and Get of a missing key give an error that wraps
// fs.ErrNotExist. Delete of a missing key is no error. A missing bucket, remote
// folder or host is another error, of kind NotFound, Auth or Unreachable, that
// does not wrap fs.ErrNotExist.
//
// Get writes the content in order, once. After an error it may have written a
// part. Put reads from r's start and may seek; it does not close it. r has size
// bytes; fewer or more are an error.
//
// List gives all objects whose key begins with prefix (any string, not just
// folders), in any order, once each. After an error it ends. Objects put or
// deleted meanwhile may or may not be among them. A store that cannot list or
// delete, as a web server, gives an error that wraps errors.ErrUnsupported.
//
// Errors are those of the first call that matters; a transient one (a reset
// connection, a server that asks for patience) says so by IsTransient, after
// the Backend's own attempts. Errors and events never hold secrets. All methods
// are safe for concurrent use and stop soon after ctx ends, with its cause in
// the error.
type Backend interface {
	// Stat gives the size in bytes.
	Stat(ctx context.Context, key string) (int64, error)
	// Get writes the content to w.
	Get(ctx context.Context, key string, w io.Writer) error
	// Put stores size bytes from r.
	Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error
	// List gives the objects whose key begins with prefix.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes an object.
	Delete(ctx context.Context, key string) error
}

// Flusher is a Backend that may hold back the last step of storing (flushing a
// disk, marking an object as checked). Objects are visible before, but may not
// survive a power cut. Push calls Flush before the directory objects and at its
// end.
type Flusher interface {
	Flush(ctx context.Context) error
}

// FileSource is content that Put is given and that lies in a file: a Backend on
// the same disk may share its blocks instead of copying them.
type FileSource interface {
	io.ReadSeeker
	SourceFile() *os.File
}

// HashedSource is content that Put is given and that may have been hashed before. A
// Backend that trusts that asks Hashed twice: before it reads, and again before it
// makes the object visible.
type HashedSource interface {
	FileSource
	// Hashed tells whether the content is known to be the one that the key
	// names, and has not changed since that is known.
	Hashed() bool
	// CopyTo copies the next n bytes to a file, by the fastest way that the
	// system has. At the end it gives io.EOF, with the number of bytes before it.
	CopyTo(dst *os.File, n int64) (int64, error)
}

// IsHashed gives r as a HashedSource whose content need not be hashed, or nil.
func IsHashed(r io.Reader) HashedSource {
	if s, ok := r.(HashedSource); ok && s.Hashed() {
		return s
	}
	return nil
}

// ErrSourceChanged says that an object was written to while it was sent: its
// content is not known any more.
var ErrSourceChanged = errs.Hint(errs.New(errs.Conflict, "the object was written to while it was being sent"),
	"repeat the command; `ctrx fsck` shows whether the cache is still whole")

// FileTaker is a writer that can take content as a file of this machine, whose
// blocks it shares. Get of a Backend that has such files offers them before the
// first byte; false means that the content is to be written.
type FileTaker interface {
	io.Writer
	TakeFile(ctx context.Context, f *os.File) (bool, error)
}

// Announced is a writer that wants to know what it is about to get. Get of a
// Backend that can, tells it before the first byte.
type Announced interface {
	io.Writer
	Announce(o Object)
}

// Scatterer is a writer that takes content before its turn, so that a Backend
// that gets several ranges of an object at a time need not hold them all until
// they are written.
type Scatterer interface {
	io.Writer
	// Scatter tells whether WriteAt and Next can be called from now on, instead of
	// Write.
	Scatter() bool
	// WriteAt puts content that is not Next's yet where it belongs, counted from the
	// first byte of the object. It may be called several times at once.
	WriteAt(p []byte, offset int64) (int, error)
	// Next takes the content that follows in order, all of which WriteAt has put in
	// its place.
	Next(p []byte) error
}

// ScatterTo gives w as a Scatterer that is ready, or nil.
func ScatterTo(w io.Writer) Scatterer {
	if s, ok := w.(Scatterer); ok && s.Scatter() {
		return s
	}
	return nil
}

// Ranger is a Backend that can send an object from the middle on, so that a
// download need not begin anew. It announces objects with their ETag.
type Ranger interface {
	// GetFrom writes the content from a byte on, if the object still has the
	// ETag; one that was replaced is an error that wraps ErrReplaced.
	GetFrom(ctx context.Context, key, etag string, offset int64, w io.Writer) error
}

// ErrReplaced says that an object is another one than the one asked for.
var ErrReplaced = errors.New("the object was replaced meanwhile")

// Journaler is a Backend that keeps records of unfinished work in a folder, so
// that a later process can go on with it.
type Journaler interface{ Journal(dir string) }

// Sweeper is a Backend on which processes that die leave files behind.
type Sweeper interface {
	// Leftovers lists unfinished files that nothing has written to since before.
	Leftovers(ctx context.Context, before time.Time) ([]Object, error)
	// Sweep removes one of them.
	Sweep(ctx context.Context, key string) error
}

// Object is what List gives.
type Object struct {
	Key  string
	Size int64 // bytes
	// ETag is the server's name for this content, without quotes; "" where it
	// gives none.
	ETag string
}

// CheckKey tells whether key is one that a Backend takes.
func CheckKey(key string) error {
	if !fs.ValidPath(key) || key == "." || strings.ContainsAny(key, "\\\x00") {
		return errs.New(errs.Failed, "%q is not a valid object key", key)
	}
	return nil
}

// KeyDigest gives the digest that a key names: the inverse of Digest.Key. Keys
// of legacy objects give false, since their digest is not the MD5 of the bytes.
func KeyDigest(key string) (Digest, bool) {
	rest, ok := strings.CutPrefix(key, "files/md5/")
	if !ok || len(rest) < 3 || rest[2] != '/' {
		return "", false
	}
	d := Digest(rest[:2] + rest[3:])
	return d, d.Valid()
}

// CheckContent compares the MD5 of content that was read with the digest that
// the key names, if it names one.
func CheckContent(key string, md5 Digest) error {
	if want, ok := KeyDigest(key); ok && want.Hex() != md5.Hex() {
		return errs.Hint(errs.New(errs.DataCorrupt, "the content of %s has the MD5 %s: it is corrupt", want, md5.Hex()),
			"remove the object from the cache and bring it back with `ctrx fetch`, `ctrx add` or `ctrx repro`")
	}
	return nil
}

type transientError struct{ err error }

func (e *transientError) Error() string   { return e.err.Error() }
func (e *transientError) Unwrap() error   { return e.err }
func (e *transientError) Transient() bool { return true }

// Transient marks an error as one that may go away by trying again.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transientError{err}
}

// IsTransient tells whether trying again may help. The end of a context is not
// transient.
func IsTransient(err error) bool {
	var t interface{ Transient() bool }
	if errors.Is(err, context.Canceled) {
		return false
	}
	return errors.As(err, &t) && t.Transient()
}
