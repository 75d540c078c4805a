package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// partialDir holds large objects that did not arrive whole, by their digest,
// each beside the ETag that it had on the remote. It lies among the objects so
// that a rename reaches them; neither DVC nor ctrx takes what is in it for an
// object.
const partialDir = ".ctrx-partial"

// resumeSize is the size in bytes from which on an object that did not arrive
// whole is kept. A smaller one is sooner got again than found.
const resumeSize = 16 << 20

// incoming is an object on its way into the cache. It is written to a temporary
// file and hashed on the way. A large one whose ETag is known goes to
// partialDir, where a later call finds what came so far.
type incoming struct {
	b    *batch
	d    Digest
	name string

	head    *[]byte   // content of an object that may turn out to be small
	size    int       // bytes in head
	t       *fsx.Temp // nil while all of it is in head
	sum     *sum
	sent    int64 // bytes that the disk was asked to take
	partial bool  // t lies in partialDir
	etag    string
}

// receive stores what fill writes as the object d. Other content is an error of
// kind DataCorrupt. fill is called a second time if what it went on with turns
// out to be of no use.
func (b *batch) receive(ctx context.Context, d Digest, fill func(in *incoming) error) error {
	name, err := b.cache.name(d)
	if err != nil {
		return err
	}
	in := &incoming{b: b, d: d, name: name, head: b.cache.hasher.pool.Get().(*[]byte), sum: b.cache.newSum()}
	defer b.cache.hasher.pool.Put(in.head)
	if b.resume {
		if err := in.find(ctx); err != nil {
			return err
		}
	}
	begun, _ := in.begun()
	err = in.take(ctx, fill)
	if begun > 0 && (errors.Is(err, ErrReplaced) || errs.KindOf(err) == errs.DataCorrupt) {
		in.drop()
		err = in.take(ctx, fill)
	}
	if err != nil {
		in.leave(ctx, err)
		return err
	}
	if in.t == nil {
		return b.putSmall(d, (*in.head)[:in.size])
	}
	n := in.sum.n
	if err := b.cache.mkdir(b.root, name); err != nil {
		return err
	}
	if err := b.publish(in.t, name, n); err != nil {
		return err
	}
	b.cache.justCame(d)
	in.tidy()
	return nil
}

// begun gives how much is here already, and of which object on the remote.
func (in *incoming) begun() (offset int64, etag string) {
	if in.t == nil {
		return 0, ""
	}
	return in.sum.n, in.etag
}

// take lets the content come and checks it.
func (in *incoming) take(ctx context.Context, fill func(in *incoming) error) error {
	if err := fill(in); err != nil {
		return fsx.FullDisk(err)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if got := in.sum.digest(); string(got) != in.d.Hex() {
		return errs.New(errs.DataCorrupt, "the content of %s is that of %s", in.d, got)
	}
	return nil
}

// open begins a file with what came so far.
func (in *incoming) open() error {
	if err := in.b.cache.mkdir(in.b.root, in.name); err != nil {
		return err
	}
	t, err := in.b.root.Create(in.name, 0o666)
	if err != nil {
		return err
	}
	in.t = t
	_, err = t.Write((*in.head)[:in.size])
	return err
}

// Write takes content.
func (in *incoming) Write(p []byte) (int, error) {
	if in.t == nil {
		if in.size+len(p) < hashBlock {
			in.size += copy((*in.head)[in.size:], p)
			in.sum.Write(p)
			return len(p), nil
		}
		if err := in.open(); err != nil {
			return 0, err
		}
	}
	n, err := in.t.Write(p)
	in.sum.Write(p[:n])
	if in.sum.n-in.sent >= fsx.FlushStep {
		fsx.StartFlush(in.t.File, in.sent, in.sum.n-in.sent)
		in.sent = in.sum.n
	}
	return n, err
}

// TakeFile implements FileTaker: it takes the blocks of a file where the cache is on
// the same disk and that can share them, and reads what it got.
func (in *incoming) TakeFile(ctx context.Context, src *os.File) (bool, error) {
	if in.t != nil || in.size > 0 || in.b.noReflink.Load() {
		return false, nil
	}
	if err := in.b.cache.mkdir(in.b.root, in.name); err != nil {
		return false, err
	}
	t, err := in.b.root.CreateClone(src, in.name, 0o666)
	if errors.Is(err, errors.ErrUnsupported) {
		in.b.noReflink.Store(true)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	in.t = t
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		n, err := io.ReadFull(t, *in.head)
		in.sum.Write((*in.head)[:n])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (in *incoming) partialName() string { return filepath.Join(partialDir, string(in.d)) }

func (in *incoming) etagName() string { return in.partialName() + ".etag" }

// Announce implements Announced: it chooses the place of a large object.
func (in *incoming) Announce(o Object) {
	if in.t != nil || !in.b.resume || o.Size < resumeSize || o.ETag == "" {
		return
	}
	r := in.b.root
	if r.MkdirAll(partialDir, 0o777) != nil {
		return
	}
	t, err := r.Resume(in.name, in.partialName(), 0o666)
	if err != nil {
		return // another process is at it
	}
	if t.Truncate(0) != nil || r.WriteFile(in.etagName(), []byte(o.ETag), 0o666) != nil {
		t.Discard()
		return
	}
	in.t, in.partial, in.etag = t, true, o.ETag
}

// find goes on with what an earlier call has left.
func (in *incoming) find(ctx context.Context) error {
	r := in.b.root
	if _, err := r.Lstat(in.partialName()); err != nil {
		return nil
	}
	etag, err := r.ReadFile(in.etagName())
	if err != nil || len(etag) == 0 {
		return nil
	}
	t, err := r.Resume(in.name, in.partialName(), 0o666)
	if err != nil {
		return nil
	}
	in.t, in.partial, in.etag = t, true, string(etag)
	for {
		if ctx.Err() != nil {
			in.t.Keep()
			return context.Cause(ctx)
		}
		if _, err := io.CopyN(in.sum, t, 1<<20); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			in.drop()
			return nil
		}
	}
}

// drop throws away what came so far.
func (in *incoming) drop() {
	if in.t != nil {
		in.t.Discard()
		in.tidy()
	}
	in.t, in.partial, in.etag, in.sum, in.size, in.sent = nil, false, "", in.b.cache.newSum(), 0, 0
}

// leave ends a failed attempt: what a later one can go on with stays.
func (in *incoming) leave(ctx context.Context, err error) {
	if in.t == nil {
		return
	}
	kind := errs.KindOf(err)
	if in.partial && (ctx.Err() != nil || IsTransient(err) || kind == errs.Auth || kind == errs.Unreachable) {
		in.t.Keep()
		return
	}
	in.drop()
}

// tidy removes what only a partial object needs.
func (in *incoming) tidy() {
	if !in.partial {
		return
	}
	if err := in.b.root.Remove(in.etagName()); err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = in.b.root.Remove(partialDir) // fails while there are others
	}
}
