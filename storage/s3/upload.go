package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// smallObject is the size up to which content does not take a pooled buffer.
const smallObject = 1 << 20

// Put stores an object. Content is read into memory, checked, and only then
// sent or, for objects in parts, made visible. It counts as stored when the
// server has said what it holds: see verify.
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
	sum, sign := b.sums(buf)
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	var etag string
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.PutObjectInput{
			Bucket: b.bucket(), Key: b.object(key),
			Body: bytes.NewReader(buf), ContentLength: aws.Int64(size),
			ContentMD5:           b.contentMD5(sum),
			ServerSideEncryption: types.ServerSideEncryption(b.set.SSE), SSEKMSKeyId: strOrNil(b.set.KMSKeyID),
			ACL: types.ObjectCannedACL(b.set.ACL), GrantRead: strOrNil(b.set.GrantRead), GrantReadACP: strOrNil(b.set.GrantReadACP),
			GrantWriteACP: strOrNil(b.set.GrantWriteACP), GrantFullControl: strOrNil(b.set.GrantFull),
		}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.PutObject(ctx, in, o, sign)
		if err == nil && out.ETag == nil {
			return b.notS3()
		}
		if err == nil {
			etag = plainETag(out.ETag)
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.verify(ctx, key, size, etag, hex.EncodeToString(sum[:]))
}

// sums gives the MD5 of what is to be sent, and how to sign the requests that
// send it. Where TLS protects the content the signature leaves it out: Content-MD5
// already tells the server what to expect. Elsewhere its SHA-256 is computed beside
// the MD5, while the content is in the processor's cache.
func (b *Backend) sums(content []byte) (sum [md5.Size]byte, sign func(*awss3.Options)) {
	with := func(change func(*middleware.Stack) error) func(*awss3.Options) {
		return func(o *awss3.Options) { o.APIOptions = append(slices.Clone(o.APIOptions), change) }
	}
	if !b.signsBody() {
		return md5.Sum(content), with(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	forTag, forSignature := md5.New(), sha256.New()
	for piece := range slices.Chunk(content, 32<<10) {
		forTag.Write(piece)
		forSignature.Write(piece)
	}
	forTag.Sum(sum[:0])
	hash := hex.EncodeToString(forSignature.Sum(nil))
	known := middleware.FinalizeMiddlewareFunc("KnownPayloadHash",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			return next.HandleFinalize(v4.SetPayloadHash(ctx, hash), in)
		})
	return sum, with(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(known, (&v4.ComputePayloadSHA256{}).ID(), middleware.Before)
	})
}

// contentMD5 tells the server what to expect, unless the signature does.
func (b *Backend) contentMD5(sum [md5.Size]byte) *string {
	if b.signsBody() && !b.set.Anonymous {
		return nil
	}
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// signsBody tells whether the signature of a request covers its content: nothing
// else protects it without TLS.
func (b *Backend) signsBody() bool {
	return b.set.Anonymous || b.set.NoTLS || strings.HasPrefix(b.set.Endpoint, "http:")
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
