package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Result says how a check went.
type Result string

// The results. A Note says what a store lacks that ctrx can do without.
const (
	OK      Result = "ok"
	Failed  Result = "failed"
	Note    Result = "note"
	Skipped Result = "skipped" // could not be tried after an earlier failure
)

// Check is one thing that was tried.
type Check struct {
	Name   string
	Result Result
	Detail string // in plain words
	Err    error  // of a failed one
}

// Diagnosis is what Diagnose found out. It holds no secrets.
type Diagnosis struct {
	Remote   string
	URL      string
	Endpoint string // "" for AWS
	Provider string // "" for a store that is not known
	Region   string
	Style    string // "path" or "virtual": where the bucket's name goes
	Checks   []Check
	Advice   []string // lines to type, or what to do
}

// Err is that of the first failed check, or nil.
func (d Diagnosis) Err() error {
	for _, c := range d.Checks {
		if c.Result == Failed {
			return errs.Hint(fmt.Errorf("remote '%s': %s: %w", d.Remote, c.Name, c.Err), "%s", strings.Join(d.Advice, "\n      "))
		}
	}
	return nil
}

// Diagnose tries what ctrx does with a store on one object of its own, of which
// nothing is left: it puts, looks, reads, reads a range, lists, uploads in parts
// and deletes. suffix makes the name of the object.
func (b *Backend) Diagnose(ctx context.Context, suffix string) Diagnosis {
	p := ProviderOf(b.set.Endpoint)
	k := &diagnosis{b: b, key: ".ctrx-doctor-" + suffix, out: Diagnosis{Remote: b.set.Name, URL: b.set.URL(), Endpoint: b.set.Endpoint, Provider: p.Name}}
	k.run(ctx)
	b.mu.Lock()
	k.out.Region, k.out.Style = b.region, "path"
	if b.virtual || !b.client.Options().UsePathStyle {
		k.out.Style = "virtual"
	}
	b.mu.Unlock()
	if k.out.Region == "" {
		k.out.Region = b.client.Options().Region
	}
	k.advise(p)
	return k.out
}

// diagnosis is a Diagnose at work.
type diagnosis struct {
	b       *Backend
	key     string
	out     Diagnosis
	stopped bool // nothing more can work
	sent    bool // something may lie on the store
}

// note enters a check. Only a need of ctrx's can fail.
func (k *diagnosis) note(name string, result Result, detail string, err error) {
	k.out.Checks = append(k.out.Checks, Check{name, result, detail, err})
}

// try runs a check that ctrx needs; good describes its success. It tells whether
// it went well.
func (k *diagnosis) try(name, good string, f func() error) bool {
	if k.stopped {
		k.note(name, Skipped, "not tried", nil)
		return false
	}
	if err := f(); err != nil {
		k.note(name, Failed, err.Error(), err)
		if h := errs.HintOf(err); h != "" {
			k.tell(h)
		}
		return false
	}
	k.note(name, OK, good, nil)
	return true
}

func (k *diagnosis) tell(line string) {
	for _, known := range k.out.Advice {
		if known == line {
			return
		}
	}
	k.out.Advice = append(k.out.Advice, line)
}

const doctorText = "ctrx doctor was here; this object may be deleted\n"

func (k *diagnosis) run(ctx context.Context) {
	b := k.b
	defer k.clean(ctx)
	if !k.try("credentials", "found: "+b.set.credentialsFrom(), func() error { return b.login(ctx) }) {
		k.stopped = true
	}
	if !k.try("list", "the bucket is there and can be listed", func() error {
		for _, err := range b.List(ctx, k.key) {
			return err
		}
		return nil
	}) {
		k.stopped = true
	}
	if !k.try("put", "an object can be stored", func() error {
		k.sent = true
		return b.Put(ctx, k.key, strings.NewReader(doctorText), int64(len(doctorText)))
	}) {
		k.stopped = true
	}
	k.try("look", "its size is told", func() error {
		o, err := b.Describe(ctx, k.key)
		if err == nil && o.Size != int64(len(doctorText)) {
			err = errs.New(errs.Failed, "%d bytes where %d were put", o.Size, len(doctorText))
		}
		return err
	})
	k.try("get", "it comes back as it was", func() error {
		return k.same(doctorText, func(w *strings.Builder) error { return b.Get(ctx, k.key, w) })
	})
	k.try("range", "a part of it can be read: downloads can be resumed", func() error {
		o, err := b.Describe(ctx, k.key)
		if err != nil {
			return err
		}
		return k.same(doctorText[5:], func(w *strings.Builder) error { return b.GetFrom(ctx, k.key, o.ETag, 5, w) })
	})
	k.try("find", "a listing shows it at once", func() error {
		for o, err := range b.List(ctx, k.key) {
			if err != nil || o.Key == k.key {
				return err
			}
		}
		return errs.New(errs.Failed, "the listing does not show the object that was just put")
	})
	k.parts(ctx)
	k.extras(ctx)
	k.try("delete", "it can be deleted, and then is gone", func() error {
		if err := b.Delete(ctx, k.key); err != nil {
			return err
		}
		_, err := b.Stat(ctx, k.key)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(errs.New(errs.Failed, "a deleted object is still there"), err)
	})
}

func (k *diagnosis) same(want string, get func(w *strings.Builder) error) error {
	var got strings.Builder
	if err := get(&got); err != nil {
		return err
	}
	if got.String() != want {
		return errs.New(errs.DataCorrupt, "%d other bytes came back", got.Len())
	}
	return nil
}

// parts uploads in parts, the first of the least size that S3 allows.
func (k *diagnosis) parts(ctx context.Context) {
	b := k.b
	first := bytes.Repeat([]byte("ctrx doctor, in parts\n"), (5<<20)/22+1)[:5<<20]
	p := &parts{b: b, key: k.key, size: int64(len(first)) + 3, length: int64(len(first)), sum: md5.New(), sums: map[int32][md5.Size]byte{}}
	if !k.try("parts", "an upload in parts works: large objects can be stored", func() error {
		if err := p.create(ctx); err != nil {
			return err
		}
		if err := p.part(ctx, 1, first); err != nil {
			return err
		}
		return p.part(ctx, 2, []byte("end"))
	}) {
		if p.id != nil {
			p.abort(ctx)
		}
		return
	}
	if err := p.list(ctx); err == nil && len(p.kept) == 2 {
		k.note("list parts", OK, "interrupted uploads can be resumed", nil)
	} else {
		k.note("list parts", Note, "the store does not tell which parts it has: interrupted uploads begin anew", err)
	}
	if !k.try("complete", "the object made of parts is whole", func() error { return p.complete(ctx) }) {
		p.abort(ctx)
	}
}

// extras finds out what a store has beyond what ctrx needs.
func (k *diagnosis) extras(ctx context.Context) {
	if k.stopped {
		return
	}
	b := k.b
	switch b.knownTags() {
	case tagsMD5:
		k.note("ETags", OK, "they are MD5s: an upload is verified by the answer to it", nil)
	default:
		k.note("ETags", Note, "they are the store's own: each upload is verified by one more request, for its size", nil)
	}
	put := func(change func(in *awss3.PutObjectInput)) error {
		return b.call(ctx, func(o func(*awss3.Options)) error {
			in := &awss3.PutObjectInput{Bucket: b.bucket(), Key: b.object(k.key), Body: strings.NewReader(doctorText), ContentLength: aws.Int64(int64(len(doctorText)))}
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = b.set.customerKey()
			change(in)
			_, err := b.client.PutObject(ctx, in, o, once)
			return err
		})
	}
	wrong := md5.Sum([]byte("something else"))
	if err := put(func(in *awss3.PutObjectInput) {
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(wrong[:]))
	}); err != nil {
		k.note("Content-MD5", OK, "content that was damaged on the way is refused", nil)
	} else {
		k.note("Content-MD5", Note, "the store does not look at it: what it answers about an upload is compared instead", nil)
	}
	if err := put(func(in *awss3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 }); err == nil {
		k.note("checksums", OK, "those that AWS's tools send since 2025 are taken (ctrx sends none)", nil)
	} else {
		k.note("checksums", Note, "those that AWS's tools send since 2025 are refused (ctrx sends none): for dvc and aws set AWS_REQUEST_CHECKSUM_CALCULATION=when_required", err)
	}
	switch err := put(func(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); {
	case isCode(err, "PreconditionFailed"):
		k.note("conditions", OK, "If-None-Match is honoured (ctrx does not need it)", nil)
	default:
		k.note("conditions", Note, "If-None-Match is not honoured (ctrx does not need it)", err)
	}
}

// once keeps from repeating a request that is expected to fail.
func once(o *awss3.Options) { o.Retryer = aws.NopRetryer{} }

// clean removes the object, also after ctx has ended.
func (k *diagnosis) clean(ctx context.Context) {
	if !k.sent {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = k.b.Delete(ctx, k.key)
}

// advise adds what is known of the kind of store.
func (k *diagnosis) advise(p Provider) {
	set := k.b.set
	modify := func(key, value string) {
		k.tell(fmt.Sprintf("ctrx remote modify %s %s %s", set.Name, key, value))
	}
	failed := false
	for _, c := range k.out.Checks {
		failed = failed || c.Result == Failed
	}
	if p.Region != "" && set.Region == "" && set.Endpoint != "" {
		modify("region", k.out.Region) // what was used now, written down for dvc and colleagues
	} else if p.Region != "" && failed && set.Region != p.Region && p.Name != "MinIO" && p.Name != "Ceph" {
		modify("region", p.Region)
	}
	if k.out.Style == "virtual" && !set.Virtual && set.Endpoint != "" {
		k.tell("the store wants the bucket's name in the host name; ctrx found that out by itself, for dvc put `addressing_style = virtual` into the `s3 =` block of a profile in ~/.aws/config")
	}
	if set.NoVerify {
		k.tell("certificates are not checked: ctrx remote modify " + set.Name + " ssl_verify /path/to/ca.pem")
	}
	if failed {
		for _, n := range p.Notes {
			k.tell(p.Name + ": " + n)
		}
		if set.Endpoint == "" && p.Name == "AWS" {
			k.tell("without endpointurl this is AWS; for another store: ctrx remote modify " + set.Name + " endpointurl https://hb.ru-msk.vkcs.cloud")
		}
	}
}

// credentialsFrom says where the credentials were found, without showing them.
func (s Settings) credentialsFrom() string {
	switch {
	case s.Anonymous:
		return "none, as allow_anonymous_login says"
	case s.AccessKeyID != "" && s.fromEnv:
		return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	case s.AccessKeyID != "":
		return "access_key_id and secret_access_key of the remote"
	case s.Profile != "":
		return "profile " + s.Profile
	}
	return "the AWS files"
}

var _ storage.Ranger = (*Backend)(nil)
