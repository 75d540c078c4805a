package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/local"
)

// TestLargeObjectsAreHashedOnce loses a bit of a large object in the cache as a
// disk does, without a trace: checkout and push go by what was hashed before, also
// in another process, and a check finds it. Where the object does not look as it
// did, both hash it and refuse.
func TestLargeObjectsAreHashedOnce(t *testing.T) {
	dir := t.TempDir()
	data, state := filepath.Join(dir, "data"), filepath.Join(dir, "state")
	if err := os.WriteFile(data, []byte(strings.Repeat("0123456789abcdef", 3<<20/16)), 0o666); err != nil {
		t.Fatal(err)
	}
	open := func() (*storage.Cache, func()) {
		s, err := storage.OpenState(state)
		if err != nil {
			t.Fatal(err)
		}
		c := storage.OpenCache(filepath.Join(dir, "cache"), storage.CacheOptions{Large: s, Links: []storage.LinkType{storage.Copy}})
		return c, func() {
			if err := errors.Join(c.Close(), s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, done := open()
	tree, err := c.Ingest(t.Context(), data, nil)
	if err != nil {
		t.Fatal(err)
	}
	object := c.Path(tree.Digest)
	lose := func(when func(was time.Time) time.Time) {
		t.Helper()
		info, err := os.Stat(object)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := errors.Join(os.Chmod(object, 0o644), os.WriteFile(object, content, 0o644), os.Chmod(object, 0o444),
			os.Chtimes(object, time.Time{}, when(info.ModTime()))); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	try := func() (checkout, push error) {
		t.Helper()
		n++
		b := local.Open(filepath.Join(dir, "remote", string(rune('a'+n))), local.Options{})
		defer b.Close()
		_, checkout = c.Checkout(t.Context(), filepath.Join(dir, "out", string(rune('a'+n))), tree.Digest, storage.CheckoutOptions{Root: dir})
		_, push = storage.Push(t.Context(), options(c, b, tree.Digest))
		if has, err := b.Stat(t.Context(), tree.Digest.Key()); (push == nil) != (err == nil && has == 3<<20) {
			t.Errorf("push: %v, and the remote has %d bytes: %v", push, has, err)
		}
		return checkout, push
	}
	lose(func(was time.Time) time.Time { return was })
	if checkout, push := try(); checkout != nil || push != nil {
		t.Errorf("in this process: %v, %v", checkout, push)
	}
	done()
	c, done = open()
	if checkout, push := try(); checkout != nil || push != nil {
		t.Errorf("in another process: %v, %v", checkout, push)
	}
	found, err := c.Check(t.Context(), storage.CheckOptions{})
	if err != nil || len(found.Findings) != 1 || found.Findings[0].What != storage.Corrupt {
		t.Errorf("the check gives %+v, %v", found.Findings, err)
	}
	lose(func(was time.Time) time.Time { return was.Add(time.Second) }) // the bit is back, but it looks otherwise
	if checkout, push := try(); checkout != nil || push != nil {
		t.Errorf("hashed again: %v, %v", checkout, push)
	}
	lose(func(was time.Time) time.Time { return was.Add(time.Second) })
	checkout, push := try()
	var failed *storage.TransferError
	if errs.KindOf(checkout) != errs.DataCorrupt || !errors.As(push, &failed) || errs.KindOf(failed.Failed[0].Err) != errs.DataCorrupt {
		t.Errorf("changed: %v, %v", checkout, push)
	}
	done()
}
