package storage

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"

	"ctrx/internal/fsx"
)

// recordStep is after how many bytes a download is synced, so that a later call
// can trust what it finds.
const recordStep = 64 << 20

// Source gives the content of something from a byte on. From another byte than
// the first it must still have the ETag; where it has not, the error wraps
// ErrReplaced. It announces the content to w (see Announced) if it can do so.
type Source func(ctx context.Context, etag string, offset int64, w io.Writer) error

// SourceOf is the Source of an object. One of a Backend that is no Ranger is
// never announced.
func SourceOf(b Backend, key string) Source {
	ranger, _ := b.(Ranger)
	return func(ctx context.Context, etag string, offset int64, w io.Writer) error {
		if offset > 0 && ranger != nil {
			return ranger.GetFrom(ctx, key, etag, offset, w)
		}
		if ranger == nil {
			w = struct{ io.Writer }{w}
		}
		return b.Get(ctx, key, w)
	}
}

// DownloadOptions say where Download writes to.
type DownloadOptions struct {
	Root *fsx.Root
	Name string // below Root; its folder must be there
	// ID names what is downloaded: an address. A later call with the same ID and
	// Root goes on where a dropped connection or a killed process left a large
	// file.
	ID       string
	Progress *Progress // may be nil
	Retry    Retry     // of transient failures
}

// Download writes content that nothing but an ETag is known of to a new file,
// which has its name when it is whole, and not before.
func Download(ctx context.Context, o DownloadOptions, from Source) error {
	sum := md5.Sum([]byte(o.ID))
	d := &download{o: o, partial: partial{root: o.Root, name: o.Name, id: hex.EncodeToString(sum[:])}}
	err := o.Retry.do(ctx, func() error { return d.attempt(ctx, from) })
	if d.resumed && err != nil && ctx.Err() == nil && !IsTransient(err) { // there is nothing to go on with any more
		d.drop()
		d.afresh = true
		err = o.Retry.do(ctx, func() error { return d.attempt(ctx, from) })
	}
	if err != nil {
		d.drop()
	}
	return err
}

// download is a file on its way.
type download struct {
	o DownloadOptions
	partial
	n        int64 // bytes that are in the file
	recorded int64 // of them, known to be on the disk
	shown    int64 // of them, told to the progress
	resumed  bool  // the last attempt went on from what came before
	afresh   bool  // no attempt may
}

// attempt brings the rest of the content. What it leaves after a failure that a
// later call can go on from is on the disk and closed.
func (d *download) attempt(ctx context.Context, from Source) error {
	if err := d.begin(); err != nil {
		return err
	}
	err := from(ctx, d.etag, d.n, d)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && d.t == nil {
		err = d.create() // nothing came: an empty file
	}
	if err == nil {
		return d.publish()
	}
	if d.resumable(ctx, err) && d.record(d.n) == nil {
		d.t.Keep()
		d.t = nil
		return err
	}
	d.drop()
	return fsx.FullDisk(err)
}

func (d *download) publish() error {
	durability := fsx.Fast
	if d.kept {
		durability = fsx.Flushed
	}
	if err := d.t.Publish(durability); err != nil {
		return err
	}
	d.tidy()
	return nil
}

// begin finds what came before.
func (d *download) begin() error {
	d.n, d.recorded, d.resumed, d.kept, d.etag = 0, 0, false, false, ""
	if d.afresh {
		return nil
	}
	safe := d.find()
	if d.t == nil {
		return nil
	}
	info, err := d.t.Stat()
	if err != nil {
		return err
	}
	d.n = min(max(safe, 0), info.Size())
	d.recorded, d.resumed = d.n, d.n > 0
	if err := d.t.Truncate(d.n); err != nil {
		return err
	}
	if _, err := d.t.Seek(d.n, io.SeekStart); err != nil {
		return err
	}
	d.show()
	return nil
}

func (d *download) create() (err error) {
	d.t, err = d.root.Create(d.name, 0o666)
	return err
}

// show tells the progress of bytes that it was not told of yet: after a broken
// connection some come twice.
func (d *download) show() {
	if d.o.Progress != nil && d.n > d.shown {
		d.o.Progress.m.add(d.n - d.shown)
		d.shown = d.n
	}
}

// Announce implements Announced.
func (d *download) Announce(o Object) { d.keep(o) }

// Write takes content.
func (d *download) Write(p []byte) (int, error) {
	if d.t == nil {
		if err := d.create(); err != nil {
			return 0, err
		}
	}
	n, err := d.t.Write(p)
	d.n += int64(n)
	d.show()
	if err == nil && d.kept && d.n-d.recorded >= recordStep {
		err = d.record(d.n)
		d.recorded = d.n
	}
	return n, err
}
