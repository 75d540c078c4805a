package s3

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"mime"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"ctrx/internal/errs"
)

// partValid is how long the address of a part may be used.
const partValid = time.Hour

// BeginParts begins an upload of an object by somebody without credentials: each
// of the URLs takes one part by an HTTP PUT, whose answer has the part's ETag.
// Parts but the last need 5 MiB. What is neither completed nor aborted is
// invisible; stores clean it up by a lifecycle rule.
func (b *Backend) BeginParts(ctx context.Context, key string, parts int) (upload string, urls []string, err error) {
	if parts < 0 || parts > maxParts {
		return "", nil, errs.New(errs.Usage, "an object may have %d parts, not %d", maxParts, parts)
	}
	if err := b.begin(ctx, key); err != nil {
		return "", nil, err
	}
	p := &partsOf{b, key, ""}
	if err := p.create(ctx); err != nil {
		return "", nil, err
	}
	for n := 1; n <= parts; n++ {
		url, err := p.url(ctx, n)
		if err != nil {
			return "", nil, errors.Join(err, b.AbortParts(ctx, key, p.id))
		}
		urls = append(urls, url)
	}
	return p.id, urls, nil
}

// partsOf is an upload whose parts others send.
type partsOf struct {
	b   *Backend
	key string
	id  string
}

func (p *partsOf) create(ctx context.Context) error {
	own := parts{b: p.b, key: p.key}
	err := own.create(ctx)
	p.id = aws.ToString(own.id)
	return err
}

func (p *partsOf) url(ctx context.Context, n int) (string, error) {
	in := &awss3.UploadPartInput{Bucket: p.b.bucket(), Key: p.b.object(p.key), UploadId: aws.String(p.id), PartNumber: aws.Int32(int32(n))}
	out, err := p.b.presigner().PresignUploadPart(ctx, in, awss3.WithPresignExpires(partValid))
	if err != nil {
		return "", p.b.explain(err)
	}
	return out.URL, nil
}

// presigner signs addresses of the bucket as the requests before have found it.
func (b *Backend) presigner() *awss3.PresignClient {
	b.mu.Lock()
	defer b.mu.Unlock()
	region, virtual := b.region, b.virtual
	return awss3.NewPresignClient(b.client, awss3.WithPresignClientFromClientOptions(func(o *awss3.Options) {
		if region != "" {
			o.Region = region
		}
		if virtual {
			o.UsePathStyle = false
		}
	}))
}

// CompleteParts makes an object of the parts, by number from 1, that were sent
// with these ETags. An upload that is not known is fs.ErrNotExist, parts that
// are not those that were sent, or are too small, are errs.Usage.
func (b *Backend) CompleteParts(ctx context.Context, key, upload string, etags map[int]string) error {
	if err := b.begin(ctx, key); err != nil {
		return err
	}
	var done []types.CompletedPart
	for _, n := range slices.Sorted(maps.Keys(etags)) {
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(int32(n)), ETag: aws.String(etags[n])})
	}
	return noUpload(b.call(ctx, func(o func(*awss3.Options)) error {
		_, err := b.client.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
			Bucket: b.bucket(), Key: b.object(key), UploadId: aws.String(upload),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		}, o)
		return err
	}))
}

// AbortParts forgets an upload and its parts.
func (b *Backend) AbortParts(ctx context.Context, key, upload string) error {
	if err := b.begin(ctx, key); err != nil {
		return err
	}
	return noUpload(b.call(ctx, func(o func(*awss3.Options)) error {
		_, err := b.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
			Bucket: b.bucket(), Key: b.object(key), UploadId: aws.String(upload),
		}, o)
		return err
	}))
}

func noUpload(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode() {
	case "NoSuchUpload":
		return errors.Join(err, fs.ErrNotExist)
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall":
		return errs.New(errs.Usage, "the parts cannot be put together: %w", err)
	}
	return err
}

// PresignGet gives an address from which anybody may read an object for some
// time, as a file of that name, and the object's size in bytes. An object that
// is not there is fs.ErrNotExist.
func (b *Backend) PresignGet(ctx context.Context, key, name string, valid time.Duration) (url string, size int64, err error) {
	size, err = b.Stat(ctx, key)
	if err != nil {
		return "", 0, err
	}
	in := &awss3.GetObjectInput{Bucket: b.bucket(), Key: b.object(key),
		ResponseContentDisposition: aws.String(mime.FormatMediaType("attachment", map[string]string{"filename": name}))}
	out, err := b.presigner().PresignGetObject(ctx, in, awss3.WithPresignExpires(valid))
	if err != nil {
		return "", 0, b.explain(err)
	}
	return out.URL, size, nil
}
