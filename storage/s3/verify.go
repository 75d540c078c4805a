package s3

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// tagKind is what the ETags of a store turned out to be.
type tagKind int

const (
	tagsUnknown tagKind = iota
	tagsMD5             // of plain objects and of parts: the MD5 of the content, as AWS has it
	tagsOther           // the store's own
)

// isMD5 tells whether an ETag can be the MD5 of a plain object or a part.
func isMD5(etag string) bool {
	if len(etag) != 2*md5.Size {
		return false
	}
	_, err := hex.DecodeString(etag)
	return err == nil
}

// encrypts tells whether the store encrypts in a way that makes its ETags
// something else than the MD5 of the content.
func (b *Backend) encrypts() bool {
	return len(b.set.CustomerKey) > 0 || b.set.SSE == "aws:kms" || b.set.SSE == "aws:kms:dsse" || b.set.KMSKeyID != ""
}

// knownTags gives what is known of the store's ETags so far.
func (b *Backend) knownTags() tagKind {
	if b.encrypts() {
		return tagsOther
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tags
}

func (b *Backend) learnTags(k tagKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tags == tagsUnknown {
		b.tags = k
	}
}

// verify makes sure that the store holds what was sent in one request. Most
// answer with the MD5 of what they stored. Where an answer differs and nothing
// is known yet of the store's ETags, the object is read back once: either it is
// damaged, or ETags say nothing here and from then on the size is asked for.
func (b *Backend) verify(ctx context.Context, key string, size int64, etag, sum string) error {
	if etag == sum {
		b.learnTags(tagsMD5)
		return nil
	}
	known := b.knownTags()
	if isMD5(etag) && known == tagsMD5 {
		return b.damaged(ctx, key, "it holds content with the MD5 "+etag)
	}
	if isMD5(etag) && known == tagsUnknown {
		h := md5.New()
		if err := b.get(ctx, key, h); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != sum {
			return b.damaged(ctx, key, "it holds content with the MD5 "+got)
		}
		b.learnTags(tagsOther)
		return nil
	}
	return b.verifySize(ctx, key, size)
}

// verifySize is for stores whose ETags say nothing of the content.
func (b *Backend) verifySize(ctx context.Context, key string, size int64) error {
	o, err := b.stat(ctx, key)
	if err != nil {
		return err
	}
	if o.Size != size {
		return b.damaged(ctx, key, fmt.Sprintf("it holds %d bytes where %d were sent", o.Size, size))
	}
	return nil
}

// damaged removes an object that is not what was sent, so that nobody takes it
// for good, and gives an error that is worth another attempt.
func (b *Backend) damaged(ctx context.Context, key, how string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := errs.Hint(errs.New(errs.DataCorrupt, "%s stored something else than was sent: %s", b.where(), how),
		"repeat the command; if it fails again, `ctrx doctor s3 %s` shows what the store does", b.set.Name)
	if e := b.Delete(ctx, key); e != nil {
		return errors.Join(err, e)
	}
	return storage.Transient(err)
}
