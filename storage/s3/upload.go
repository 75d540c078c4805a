package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithy "github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// smallObject is the size up to which content does not take a pooled buffer.
const smallObject = 1 << 20

// maxParts is S3's limit for the parts of an object.
const maxParts = 10_000

// Put stores an object. Content is read into memory, checked, and only then
// sent or, for objects in parts, made visible.
func (b *Backend) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	if err := b.put(ctx, key, r, size); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (b *Backend) put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	if err := b.begin(ctx, key); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if size > partSize {
		return b.putParts(ctx, key, r, size)
	}
	var buf []byte
	if size <= smallObject {
		buf = make([]byte, size)
	} else {
		pooled, err := b.buffer(ctx)
		if err != nil {
			return err
		}
		defer b.release(pooled)
		buf = pooled[:size]
	}
	if err := readExactly(r, buf); err != nil {
		return err
	}
	if err := atEnd(r); err != nil {
		return err
	}
	sum := md5.Sum(buf)
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	return b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.PutObjectInput{
			Bucket: b.bucket(), Key: b.object(key),
			Body: bytes.NewReader(buf), ContentLength: aws.Int64(size),
			ContentMD5:           aws.String(base64.StdEncoding.EncodeToString(sum[:])),
			ServerSideEncryption: types.ServerSideEncryption(b.set.SSE), SSEKMSKeyId: strOrNil(b.set.KMSKeyID),
			ACL: types.ObjectCannedACL(b.set.ACL), GrantRead: strOrNil(b.set.GrantRead), GrantReadACP: strOrNil(b.set.GrantReadACP),
			GrantWriteACP: strOrNil(b.set.GrantWriteACP), GrantFullControl: strOrNil(b.set.GrantFull),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.PutObject(ctx, in, o, b.unsignedBody)
		if err == nil && out.ETag == nil {
			return b.notS3()
		}
		return err
	})
}

// unsignedBody leaves the SHA-256 of the content out of the signature where TLS
// protects it: Content-MD5 already tells the server what to expect.
func (b *Backend) unsignedBody(o *awss3.Options) {
	if b.set.Anonymous || b.set.NoTLS || len(b.set.Endpoint) >= 5 && b.set.Endpoint[:5] == "http:" {
		return
	}
	o.APIOptions = append(slices.Clone(o.APIOptions), v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// readExactly fills buf, and names what is missing.
func readExactly(r io.Reader, buf []byte) error {
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.New(errs.Failed, "the content ended %d bytes early", len(buf)-n)
	}
	return err
}

// atEnd makes sure that there is no more content than was announced.
func atEnd(r io.Reader) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return errs.New(errs.Failed, "there is more content than was announced")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// parts is an upload in parts at work.
type parts struct {
	b    *Backend
	key  string
	id   *string
	sum  hash.Hash // MD5 of the whole content
	mu   sync.Mutex
	done []types.CompletedPart
}

// putParts uploads in parts. The object becomes visible by the last request,
// which is sent when all of the content was read and checked; every other end
// takes the parts back.
func (b *Backend) putParts(ctx context.Context, key string, r io.Reader, size int64) error {
	p := &parts{b: b, key: key, sum: md5.New()}
	if err := p.create(ctx); err != nil {
		return err
	}
	err := p.upload(ctx, r, size)
	if err == nil {
		err = atEnd(r)
	}
	if err == nil {
		err = storage.CheckContent(key, storage.Digest(hex.EncodeToString(p.sum.Sum(nil))))
	}
	if err == nil {
		err = p.complete(ctx, size)
	}
	if err != nil {
		p.abort(ctx)
	}
	return err
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
func (p *parts) upload(ctx context.Context, r io.Reader, size int64) error {
	length := int64(partSize)
	if size > partSize*maxParts {
		length = (size + maxParts - 1) / maxParts
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	var readErr error
	for n, at := int32(1), int64(0); at < size; n, at = n+1, at+length {
		buf, release, err := p.buffer(gctx, length)
		if err != nil {
			readErr = err
			break
		}
		part := buf[:min(length, size-at)]
		if readErr = readExactly(r, part); readErr != nil {
			release()
			break
		}
		p.sum.Write(part)
		g.Go(func() error {
			defer release()
			return p.send(gctx, n, part)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return readErr
}

// buffer gives memory for a part: pooled, but for objects of more than 80 GB.
func (p *parts) buffer(ctx context.Context, length int64) ([]byte, func(), error) {
	if length > partSize {
		return make([]byte, length), func() {}, nil
	}
	buf, err := p.b.buffer(ctx)
	return buf, func() { p.b.release(buf) }, err
}

func (p *parts) send(ctx context.Context, n int32, part []byte) error {
	b := p.b
	sum := md5.Sum(part)
	return b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.UploadPartInput{
			Bucket: b.bucket(), Key: b.object(p.key), UploadId: p.id, PartNumber: aws.Int32(n),
			Body: bytes.NewReader(part), ContentLength: aws.Int64(int64(len(part))),
			ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.UploadPart(ctx, in, o, b.unsignedBody)
		if err == nil {
			err = likeS3(out.ETag)
		}
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done = append(p.done, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(n)})
		return nil
	})
}

func (p *parts) complete(ctx context.Context, size int64) error {
	b := p.b
	slices.SortFunc(p.done, func(x, y types.CompletedPart) int { return int(*x.PartNumber - *y.PartNumber) })
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.CompleteMultipartUploadInput{
			Bucket: b.bucket(), Key: b.object(p.key), UploadId: p.id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: p.done},
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		_, err := b.client.CompleteMultipartUpload(ctx, in, o)
		return err
	})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchUpload" {
		// A first attempt may have succeeded and its answer got lost.
		if o, e := b.stat(ctx, p.key); e == nil && o.Size == size {
			return nil
		}
	}
	return err
}

// abort removes the parts. It works also after ctx has ended, for a short time;
// what it cannot remove is invisible, and stores clean it up by a lifecycle
// rule.
func (p *parts) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	p.b.call(ctx, func(o func(*awss3.Options)) error {
		_, err := p.b.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
			Bucket: p.b.bucket(), Key: p.b.object(p.key), UploadId: p.id,
		}, o)
		return err
	})
}
