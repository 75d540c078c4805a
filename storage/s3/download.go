package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// bodyAttempts is how often a range is asked for when the connection breaks
// while its content arrives. (The SDK only repeats requests without an answer.)
// An attempt that brought bodyProgress bytes does not count.
const (
	bodyAttempts = 4
	bodyProgress = 64 << 10
)

// Get writes the content of an object to w. Objects of more than a part come in
// ranges, several at a time, written in order.
func (b *Backend) Get(ctx context.Context, key string, w io.Writer) error {
	if err := b.get(ctx, key, w); err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	return nil
}

func (b *Backend) get(ctx context.Context, key string, w io.Writer) error {
	return b.run(ctx, &download{b: b, key: key}, w)
}

// GetFrom writes the content from a byte on, if the object still has the ETag.
func (b *Backend) GetFrom(ctx context.Context, key, etag string, offset int64, w io.Writer) error {
	if err := b.run(ctx, &download{b: b, key: key, etag: `"` + etag + `"`, start: offset}, w); err != nil {
		return fmt.Errorf("get %s from byte %d: %w", key, offset, err)
	}
	return nil
}

func (b *Backend) run(ctx context.Context, d *download, w io.Writer) error {
	if err := b.begin(ctx, d.key); err != nil {
		return err
	}
	if err := d.first(ctx, w); err != nil {
		return err
	}
	if d.next >= d.total {
		return nil
	}
	return d.rest(ctx, w)
}

// download is a Get at work. The first answer says how long the object is and
// which version of it is being read.
type download struct {
	b     *Backend
	key   string
	etag  string // with its quotes; "" until the first answer
	start int64
	total int64
	next  int64 // what comes after the first range
}

// writeError tells a failure to write from one to read: it is not for trying
// again.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// bodyError is a failure while content arrives, after a good answer.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }

// first gets the beginning of the object, straight to w.
func (d *download) first(ctx context.Context, w io.Writer) error {
	d.next = d.start
	announced := false
	return d.attempts(ctx, func() (int64, error) {
		out, err := d.open(ctx, d.next, partSize)
		if err != nil || out == nil { // nil: an empty object
			return 0, err
		}
		defer out.Body.Close()
		if !announced {
			d.etag = aws.ToString(out.ETag)
			if d.total, err = totalSize(out); err != nil {
				return 0, err
			}
			if a, ok := w.(storage.Announced); ok && d.start == 0 {
				a.Announce(storage.Object{Key: d.key, Size: d.total, ETag: plainETag(out.ETag)})
			}
			announced = true
		}
		n, err := copyBody(w, out)
		d.next += n
		return n, err
	})
}

// totalSize is the size of the whole object, of which the answer may be a part.
func totalSize(out *awss3.GetObjectOutput) (int64, error) {
	if out.ContentRange == nil { // the server sends everything at once
		return aws.ToInt64(out.ContentLength), nil
	}
	_, total, ok := strings.Cut(*out.ContentRange, "/")
	n, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil {
		return 0, errs.New(errs.Failed, "the server sent the range %q", *out.ContentRange)
	}
	return n, nil
}

// open asks for n bytes from offset at. For an empty object there is no range
// to ask for: the answer is nil.
func (d *download) open(ctx context.Context, at, n int64) (*awss3.GetObjectOutput, error) {
	var out *awss3.GetObjectOutput
	err := d.b.call(ctx, func(o func(*awss3.Options)) (err error) {
		in := &awss3.GetObjectInput{
			Bucket: d.b.bucket(), Key: d.b.object(d.key),
			Range: aws.String(fmt.Sprintf("bytes=%d-%d", at, at+n-1)),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = d.b.set.customerKey()
		if out, err = d.b.client.GetObject(ctx, in, o); err != nil {
			return err
		}
		if err = likeS3(out.ETag); err != nil {
			out.Body.Close()
		}
		return err
	})
	if isCode(err, "InvalidRange") && at > 0 {
		return nil, fmt.Errorf("%w: it does not have %d bytes any more", storage.ErrReplaced, at)
	}
	if isCode(err, "InvalidRange") {
		o, err := d.b.stat(ctx, d.key)
		if err == nil && o.Size != 0 {
			err = errs.New(errs.Failed, "the server refuses a range of an object of %d bytes", o.Size)
		}
		return nil, err
	}
	if err != nil {
		return nil, d.b.unanswered(err)
	}
	if d.etag != "" && aws.ToString(out.ETag) != d.etag {
		out.Body.Close()
		return nil, storage.ErrReplaced
	}
	if at > 0 && out.ContentRange == nil {
		out.Body.Close()
		return nil, errs.New(errs.Failed, "the server does not send ranges")
	}
	return out, nil
}

// unanswered gives a failure to send a request for content, which has no other
// kind, that of a server that cannot be reached: what came so far stays.
func (b *Backend) unanswered(err error) error {
	var send *smithyhttp.RequestSendError
	if !errors.As(err, &send) || errs.KindOf(err) != errs.Failed || storage.IsTransient(err) {
		return err
	}
	return errs.Hint(errs.New(errs.Unreachable, "%s does not answer: %w", b.where(), err), "repeat the command when the server and the network work again")
}

// copyBody writes the content of an answer to w.
func copyBody(w io.Writer, out *awss3.GetObjectOutput) (int64, error) {
	var failed error
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		failed = err
		return n, err
	}), out.Body)
	if failed != nil {
		return n, &writeError{failed}
	}
	if err == nil && out.ContentLength != nil && n != *out.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = &bodyError{err}
	}
	return n, err
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// attempts repeats f, which gives the number of bytes it brought, while the
// connection breaks.
func (d *download) attempts(ctx context.Context, f func() (int64, error)) error {
	for n := 1; ; n++ {
		got, err := f()
		if err == nil {
			return nil
		}
		if got >= bodyProgress {
			n = 0
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var local *writeError
		if errors.As(err, &local) {
			return local.err
		}
		var broken *bodyError
		if !errors.As(err, &broken) {
			return err // of a request, which the SDK has repeated already
		}
		if err = d.b.explain(broken.err); errs.KindOf(err) == errs.Failed {
			err = storage.Transient(err) // HTTP/2 has many words for a connection that breaks
		}
		if n >= bodyAttempts || !storage.IsTransient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(n) * 100 * time.Millisecond):
		}
	}
}

// fillStep is how many bytes of a range are read before they are handed on.
const fillStep = 128 << 10

// piece is a range on its way.
type piece struct {
	buf   []byte
	n     int64
	ready chan error
}

// rest gets the ranges after the first. Buffers are taken in the order of the
// ranges, so the range that is written next always has one: no two downloads
// can wait for each other. A Scatterer gets the content as it comes, while it is
// still in the processor's cache.
func (d *download) rest(ctx context.Context, w io.Writer) error {
	to := storage.ScatterTo(w)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var g errgroup.Group
	pieces := make(chan *piece, partsAtOnce-1)
	g.Go(func() error {
		defer close(pieces)
		for at := d.next; at < d.total; at += partSize {
			buf, err := d.b.buffer(ctx)
			if err != nil {
				return err
			}
			p := &piece{buf: buf, n: min(partSize, d.total-at), ready: make(chan error, 1)}
			g.Go(func() error {
				p.ready <- d.fill(ctx, at, p.buf[:p.n], to)
				return nil
			})
			pieces <- p // taken until the channel is closed, so this goes on
		}
		return nil
	})
	var failed error
	for p := range pieces {
		err := <-p.ready
		if err == nil && failed == nil {
			if to != nil {
				err = to.Next(p.buf[:p.n])
			} else {
				_, err = w.Write(p.buf[:p.n])
			}
		}
		d.b.release(p.buf)
		if err != nil && failed == nil {
			failed = err
			stop(err) // the other requests end
		}
	}
	if err := g.Wait(); failed == nil {
		failed = err
	}
	return failed
}

// fill reads a range into buf, and hands it to a Scatterer, if there is one.
func (d *download) fill(ctx context.Context, at int64, buf []byte, to storage.Scatterer) error {
	done := 0
	return d.attempts(ctx, func() (int64, error) {
		out, err := d.open(ctx, at+int64(done), int64(len(buf)-done))
		if err != nil {
			return 0, err
		}
		defer out.Body.Close()
		before := done
		for done < len(buf) {
			n, err := io.ReadFull(out.Body, buf[done:min(len(buf), done+fillStep)])
			if to != nil {
				if _, err := to.WriteAt(buf[done:done+n], at+int64(done)); err != nil {
					return 0, &writeError{err}
				}
			}
			done += n
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return int64(done - before), &bodyError{err}
			}
		}
		return int64(done - before), nil
	})
}
