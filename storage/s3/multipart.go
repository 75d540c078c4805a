package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithy "github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// maxParts is S3's limit for the parts of an object.
const maxParts = 10_000

// partAttempts is how often a part is sent that arrives damaged.
const partAttempts = 3

// parts is an upload in parts at work.
type parts struct {
	b      *Backend
	key    string
	size   int64
	length int64 // of a part, but for the last
	id     *string
	log    *uploadLog       // nil without a journal
	kept   map[int32]stored // parts that an earlier process has sent
	sum    hash.Hash        // MD5 of the whole content; nil where that was hashed before

	mu   sync.Mutex
	done []types.CompletedPart
	sums map[int32][md5.Size]byte
}

// stored is a part that the store has.
type stored struct {
	etag string
	size int64
}

// partLength is how an object of so many bytes is cut: the same each time, so
// that an upload can be gone on with.
func partLength(size int64) int64 {
	if size > partSize*maxParts {
		return (size + maxParts - 1) / maxParts
	}
	return partSize
}

// putParts uploads in parts. The object becomes visible by the last request,
// which is sent when all of the content was read and checked. An upload that a
// later call can finish stays, if there is a journal to find it by; every other
// failure takes the parts back.
func (b *Backend) putParts(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	log := b.openUploadLog(ctx, key, size)
	defer log.close()
	err := b.putPartsOnce(ctx, key, r, size, log)
	if !log.resumed() || !isCode(err, "NoSuchUpload") {
		return err
	}
	// The store has forgotten the upload of the journal: from the start, then.
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	log.forget()
	return b.putPartsOnce(ctx, key, r, size, log)
}

func (b *Backend) putPartsOnce(ctx context.Context, key string, r io.Reader, size int64, log *uploadLog) error {
	p := &parts{b: b, key: key, size: size, length: partLength(size), log: log, sums: map[int32][md5.Size]byte{}}
	if storage.IsHashed(r) == nil {
		p.sum = md5.New()
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	err := p.upload(ctx, r)
	if err == nil {
		err = atEnd(r)
	}
	if err == nil {
		err = p.check(r)
	}
	if err == nil {
		err = p.complete(ctx)
	}
	switch {
	case err == nil:
		log.forget()
	case log != nil && worthResuming(ctx, err):
	default:
		p.abort(ctx)
		log.forget()
	}
	return err
}

// check makes sure that what was read is what the key names.
func (p *parts) check(r io.Reader) error {
	if p.sum != nil {
		return storage.CheckContent(p.key, storage.Digest(hex.EncodeToString(p.sum.Sum(nil))))
	}
	if storage.IsHashed(r) == nil {
		return storage.ErrSourceChanged
	}
	return nil
}

// worthResuming tells failures after which the same upload can go on later.
func worthResuming(ctx context.Context, err error) bool {
	if ctx.Err() != nil || storage.IsTransient(err) {
		return true
	}
	kind := errs.KindOf(err)
	return kind == errs.Auth || kind == errs.Unreachable
}

func isCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// begin goes on with the upload of the journal, or starts one.
func (p *parts) begin(ctx context.Context) error {
	if id := p.log.uploadID(); id != "" {
		p.id = aws.String(id)
		err := p.list(ctx)
		if err == nil || !isCode(err, "NoSuchUpload") {
			return err
		}
		p.log.forget()
	}
	if err := p.create(ctx); err != nil {
		return err
	}
	p.log.start(aws.ToString(p.id))
	return nil
}

// list asks which parts the store has.
func (p *parts) list(ctx context.Context) error {
	b := p.b
	p.kept = map[int32]stored{}
	in := &awss3.ListPartsInput{Bucket: b.bucket(), Key: b.object(p.key), UploadId: p.id}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
	for {
		var out *awss3.ListPartsOutput
		err := b.call(ctx, func(o func(*awss3.Options)) (err error) {
			out, err = b.client.ListParts(ctx, in, o)
			return err
		})
		if err != nil {
			return err
		}
		for _, part := range out.Parts {
			p.kept[aws.ToInt32(part.PartNumber)] = stored{plainETag(part.ETag), aws.ToInt64(part.Size)}
		}
		next := aws.ToString(out.NextPartNumberMarker)
		if !aws.ToBool(out.IsTruncated) || next == "" || next == aws.ToString(in.PartNumberMarker) {
			return nil
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

func (p *parts) create(ctx context.Context) error {
	b := p.b
	return b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.CreateMultipartUploadInput{
			Bucket: b.bucket(), Key: b.object(p.key),
			ServerSideEncryption: types.ServerSideEncryption(b.set.SSE), SSEKMSKeyId: strOrNil(b.set.KMSKeyID),
			ACL: types.ObjectCannedACL(b.set.ACL), GrantRead: strOrNil(b.set.GrantRead), GrantReadACP: strOrNil(b.set.GrantReadACP),
			GrantWriteACP: strOrNil(b.set.GrantWriteACP), GrantFullControl: strOrNil(b.set.GrantFull),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.CreateMultipartUpload(ctx, in, o)
		if err != nil {
			return err
		}
		p.id = out.UploadId
		return likeS3(p.id)
	})
}

// upload reads the content part by part and sends several parts at a time.
func (p *parts) upload(ctx context.Context, r io.Reader) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	var readErr error
	for n, at := int32(1), int64(0); at < p.size; n, at = n+1, at+p.length {
		buf, release, err := p.buffer(gctx)
		if err != nil {
			readErr = err
			break
		}
		part := buf[:min(p.length, p.size-at)]
		if readErr = readExactly(r, part); readErr != nil {
			release()
			break
		}
		hashed := make(chan struct{})
		g.Go(func() error {
			defer func() { <-hashed; release() }()
			return p.part(gctx, n, part)
		})
		if p.sum != nil {
			p.sum.Write(part) // while the part is on its way
		}
		close(hashed)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return readErr
}

// buffer gives memory for a part: pooled, but for objects of more than 80 GB.
func (p *parts) buffer(ctx context.Context) ([]byte, func(), error) {
	if p.length > partSize {
		return make([]byte, p.length), func() {}, nil
	}
	buf, err := p.b.buffer(ctx)
	return buf, func() { p.b.release(buf) }, err
}

// part sends a part that the store does not have, and makes sure of what it
// stored.
func (p *parts) part(ctx context.Context, n int32, content []byte) error {
	sum, sign := p.b.sums(content)
	hexSum := hex.EncodeToString(sum[:])
	if have, ok := p.kept[n]; ok && have.size == int64(len(content)) && (have.etag == hexSum || p.log.has(n, hexSum, have.etag)) {
		p.add(n, have.etag, sum)
		return nil
	}
	for attempt := 1; ; attempt++ {
		etag, err := p.send(ctx, n, content, sum, sign)
		if err != nil {
			return err
		}
		if etag == hexSum {
			p.b.learnTags(tagsMD5)
		} else if isMD5(etag) && p.b.knownTags() == tagsMD5 {
			if attempt < partAttempts {
				continue
			}
			return storage.Transient(errs.New(errs.DataCorrupt, "%s stored something else than was sent as part %d: content with the MD5 %s", p.b.where(), n, etag))
		}
		p.add(n, etag, sum)
		p.log.part(n, hexSum, etag)
		return nil
	}
}

func (p *parts) add(n int32, etag string, sum [md5.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, types.CompletedPart{ETag: aws.String(`"` + etag + `"`), PartNumber: aws.Int32(n)})
	p.sums[n] = sum
}

func (p *parts) send(ctx context.Context, n int32, part []byte, sum [md5.Size]byte, sign func(*awss3.Options)) (etag string, err error) {
	b := p.b
	err = b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.UploadPartInput{
			Bucket: b.bucket(), Key: b.object(p.key), UploadId: p.id, PartNumber: aws.Int32(n),
			Body: bytes.NewReader(part), ContentLength: aws.Int64(int64(len(part))),
			ContentMD5: b.contentMD5(sum),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.UploadPart(ctx, in, o, sign)
		if err == nil {
			err = likeS3(out.ETag)
		}
		if err != nil {
			return err
		}
		etag = plainETag(out.ETag)
		return nil
	})
	return etag, err
}

// tag is the ETag that S3 gives an object made of these parts.
func (p *parts) tag() string {
	h := md5.New()
	for n := range int32(len(p.done)) {
		sum := p.sums[n+1]
		h.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(p.done))
}

// complete makes the object visible and makes sure that it is whole: by its
// ETag, else by its size, each part having been checked before.
func (p *parts) complete(ctx context.Context) error {
	b := p.b
	slices.SortFunc(p.done, func(x, y types.CompletedPart) int { return int(*x.PartNumber - *y.PartNumber) })
	var etag string
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.CompleteMultipartUploadInput{
			Bucket: b.bucket(), Key: b.object(p.key), UploadId: p.id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: p.done},
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.CompleteMultipartUpload(ctx, in, o)
		if err == nil {
			etag = plainETag(out.ETag)
		}
		return err
	})
	if isCode(err, "NoSuchUpload") {
		// A first attempt may have succeeded and its answer got lost.
		if o, e := b.stat(ctx, p.key); e == nil && o.Size == p.size {
			return nil
		}
	}
	if err != nil || etag == p.tag() {
		return err
	}
	return b.verifySize(ctx, p.key, p.size)
}

// abort removes the parts. It works also after ctx has ended, for a short time;
// what it cannot remove is invisible, and stores clean it up by a lifecycle
// rule.
func (p *parts) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = p.b.abortUpload(ctx, aws.ToString(p.b.object(p.key)), aws.ToString(p.id))
}

func (b *Backend) abortUpload(ctx context.Context, object, id string) error {
	return b.call(ctx, func(o func(*awss3.Options)) error {
		_, err := b.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
			Bucket: b.bucket(), Key: aws.String(object), UploadId: aws.String(id),
		}, o)
		return err
	})
}
