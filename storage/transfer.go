package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// TransferOptions say what Push, Fetch and Status work on.
type TransferOptions struct {
	Cache   *Cache
	Remote  Backend
	Objects []Digest   // files and directory objects; members of the latter are found by themselves
	Jobs    int        // objects at a time; 0: four per processor, at least 16
	Retry   Retry      // of transient failures
	Sink    event.Sink // progress in bytes; may be nil
	// CheckMembers makes Push and Status look for every member of a folder on
	// the remote. Without it a directory object there vouches for its members,
	// which is what DVC assumes and what Push takes care of.
	CheckMembers bool
	// Known spares Push and Status questions about members of folders; may be nil.
	Known *Known
	// Lists is where the lists of Known's folders are, beside Cache; may be nil.
	Lists *Cache
	// Name is that of the remote, for messages.
	Name string
	// Paths says which path each of Objects is for, for messages; may be nil.
	Paths map[Digest]string
}

// corruptHint says how to mend an object on the remote.
func (o TransferOptions) corruptHint() string {
	name := o.Name
	if name == "" {
		name = "NAME"
	}
	return "`ctrx fsck --remote " + name + " --repair`, where the cache has the object, sends it again"
}

// pathOf is the path that wants an object of a folder, or the object itself.
func (o TransferOptions) pathOf(root Digest, rel string) string {
	if o.Paths[root] == "" {
		return rel
	}
	return path.Join(o.Paths[root], rel)
}

func (o TransferOptions) withDefaults() TransferOptions {
	if o.Jobs <= 0 {
		o.Jobs = max(16, 4*runtime.GOMAXPROCS(0))
	}
	if o.Sink == nil {
		o.Sink = event.Discard
	}
	return o
}

func (o TransferOptions) key(d Digest) string { return o.Cache.alg.Key(d) }

// Transfer is what Push or Fetch did.
type Transfer struct {
	Files   int             // objects that are files, transferred
	Dirs    int             // directory objects transferred
	Bytes   int64           // content of both
	Missing []MissingObject // neither in the cache nor on the remote: worth a warning, no failure
}

// TransferError says that some objects could not be transferred. Its kind is
// Failed, unless all met what every object would meet: a refused key, a server
// that does not answer, a bucket that is not there.
type TransferError struct {
	Verb   string // "upload" or "download"
	Remote string // its name, where it is known
	Failed []FailedObject
}

// FailedObject is an object that could not be transferred.
type FailedObject struct {
	Digest Digest
	Path   string // that wants it; "" when not known
	Err    error
}

// TransferErrors gives all that are in an error.
func TransferErrors(err error) []*TransferError {
	switch e := err.(type) {
	case nil:
		return nil
	case *TransferError:
		return []*TransferError{e}
	case interface{ Unwrap() []error }:
		var all []*TransferError
		for _, inner := range e.Unwrap() {
			all = append(all, TransferErrors(inner)...)
		}
		return all
	}
	return TransferErrors(errors.Unwrap(err))
}

// Error counts the failures and lists the first of them.
func (e *TransferError) Error() string {
	var b strings.Builder
	noun := "files"
	if len(e.Failed) == 1 {
		noun = "file"
	}
	fmt.Fprintf(&b, "%d %s failed to %s", len(e.Failed), noun, e.Verb)
	const show = 10
	for i, f := range e.Failed {
		if i == show {
			fmt.Fprintf(&b, "\n  and %d more: --json lists all", len(e.Failed)-show)
			break
		}
		sep := "\n  "
		if len(e.Failed) == 1 {
			sep = ": "
		}
		if f.Path != "" {
			sep += f.Path + ": "
		}
		fmt.Fprintf(&b, "%s%v", sep, f.Err)
	}
	return b.String()
}

// Unwrap gives the causes.
func (e *TransferError) Unwrap() []error {
	out := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		out[i] = f.Err
	}
	return out
}

// Kind is Failed, or that of failures which left no hope for the rest.
func (e *TransferError) Kind() errs.Kind {
	kind := errs.KindOf(e.Failed[0].Err)
	for _, f := range e.Failed {
		if errs.KindOf(f.Err) != kind || !hopeless(f.Err) {
			return errs.Failed
		}
	}
	return kind
}

// Hint is that of the first failure that has one.
func (e *TransferError) Hint() string {
	for _, f := range e.Failed {
		if h := errs.HintOf(f.Err); h != "" {
			return h
		}
	}
	return "what was transferred stays: repeat the command to do the rest"
}

// hopeless tells the failures that every other object would meet as well.
func hopeless(err error) bool {
	switch errs.KindOf(err) {
	case errs.Auth, errs.Unreachable, errs.Interrupted, errs.Terminated:
		return true
	case errs.NotFound: // the bucket or folder, not the object
		return !errors.Is(err, fs.ErrNotExist)
	}
	return false
}

// tally collects what workers did.
type tally struct {
	mu      sync.Mutex
	out     Transfer
	failed  []FailedObject
	present map[Digest]bool // on the target after the transfer
	paths   map[Digest]string
	name    string // of the remote
	meter   *meter // of the transfer at work; may be nil
}

func (t *tally) done(d Digest, bytes int64) {
	if t.meter != nil {
		t.meter.file()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.IsDir() {
		t.out.Dirs++
	} else {
		t.out.Files++
	}
	t.out.Bytes += bytes
	t.present[d] = true
}

// fail takes note of a failure; it returns the error if there is no point in
// going on.
func (t *tally) fail(ctx context.Context, d Digest, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, FailedObject{d, t.paths[d], err})
	if hopeless(err) {
		return err
	}
	return nil
}

func (t *tally) missing(m MissingObject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Missing = append(t.out.Missing, m)
}

// result gives the error of the whole transfer.
func (t *tally) result(ctx context.Context, verb string, err error) (Transfer, error) {
	slices.SortFunc(t.out.Missing, func(a, b MissingObject) int {
		return strings.Compare(a.RelPath+string(a.Digest), b.RelPath+string(b.Digest))
	})
	if ctx.Err() == nil && len(t.failed) > 0 && (err == nil || hopeless(err)) {
		slices.SortFunc(t.failed, func(a, b FailedObject) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
		return t.out, &TransferError{Verb: verb, Remote: t.name, Failed: t.failed}
	}
	return t.out, err
}

// unique lists the different digests, in their order.
func unique(ds []Digest) []Digest {
	seen := make(map[Digest]struct{}, len(ds))
	out := make([]Digest, 0, len(ds))
	for _, d := range ds {
		if _, ok := seen[d]; !ok {
			seen[d] = struct{}{}
			out = append(out, d)
		}
	}
	return out
}

// flush lets a Flusher do its last step.
func flush(ctx context.Context, b Backend) error {
	if f, ok := b.(Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}
