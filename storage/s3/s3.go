// Package s3 keeps objects in a bucket of an S3-compatible store: VK Cloud,
// MinIO, Ceph, Yandex, R2, AWS. It is the only user of the AWS SDK.
//
// The settings are those of a DVC remote (see Settings), the credentials come
// from there, from AWS_* variables or from the AWS files. What other stores lack
// is not used: no STS, no versioning, no bucket policies, and no checksums
// beyond Content-MD5 unless the store asks for them.
//
// Memory is bounded: content travels through a fixed number of buffers of 8 MiB
// that all transfers of a Backend share. Larger objects go up in parts and come
// down in ranges, several at a time.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// partSize is the size of parts, ranges and buffers in bytes; S3 allows no less
// than 5 MiB for a part.
const partSize = 8 << 20

// buffers is how many buffers all transfers share: 128 MiB.
const buffers = 16

// partsAtOnce is how many parts of one object move at a time.
const partsAtOnce = 8

// Backend is a prefix of a bucket. It implements storage.Backend.
type Backend struct {
	set    Settings
	client *awss3.Client
	creds  aws.CredentialsProvider // nil: anonymous
	pool   chan []byte             // buffers; nil ones are not yet made

	journal string    // folder of the records of uploads in parts; "" for none
	sweep   sync.Once // old records were looked at

	mu       sync.Mutex
	tags     tagKind
	region   string // that the bucket turned out to be in
	virtual  bool   // the server refuses path-style addresses
	bucketOK bool
	credsOK  bool
}

// Open makes a Backend. No request is sent; the AWS files are read.
func Open(ctx context.Context, set Settings) (*Backend, error) {
	client, creds, err := newClient(ctx, set)
	if err != nil {
		return nil, err
	}
	b := &Backend{set: set, client: client, creds: creds, pool: make(chan []byte, buffers)}
	for range buffers {
		b.pool <- nil
	}
	return b, nil
}

// buffer takes a buffer of partSize bytes from the pool, waiting for one.
func (b *Backend) buffer(ctx context.Context) ([]byte, error) {
	select {
	case buf := <-b.pool:
		if buf == nil {
			buf = make([]byte, partSize)
		}
		return buf, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (b *Backend) release(buf []byte) { b.pool <- buf }

func (b *Backend) bucket() *string { return aws.String(b.set.Bucket) }

// object is the name in the bucket for a key.
func (b *Backend) object(key string) *string {
	return aws.String(path.Join(b.set.Prefix, key))
}

// begin is what each method with a key does first.
func (b *Backend) begin(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return b.login(ctx)
}

// login looks once whether there are credentials.
func (b *Backend) login(ctx context.Context) error {
	b.mu.Lock()
	done := b.credsOK || b.creds == nil
	b.mu.Unlock()
	if done {
		return nil
	}
	if _, err := b.creds.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return noCredentials(b.set, err)
	}
	b.mu.Lock()
	b.credsOK = true
	b.mu.Unlock()
	return nil
}

// call runs a request. Where the answer says that the bucket is in another
// region, or that the address must have the other style, it runs once more that
// way, and so do later calls.
func (b *Backend) call(ctx context.Context, f func(o func(*awss3.Options)) error) error {
	for range 3 {
		b.mu.Lock()
		region, virtual := b.region, b.virtual
		b.mu.Unlock()
		err := f(func(o *awss3.Options) {
			if region != "" {
				o.Region = region
			}
			if virtual {
				o.UsePathStyle = false
			}
		})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !b.redirect(err, region, virtual) {
			return b.explain(err)
		}
	}
	return errs.New(errs.Failed, "the server of %s sends from region to region", b.set.URL())
}

// redirect learns from an answer where to ask instead.
func (b *Backend) redirect(err error, region string, virtual bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := redirectRegion(err); r != "" && r != region && r != b.set.Region {
		b.region = r
		return true
	}
	if !virtual && !b.set.styleFixed && wantsVirtualHost(err) {
		b.virtual = true
		return true
	}
	return false
}

// Stat gives the size of an object.
func (b *Backend) Stat(ctx context.Context, key string) (int64, error) {
	o, err := b.Describe(ctx, key)
	return o.Size, err
}

// Describe is Stat with the ETag.
func (b *Backend) Describe(ctx context.Context, key string) (storage.Object, error) {
	o, err := b.stat(ctx, key)
	if err != nil {
		return storage.Object{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return o, nil
}

func (b *Backend) stat(ctx context.Context, key string) (storage.Object, error) {
	if err := b.begin(ctx, key); err != nil {
		return storage.Object{}, err
	}
	found := storage.Object{Key: key}
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.HeadObjectInput{Bucket: b.bucket(), Key: b.object(key)}
		in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
		out, err := b.client.HeadObject(ctx, in, o)
		if err == nil && out.ETag == nil {
			return b.notS3() // a web page has everything, and stores nothing
		}
		if err == nil {
			found.Size, found.ETag = aws.ToInt64(out.ContentLength), plainETag(out.ETag)
		}
		return err
	})
	if err != nil && ctx.Err() == nil && errs.KindOf(err) != errs.Unreachable && !storage.IsTransient(err) {
		// The answer to HEAD has no body: a missing bucket looks like a missing
		// object, and a wrong region like nothing in particular.
		if e := b.ask(ctx, errors.Is(err, fs.ErrNotExist)); e != nil {
			return storage.Object{}, e
		}
	}
	return found, err
}

// plainETag is an ETag without the quotes of the header.
func plainETag(tag *string) string { return strings.Trim(aws.ToString(tag), `"`) }

// ask lists one object to learn whether the bucket can be worked with, once. A
// missing object is believed to a server that does not let these keys list.
func (b *Backend) ask(ctx context.Context, missing bool) error {
	b.mu.Lock()
	ok := b.bucketOK
	b.mu.Unlock()
	if ok {
		return nil
	}
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		in := &awss3.ListObjectsV2Input{Bucket: b.bucket(), Prefix: aws.String(b.set.Prefix), MaxKeys: aws.Int32(1)}
		out, err := b.client.ListObjectsV2(ctx, in, o)
		if err == nil {
			err = likeS3(out.Name)
		}
		return err
	})
	if err != nil && !(missing && isAccessDenied(err)) {
		return err
	}
	b.mu.Lock()
	b.bucketOK = true
	b.mu.Unlock()
	return nil
}

// List gives the objects whose key begins with prefix, a page of 1000 at a time.
func (b *Backend) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		if err := b.list(ctx, prefix, yield); err != nil {
			yield(storage.Object{}, fmt.Errorf("list %s: %w", strings.TrimSuffix(b.set.URL()+"/"+prefix, "/"), err))
		}
	}
}

func (b *Backend) list(ctx context.Context, prefix string, yield func(storage.Object, error) bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := b.login(ctx); err != nil {
		return err
	}
	root := b.set.Prefix
	if root != "" {
		root += "/"
	}
	in := &awss3.ListObjectsV2Input{Bucket: b.bucket(), Prefix: aws.String(root + prefix)}
	for {
		var out *awss3.ListObjectsV2Output
		err := b.call(ctx, func(o func(*awss3.Options)) (err error) {
			if out, err = b.client.ListObjectsV2(ctx, in, o); err == nil {
				err = likeS3(out.Name)
			}
			return err
		})
		if err == nil && out.Name == nil && out.MaxKeys == nil && len(out.Contents) == 0 {
			err = b.notS3() // a web page is read as a listing without anything in it
		}
		if err != nil {
			return err
		}
		for _, object := range out.Contents {
			key, ok := strings.CutPrefix(aws.ToString(object.Key), root)
			// Web consoles leave empty objects "folder/" behind.
			if !ok || storage.CheckKey(key) != nil {
				continue
			}
			if !yield(storage.Object{Key: key, Size: aws.ToInt64(object.Size), ETag: plainETag(object.ETag)}, nil) {
				return nil
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if next := aws.ToString(out.NextContinuationToken); next == "" || next == aws.ToString(in.ContinuationToken) {
			return errs.New(errs.Failed, "the server does not go on with its listing")
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Delete removes an object.
func (b *Backend) Delete(ctx context.Context, key string) error {
	if err := b.begin(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	err := b.call(ctx, func(o func(*awss3.Options)) error {
		_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: b.bucket(), Key: b.object(key)}, o)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
