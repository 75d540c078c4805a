package backendtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Stored makes a cache that holds a folder and a file of their own, and gives
// their digests.
func Stored(t *testing.T, files int) (c *storage.Cache, dir, file storage.Digest) {
	t.Helper()
	ws := t.TempDir()
	for i := range files {
		write(t, filepath.Join(ws, "d", fmt.Sprintf("%c", 'a'+i%3), fmt.Sprint(i)), fmt.Sprintf("member %d of %s", i, t.Name()))
	}
	write(t, filepath.Join(ws, "f"), "loose file of "+t.Name())
	c = NewCache(t)
	var ds []storage.Digest
	for _, name := range []string{"d", "f"} {
		tree, err := c.Hasher().Hash(t.Context(), filepath.Join(ws, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context(), filepath.Join(ws, name), tree, storage.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		ds = append(ds, tree.Digest)
	}
	return c, ds[0], ds[1]
}

// NewCache makes an empty cache.
func NewCache(t *testing.T) *storage.Cache {
	t.Helper()
	c := storage.OpenCache(filepath.Join(t.TempDir(), "cache"), storage.CacheOptions{})
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func transfer(t *testing.T, b storage.Backend) {
	const n = 7
	here, dir, file := Stored(t, n)
	push := storage.TransferOptions{Cache: here, Remote: b, Objects: []storage.Digest{dir, file, dir}, Jobs: 4}
	words := func(o storage.TransferOptions) string {
		t.Helper()
		lines, err := storage.Status(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, l := range lines {
			out = append(out, l.Word())
		}
		slices.Sort(out)
		return strings.Join(slices.Compact(out), " ")
	}
	if got := words(push); got != "new" {
		t.Errorf("status before: %q", got)
	}
	for i, want := range []storage.Transfer{{Files: n + 1, Dirs: 1}, {}} {
		got, err := storage.Push(t.Context(), push)
		if err != nil || got.Files != want.Files || got.Dirs != want.Dirs || len(got.Missing) > 0 {
			t.Fatalf("push %d: %+v, %v", i, got, err)
		}
	}
	if got := words(push); got != "" {
		t.Errorf("status after push: %q", got)
	}
	there := NewCache(t)
	fetch := storage.TransferOptions{Cache: there, Remote: b, Objects: push.Objects, Jobs: 4}
	if got := words(fetch); got != "deleted" {
		t.Errorf("status of the empty cache: %q", got)
	}
	for i, want := range []storage.Transfer{{Files: n + 1, Dirs: 1}, {}} {
		got, err := storage.Fetch(t.Context(), fetch)
		if err != nil || got.Files != want.Files || got.Dirs != want.Dirs || len(got.Missing) > 0 {
			t.Fatalf("fetch %d: %+v, %v", i, got, err)
		}
	}
	for _, d := range push.Objects {
		if ok, err := there.HasTree(t.Context(), d); !ok || err != nil {
			t.Errorf("%s did not arrive: %v", d, err)
		}
	}
	if got := words(fetch); got != "" {
		t.Errorf("status after fetch: %q", got)
	}
}

// faultyTransfer pushes and fetches over a backend each of whose calls fails at
// first, and then over one that fails for good.
func faultyTransfer(t *testing.T, b storage.Backend) {
	here, dir, file := Stored(t, 5)
	shaky := &Faulty{Backend: b, Plan: func(op Op, key string, n int) Fault {
		if n > 2 {
			return Fault{}
		}
		return Fault{Err: storage.Transient(fmt.Errorf("connection reset (%s %d)", op, n)), After: 3, Lost: n == 2}
	}}
	retry := storage.Retry{Attempts: 4, First: time.Millisecond, Max: time.Millisecond}
	o := storage.TransferOptions{Cache: here, Remote: shaky, Objects: []storage.Digest{dir, file}, Jobs: 3, Retry: retry}
	if got, err := storage.Push(t.Context(), o); err != nil || got.Files != 6 || got.Dirs != 1 {
		t.Fatalf("push: %+v, %v", got, err)
	}
	there := NewCache(t)
	o.Cache = there
	if got, err := storage.Fetch(t.Context(), o); err != nil || got.Files != 6 || got.Dirs != 1 {
		t.Fatalf("fetch: %+v, %v", got, err)
	}
	if ok, err := there.HasTree(t.Context(), dir); !ok || err != nil {
		t.Errorf("after fetch: %v, %v", ok, err)
	}
	broken := errors.New("disk on fire")
	o.Cache = NewCache(t)
	o.Remote = &Faulty{Backend: b, Plan: func(op Op, key string, n int) Fault {
		if op == Get && !strings.HasSuffix(key, ".dir") {
			return Fault{Err: broken, After: 5}
		}
		return Fault{}
	}}
	got, err := storage.Fetch(t.Context(), o)
	var failed *storage.TransferError
	if !errors.As(err, &failed) || len(failed.Failed) != 6 || !errors.Is(err, broken) || got.Files != 0 {
		t.Errorf("fetch from a broken server: %+v, %v", got, err)
	}
	damage(t, o, b)
	hang(t, o, b)
}

// damage turns a bit on the way.
func damage(t *testing.T, o storage.TransferOptions, b storage.Backend) {
	o.Cache = NewCache(t)
	o.Remote = &Faulty{Backend: b, Plan: func(op Op, key string, n int) Fault { return Fault{Damage: true} }}
	_, err := storage.Fetch(t.Context(), o)
	if failed := (*storage.TransferError)(nil); !errors.As(err, &failed) || errs.KindOf(failed.Failed[0].Err) != errs.DataCorrupt {
		t.Errorf("damaged on the way: %v", err)
	}
	for _, d := range o.Objects {
		if ok, _ := o.Cache.Has(t.Context(), d); ok {
			t.Errorf("%s landed in the cache", d)
		}
	}
	nothingIn(t, o.Cache.Dir())
}

// hang ends a transfer that waits for a server.
func hang(t *testing.T, o storage.TransferOptions, b storage.Backend) {
	o.Cache = NewCache(t)
	o.Remote = &Faulty{Backend: b, Plan: func(op Op, key string, n int) Fault { return Fault{Hang: op == Get} }}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := storage.Fetch(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that does not answer: %v", err)
	}
	if d := time.Since(start); d > 5*time.Minute {
		t.Errorf("ended after %v", d)
	}
	nothingIn(t, o.Cache.Dir())
}

func nothingIn(t *testing.T, dir string) {
	t.Helper()
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return nil
	})
}
