package storage

import (
	"context"
	"errors"
	"io"
	"os"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// incoming is an object on its way into the cache. It is written to a temporary
// file and hashed on the way. A large one whose ETag is known goes to
// PartialDir, where a later call finds what came so far.
type incoming struct {
	b *batch
	d Digest
	partial

	head  *[]byte // content of an object that may turn out to be small; all of it while there is no file
	size  int     // bytes in head
	sum   *sum
	sent  int64 // bytes that the disk was asked to take
	noted int64 // bytes of content that comes out of order that are in their place, as written down
}

// noteStep is after how many bytes it is noted how much of content that comes out
// of order is in its place.
const noteStep = 16 << 20

// receive stores what fill writes as the object d. Other content is an error of
// kind DataCorrupt. fill is called a second time if what it went on with turns
// out to be of no use.
func (b *batch) receive(ctx context.Context, d Digest, fill func(in *incoming) error) error {
	name, err := b.cache.name(d)
	if err != nil {
		return err
	}
	in := &incoming{b: b, d: d, partial: partial{root: b.root, name: name, id: string(d)}, head: b.cache.hasher.pool.Get().(*[]byte), sum: b.cache.newSum()}
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

// complete tells whether all is here: a process that was killed before it could
// give the object its name leaves that, and there is no rest to ask for.
func (in *incoming) complete() bool { return string(in.sum.soFar()) == in.d.Hex() }

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
	in.startFlush()
	return n, err
}

// startFlush lets the disk begin when there is enough for it.
func (in *incoming) startFlush() {
	if in.sum.n-in.sent >= fsx.FlushStep {
		fsx.StartFlush(in.t.File, in.sent, in.sum.n-in.sent)
		in.sent = in.sum.n
	}
}

// Scatter implements Scatterer. A large object that will be kept is what it pays
// for.
func (in *incoming) Scatter() bool {
	if in.t == nil || !in.kept || in.note(in.sum.n) != nil {
		return false
	}
	in.noted = in.sum.n
	return true
}

// WriteAt implements Scatterer.
func (in *incoming) WriteAt(p []byte, offset int64) (int, error) { return in.t.WriteAt(p, offset) }

// Next implements Scatterer: what is hashed is what WriteAt was given.
func (in *incoming) Next(p []byte) error {
	in.sum.now(p)
	in.startFlush()
	if in.sum.n-in.noted < noteStep {
		return nil
	}
	in.noted = in.sum.n
	return in.note(in.noted)
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

// Announce implements Announced: it chooses the place of a large object.
func (in *incoming) Announce(o Object) {
	if in.b.resume {
		in.keep(o)
	}
}

// find goes on with what an earlier call has left: with what was noted to be in its
// place, or, where nothing was, with all of it.
func (in *incoming) find(ctx context.Context) error {
	noted := in.partial.find()
	if in.t == nil {
		return nil
	}
	if in.cut(noted) != nil {
		in.drop()
		return nil
	}
	for {
		if ctx.Err() != nil {
			in.t.Keep()
			return context.Cause(ctx)
		}
		_, err := io.CopyN(in.sum, in.t, 1<<20)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) || in.sum.n == 0 {
			in.drop() // what comes may have another ETag
		}
		return nil
	}
}

// cut takes away what comes after n bytes; negative: nothing.
func (in *incoming) cut(n int64) error {
	if n < 0 {
		return nil
	}
	info, err := in.t.Stat()
	if err != nil || info.Size() <= n {
		return err
	}
	return in.t.Truncate(n)
}

// drop throws away what came so far.
func (in *incoming) drop() {
	in.partial.drop()
	in.sum, in.size, in.sent = in.b.cache.newSum(), 0, 0
}

// settle leaves what is in its place, and notes all of it.
func (in *incoming) settle() error {
	if err := in.cut(in.sum.n); err != nil {
		return err
	}
	_ = in.note(in.sum.n) // what was noted before is not wrong, only less
	return nil
}

// leave ends a failed attempt: what a later one can go on with stays.
func (in *incoming) leave(ctx context.Context, err error) {
	switch {
	case in.t == nil:
	case in.resumable(ctx, err) && in.settle() == nil:
		in.t.Keep()
	default:
		in.drop()
	}
}
