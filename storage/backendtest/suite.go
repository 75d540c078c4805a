// Package backendtest checks that a storage.Backend keeps the contract that is
// written above that type. A test of a backend calls Run with a function that
// makes an empty one:
//
//	func TestContract(t *testing.T) {
//		backendtest.Run(t, func(t *testing.T) storage.Backend { return local.Open(t.TempDir(), local.Options{}) })
//	}
//
// Run also wraps the backend in Faulty and lets Push and Fetch work through the
// faults. Memory is a backend for tests of other packages.
package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Run checks the contract on backends that open makes; each must be empty, and
// may be a new place in the same store.
func Run(t *testing.T, open func(t *testing.T) storage.Backend) {
	for _, tt := range append(parts(), part{"empty", empty}, part{"list", list}, part{"delete", deletes}) {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// RunUnlisted is Run for a store that cannot list and delete, and says so by
// errors.ErrUnsupported. What the others are listed for is asked key by key.
func RunUnlisted(t *testing.T, open func(t *testing.T) storage.Backend) {
	for _, tt := range parts() {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, unlisted{open(t)}) })
	}
	t.Run("unsupported", func(t *testing.T) {
		b := open(t)
		for _, err := range b.List(t.Context(), "") {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("List: %v", err)
			}
		}
		put(t, b, "runs/x", "x")
		if err := b.Delete(t.Context(), "runs/x"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Delete: %v", err)
		}
		if got := get(t, b, "runs/x"); got != "x" {
			t.Errorf("after Delete: %q", got)
		}
	})
}

// part is one test of the contract.
type part struct {
	name string
	run  func(t *testing.T, b storage.Backend)
}

func parts() []part {
	return []part{
		{"roundtrip", roundTrip},
		{"replace", replace},
		{"keys", keys},
		{"content", content},
		{"hashed content", hashedContent},
		{"size", wrongSize},
		{"failing reader", failingReader},
		{"failing writer", failingWriter},
		{"cancelled", cancelled},
		{"concurrent", concurrent},
		{"transfer", transfer},
		{"faulty transfer", faultyTransfer},
	}
}

// unlisted marks a backend that cannot list.
type unlisted struct{ storage.Backend }

// wantKeys checks what is stored below prefix: exactly these keys, or, where
// the backend cannot list, at least these.
func wantKeys(t *testing.T, b storage.Backend, prefix string, want ...string) {
	t.Helper()
	if _, ok := b.(unlisted); ok {
		for _, key := range want {
			if _, err := b.Stat(t.Context(), key); err != nil {
				t.Errorf("%s is gone: %v", key, err)
			}
		}
		return
	}
	if got := listKeys(t, b, prefix); !slices.Equal(got, want) {
		t.Errorf("List(%q) = %q, want %q", prefix, got, want)
	}
}

// objectKey is the key of content.
func objectKey(content string) string { return digest(content).Key() }

func digest(content string) storage.Digest {
	sum := md5.Sum([]byte(content))
	return storage.Digest(hex.EncodeToString(sum[:]))
}

func put(t *testing.T, b storage.Backend, key, content string) {
	t.Helper()
	if err := b.Put(t.Context(), key, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, b storage.Backend, key string) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.Get(t.Context(), key, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func listKeys(t *testing.T, b storage.Backend, prefix string) []string {
	t.Helper()
	var out []string
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Key)
	}
	slices.Sort(out)
	return out
}

func wantMissing(t *testing.T, b storage.Backend, key string) {
	t.Helper()
	if n, err := b.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat(%s) of a missing object: %d, %v", key, n, err)
	}
	var out bytes.Buffer
	if err := b.Get(t.Context(), key, &out); !errors.Is(err, fs.ErrNotExist) || out.Len() > 0 {
		t.Errorf("Get(%s) of a missing object: %q, %v", key, out.String(), err)
	}
}

func empty(t *testing.T, b storage.Backend) {
	wantMissing(t, b, objectKey("none"))
	wantMissing(t, b, "runs/ab/abc/def")
	if got := listKeys(t, b, ""); len(got) != 0 {
		t.Errorf("List of an empty backend: %v", got)
	}
	if err := b.Delete(t.Context(), objectKey("none")); err != nil {
		t.Errorf("Delete of a missing object: %v", err)
	}
}

// big is larger than two parts of a multipart upload of the smallest part size
// that S3 allows (5 MiB).
func big() string { return strings.Repeat("0123456789abcde\n", 11<<20/16+1) }

func roundTrip(t *testing.T, b storage.Backend) {
	for _, content := range []string{"", "x", strings.Repeat("abc", 100_000), big()} {
		key := objectKey(content)
		put(t, b, key, content)
		if n, err := b.Stat(t.Context(), key); err != nil || n != int64(len(content)) {
			t.Errorf("Stat: %d, %v; want %d", n, err, len(content))
		}
		if got := get(t, b, key); got != content {
			t.Errorf("Get gave %d other bytes", len(got))
		}
	}
	odd := "runs/ab/abcdef/Файл с пробелом+plus%41&?.json"
	put(t, b, odd, "{}")
	if got := get(t, b, odd); got != "{}" {
		t.Errorf("%s: %q", odd, got)
	}
	wantKeys(t, b, "runs/", odd)
	read := strings.NewReader("0123456789")
	read.Seek(5, io.SeekStart)
	if err := b.Put(t.Context(), objectKey("0123456789"), read, 10); err != nil {
		t.Errorf("a reader that is not at its start: %v", err)
	}
}

func replace(t *testing.T, b storage.Backend) {
	for _, content := range []string{"one", "two and more", "3"} {
		put(t, b, "runs/k", content)
		if got := get(t, b, "runs/k"); got != content {
			t.Errorf("%q, want %q", got, content)
		}
	}
	key := objectKey("same")
	put(t, b, key, "same")
	if err := flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	put(t, b, key, "same") // the object is read-only now, on a disk
}

func flush(ctx context.Context, b storage.Backend) error {
	if f, ok := b.(storage.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

func keys(t *testing.T, b storage.Backend) {
	for _, key := range []string{"", ".", "/abs", "../out", "a/../../b", "a//b", "a/", "a/./b", `a\b`, "nul\x00"} {
		_, err := b.Stat(t.Context(), key)
		errsOf := map[string]error{
			"Stat":   err,
			"Get":    b.Get(t.Context(), key, io.Discard),
			"Put":    b.Put(t.Context(), key, strings.NewReader("x"), 1),
			"Delete": b.Delete(t.Context(), key),
		}
		for op, err := range errsOf {
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s(%q): %v", op, key, err)
			}
		}
	}
	wantKeys(t, b, "")
}

func content(t *testing.T, b storage.Backend) {
	for _, wrong := range []string{"wrong", big()} {
		key := objectKey("right")
		err := b.Put(t.Context(), key, strings.NewReader(wrong), int64(len(wrong)))
		if errs.KindOf(err) != errs.DataCorrupt {
			t.Errorf("%d bytes of other content: %v", len(wrong), err)
		}
		wantMissing(t, b, key)
	}
	put(t, b, objectKey("right"), "right")
	if err := b.Put(t.Context(), objectKey("right"), strings.NewReader("wrong"), 5); err == nil {
		t.Error("other content replaced an object")
	}
	if got := get(t, b, objectKey("right")); got != "right" {
		t.Errorf("now %q", got)
	}
	put(t, b, digest("x").LegacyKey(), "a legacy object's key is not the MD5 of its bytes")
}

// changing is content that is written to while it is read: what was known of it
// is true at first.
type changing struct {
	*os.File
	read bool
}

func (c *changing) SourceFile() *os.File { return c.File }

func (c *changing) Hashed() bool { return !c.read }

func (c *changing) Read(p []byte) (int, error) {
	c.read = true
	return c.File.Read(p)
}

func (c *changing) CopyTo(dst *os.File, n int64) (int64, error) {
	c.read = true
	return io.CopyN(dst, c.File, n)
}

// hashedContent puts content that is said to have been hashed, and turns out to
// have changed: it is refused, whether or not the backend goes by what is said.
func hashedContent(t *testing.T, b storage.Backend) {
	for _, text := range []string{"wrong", big()} {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		key := objectKey("right")
		err = b.Put(t.Context(), key, &changing{File: f}, int64(len(text)))
		if k := errs.KindOf(err); k != errs.DataCorrupt && k != errs.Conflict {
			t.Errorf("%d bytes of changed content: %v", len(text), err)
		}
		wantMissing(t, b, key)
		f.Close()
	}
}

func wrongSize(t *testing.T, b storage.Backend) {
	text := big()
	for _, tt := range []struct {
		content string
		size    int64
	}{{"abc", 2}, {"abc", 4}, {"", 1}, {"abc", 0}, {text, int64(len(text)) + 1}, {text, int64(len(text)) - 1}} {
		if err := b.Put(t.Context(), "runs/s", strings.NewReader(tt.content), tt.size); err == nil {
			t.Errorf("%d bytes as %d: no error", len(tt.content), tt.size)
		}
		wantMissing(t, b, "runs/s")
	}
}

// brokenReader fails after a number of bytes.
type brokenReader struct {
	*strings.Reader
	after int64
	err   error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	at := r.Size() - int64(r.Len())
	if at >= r.after {
		return 0, r.err
	}
	return r.Reader.Read(p[:min(int64(len(p)), r.after-at)])
}

func failingReader(t *testing.T, b storage.Backend) {
	broken := errors.New("the disk is broken")
	text := big()
	put(t, b, "runs/old", "old")
	for _, key := range []string{objectKey(text), "runs/new", "runs/old"} {
		for _, after := range []int64{0, 1000, int64(len(text)) - 1} {
			r := &brokenReader{strings.NewReader(text), after, broken}
			if err := b.Put(t.Context(), key, r, int64(len(text))); !errors.Is(err, broken) {
				t.Errorf("%s after %d bytes: %v", key, after, err)
			}
		}
	}
	wantMissing(t, b, objectKey(text))
	wantMissing(t, b, "runs/new")
	if got := get(t, b, "runs/old"); got != "old" {
		t.Errorf("a failed Put replaced the object by %d bytes", len(got))
	}
	wantKeys(t, b, "", "runs/old")
}

func failingWriter(t *testing.T, b storage.Backend) {
	full := errors.New("no space")
	text := big()
	put(t, b, objectKey(text), text)
	if err := b.Get(t.Context(), objectKey(text), &limited{w: io.Discard, left: 6 << 20, err: full}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func list(t *testing.T, b storage.Backend) {
	var want []string
	for i := range 30 {
		key := objectKey(fmt.Sprint(i))
		put(t, b, key, fmt.Sprint(i))
		want = append(want, key)
	}
	put(t, b, "runs/ab/x", "12345")
	put(t, b, "runs/abc", "y")
	slices.Sort(want)
	for _, tt := range []struct {
		prefix string
		want   []string
	}{
		{"files/md5/", want},
		{"files/md5", want},
		{"files/", want},
		{want[3][:len("files/md5/ab")], withPrefix(want, want[3][:len("files/md5/ab")])},
		{want[3][:len("files/md5/ab/c")], withPrefix(want, want[3][:len("files/md5/ab/c")])},
		{want[3], want[3:4]},
		{"runs/", []string{"runs/ab/x", "runs/abc"}},
		{"runs/ab", []string{"runs/ab/x", "runs/abc"}},
		{"runs/ab/", []string{"runs/ab/x"}},
		{"runs/ab/x", []string{"runs/ab/x"}},
		{"runs/ab/x/", nil},
		{"runs/b", nil},
		{"none/at/all", nil},
		{"", append(slices.Clone(want), "runs/ab/x", "runs/abc")},
	} {
		if got := listKeys(t, b, tt.prefix); !slices.Equal(got, tt.want) {
			t.Errorf("List(%q) = %q, want %q", tt.prefix, got, tt.want)
		}
	}
	for o, err := range b.List(t.Context(), "runs/ab/x") {
		if err != nil || o.Size != 5 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	for range b.List(t.Context(), "") {
		break // ending early must not hang or panic
	}
}

func withPrefix(keys []string, prefix string) []string {
	var out []string
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	return out
}

func deletes(t *testing.T, b storage.Backend) {
	put(t, b, objectKey("a"), "a")
	put(t, b, objectKey("b"), "b")
	for range 2 {
		if err := b.Delete(t.Context(), objectKey("a")); err != nil {
			t.Fatal(err)
		}
	}
	wantMissing(t, b, objectKey("a"))
	if got := get(t, b, objectKey("b")); got != "b" {
		t.Errorf("the other object is %q", got)
	}
}

func cancelled(t *testing.T, b storage.Backend) {
	put(t, b, "runs/a", "a")
	reason := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err := b.Stat(ctx, "runs/a")
	results := map[string]error{
		"Stat":   err,
		"Get":    b.Get(ctx, "runs/a", io.Discard),
		"Put":    b.Put(ctx, "runs/b", strings.NewReader("b"), 1),
		"Delete": b.Delete(ctx, "runs/a"),
	}
	for _, err := range b.List(ctx, "runs/") {
		results["List"] = err
	}
	for _, op := range []string{"Stat", "Get", "Put", "Delete", "List"} {
		if err := results[op]; !errors.Is(err, reason) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", op, err)
		}
	}
	wantKeys(t, b, "", "runs/a")
	wantMissing(t, b, "runs/b")
}

// concurrent lets many workers put and get, some the same object.
func concurrent(t *testing.T, b storage.Backend) {
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 8 {
				text := strings.Repeat(fmt.Sprintf("content %d ", (w+i)%20), 1000)
				key := objectKey(text)
				if err := b.Put(t.Context(), key, strings.NewReader(text), int64(len(text))); err != nil {
					t.Error(err)
					return
				}
				var out bytes.Buffer
				if err := b.Get(t.Context(), key, &out); err != nil || out.String() != text {
					t.Errorf("%d bytes, %v", out.Len(), err)
					return
				}
			}
		})
	}
	wg.Wait()
	var want []string
	for i := range 20 {
		want = append(want, objectKey(strings.Repeat(fmt.Sprintf("content %d ", i), 1000)))
	}
	slices.Sort(want)
	wantKeys(t, b, "", want...)
}
