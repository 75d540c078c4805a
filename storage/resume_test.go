package storage_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// ranged is a store of one object that sends its content out of order where it
// can. It breaks off before a byte, 0 for never.
type ranged struct {
	*backendtest.Memory
	content []byte
	etag    string
	breakAt int64
	asked   []int64
}

func (r *ranged) Stat(context.Context, string) (int64, error) { return int64(len(r.content)), nil }

func (r *ranged) Get(ctx context.Context, key string, w io.Writer) error {
	return r.GetFrom(ctx, key, r.etag, 0, w)
}

func (r *ranged) GetFrom(_ context.Context, key, etag string, offset int64, w io.Writer) error {
	r.asked = append(r.asked, offset)
	size := int64(len(r.content))
	if etag != r.etag || offset > 0 && offset >= size {
		return storage.ErrReplaced
	}
	if a, ok := w.(storage.Announced); ok && offset == 0 {
		a.Announce(storage.Object{Key: key, Size: size, ETag: r.etag})
	}
	end := size
	if r.breakAt > 0 {
		end = r.breakAt
	}
	const part = 2 << 20
	first := min(offset+part, end)
	if _, err := w.Write(r.content[offset:first]); err != nil {
		return err
	}
	if first == end && r.breakAt > 0 {
		return errs.New(errs.Unreachable, "gone")
	}
	if to := storage.ScatterTo(w); to != nil {
		if _, err := to.WriteAt(r.content[max(first, size-part):], max(first, size-part)); err != nil {
			return err
		}
		for at := first; at < end; at += part {
			piece := r.content[at:min(at+part, end)]
			if _, err := to.WriteAt(piece, at); err != nil {
				return err
			}
			if err := to.Next(piece); err != nil {
				return err
			}
		}
	} else if _, err := w.Write(r.content[first:end]); err != nil {
		return err
	}
	if r.breakAt > 0 {
		return errs.New(errs.Unreachable, "gone")
	}
	return nil
}

// TestFetchGoesOn lets Fetch find what earlier calls may have left of a large
// object, whole, cut or damaged.
func TestFetchGoesOn(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	const size = 21*mib + 5
	content := bytes.Repeat([]byte("0123456789abcdefghijklm"), size/23+1)[:size]
	sum := md5.Sum(content)
	d := storage.Digest(hex.EncodeToString(sum[:]))
	damaged := slices.Clone(content[:9*mib])
	damaged[100]++
	holes := append(slices.Clone(content[:4*mib]), make([]byte, 6*mib)...)
	for _, c := range []struct {
		name  string
		found []byte
		note  string // beside it; "" is none
		left  string // one more file, of a process that was killed
		stop  int64  // where the first of two calls is broken off; 0: there is one
		noted string // what that one leaves

		asked []int64
	}{
		{name: "nothing", asked: []int64{0}},
		{name: "in order, nothing was noted", found: content[:9*mib], note: "tag", asked: []int64{9 * mib}},
		{name: "more than was noted", found: holes, note: "tag\n4194304", asked: []int64{4 * mib}},
		{name: "less than was noted", found: content[:4*mib], note: "tag\n9437184", asked: []int64{4 * mib}},
		{name: "holes that a power cut left", found: holes, note: "tag\n9437184", asked: []int64{9 * mib, 0}},
		{name: "nothing was in its place", found: holes, note: "tag\n0", asked: []int64{0}},
		{name: "damaged", found: damaged, note: "tag\n9437184", asked: []int64{9 * mib, 0}},
		{name: "longer than the object", found: append(slices.Clone(content), "x"...), note: "tag\n22020102", asked: []int64{size + 1, 0}},
		{name: "all of it", found: content, note: "tag\n22020101"},
		{name: "of another object", found: content[:9*mib], note: "other\n9437184", asked: []int64{9 * mib, 0}},
		{name: "a note that makes no sense", found: content[:9*mib], note: "tag\n-5", asked: []int64{0}},
		{name: "without a note", found: content[:9*mib], asked: []int64{0}},
		{name: "killed while it was noted", found: content[:9*mib], note: "tag\n9437184", left: ".etag.new", asked: []int64{9 * mib}},
		{name: "broken off in order", found: content[:9*mib], note: "tag\n9437184", stop: 10 * mib, noted: "tag\n10485760", asked: []int64{9 * mib, 10 * mib}},
		{name: "broken off out of order", found: content[:9*mib], note: "tag\n9437184", stop: 14 * mib, noted: "tag\n14680064", asked: []int64{9 * mib, 14 * mib}},
		{name: "begun anew and broken off", found: holes, note: "other\n0", stop: 6 * mib, noted: "tag\n6291456", asked: []int64{0, 6 * mib}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cache := backendtest.NewCache(t)
			partial := filepath.Join(cache.Dir(), "files", "md5", storage.PartialDir, string(d))
			for name, text := range map[string][]byte{"": c.found, ".etag": []byte(c.note), c.left: []byte("ta")} {
				if name == "" {
					text = c.found
				}
				if len(text) == 0 {
					continue
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(partial), 0o777), os.WriteFile(partial+name, text, 0o666)); err != nil {
					t.Fatal(err)
				}
			}
			store := &ranged{Memory: backendtest.NewMemory(), content: content, etag: "tag", breakAt: c.stop}
			var last event.Event
			o := storage.TransferOptions{
				Cache: cache, Remote: store, Objects: []storage.Digest{d}, Retry: storage.Retry{Attempts: 1},
				Sink: event.Func(func(e event.Event) {
					if last = e; e.Done > e.Total && len(c.found) <= size {
						t.Errorf("%d of %d bytes", e.Done, e.Total)
					}
				}),
			}
			if c.stop > 0 {
				if _, err := storage.Fetch(t.Context(), o); err == nil {
					t.Fatal("fetched from a store that is gone")
				}
				noted, err := os.ReadFile(partial + ".etag")
				info, e := os.Stat(partial)
				if err != nil || e != nil || string(noted) != c.noted || info.Size() != c.stop || last.Done != 0 {
					t.Errorf("left: %q, %v, %v, %v; shown: %+v", noted, err, info, e, last)
				}
				store.breakAt = 0
			}
			got, err := storage.Fetch(t.Context(), o)
			if err != nil || got.Files != 1 || got.Bytes != size || last.Done != size {
				t.Errorf("%+v, %v; shown: %+v", got, err, last)
			}
			if !slices.Equal(store.asked, c.asked) {
				t.Errorf("asked from %d, not %d", store.asked, c.asked)
			}
			if text, err := os.ReadFile(cache.Path(d)); err != nil || !bytes.Equal(text, content) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			if _, err := os.Stat(filepath.Dir(partial)); err == nil {
				t.Error("the folder of partial objects is left")
			}
		})
	}
}
