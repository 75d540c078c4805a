package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

func options(c *storage.Cache, b storage.Backend, ds ...storage.Digest) storage.TransferOptions {
	return storage.TransferOptions{Cache: c, Remote: b, Objects: ds, Jobs: 4, Retry: storage.Retry{Attempts: 2, First: time.Millisecond}}
}

func members(t *testing.T, c *storage.Cache, d storage.Digest) storage.DirObject {
	t.Helper()
	o, err := c.ReadDir(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestPushOrder records what the remote sees: a directory object comes after
// its members, and not at all without them.
func TestPushOrder(t *testing.T) {
	c, dir, file := backendtest.Stored(t, 20)
	bad := members(t, c, dir)[3].MD5
	var mu sync.Mutex
	var order []string
	failing := true
	b := &backendtest.Faulty{Backend: backendtest.NewMemory(), Plan: func(op backendtest.Op, key string, n int) backendtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if op == backendtest.Put {
			order = append(order, key)
			if failing && key == bad.Key() {
				return backendtest.Fault{Err: errors.New("refused")}
			}
		}
		return backendtest.Fault{}
	}}
	got, err := storage.Push(t.Context(), options(c, b, dir, file))
	var failed *storage.TransferError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Digest != bad || !strings.Contains(err.Error(), "1 file failed to upload") {
		t.Errorf("error %v", err)
	}
	if got.Files != 20 || got.Dirs != 0 {
		t.Errorf("transferred %+v", got)
	}
	if slices.Contains(order, dir.Key()) {
		t.Error("the directory object was pushed without a member")
	}
	order, failing = nil, false
	got, err = storage.Push(t.Context(), options(c, b, dir, file))
	if err != nil || got.Files != 1 || got.Dirs != 1 || !slices.Equal(order, []string{bad.Key(), dir.Key()}) {
		t.Errorf("second push: %+v, %v, %v", got, err, order)
	}
}

func TestPushMissing(t *testing.T) {
	c, dir, file := backendtest.Stored(t, 4)
	gone := members(t, c, dir)[1]
	if err := os.Remove(c.Path(gone.MD5)); err != nil {
		t.Fatal(err)
	}
	b := backendtest.NewMemory()
	none := storage.Digest("00000000000000000000000000000000")
	got, err := storage.Push(t.Context(), options(c, b, dir, file, none, none+".dir"))
	if err != nil || got.Files != 4 || got.Dirs != 0 || len(got.Missing) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if !slices.Contains(got.Missing, storage.MissingObject{Digest: gone.MD5, RelPath: gone.RelPath, Path: gone.RelPath}) {
		t.Errorf("missing %v", got.Missing)
	}
	if slices.Contains(b.Keys(), dir.Key()) {
		t.Error("an incomplete folder was pushed")
	}
	// another machine has pushed the member meanwhile
	b.Set(gone.MD5.Key(), []byte("whatever"))
	if got, err := storage.Push(t.Context(), options(c, b, dir)); err != nil || got.Dirs != 1 || len(got.Missing) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPushChecksMembers has a remote whose directory object lost a member.
func TestPushChecksMembers(t *testing.T) {
	c, dir, _ := backendtest.Stored(t, 4)
	b := backendtest.NewMemory()
	o := options(c, b, dir)
	if _, err := storage.Push(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), members(t, c, dir)[0].MD5.Key()); err != nil {
		t.Fatal(err)
	}
	if got, err := storage.Push(t.Context(), o); err != nil || got.Files != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	o.CheckMembers = true
	lines, err := storage.Status(t.Context(), o)
	if err != nil || len(lines) != 5 || lines[1].Word() != "new" || lines[2].Word() != "" {
		t.Errorf("%+v, %v", lines, err)
	}
	if got, err := storage.Push(t.Context(), o); err != nil || got.Files != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPushCorrupt has a cache object that went bad.
func TestPushCorrupt(t *testing.T) {
	c, _, file := backendtest.Stored(t, 1)
	os.Chmod(c.Path(file), 0o644)
	if err := os.WriteFile(c.Path(file), []byte("bit rot"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Chmod(c.Path(file), 0o444) // it looks trustworthy
	b := backendtest.NewMemory()
	_, err := storage.Push(t.Context(), options(c, b, file))
	var failed *storage.TransferError
	if !errors.As(err, &failed) || errs.KindOf(err) != errs.Failed || errs.KindOf(failed.Failed[0].Err) != errs.DataCorrupt || errs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if len(b.Keys()) != 0 {
		t.Errorf("pushed %v", b.Keys())
	}
}

func TestFetchMissingMember(t *testing.T) {
	c, dir, _ := backendtest.Stored(t, 4)
	b := backendtest.NewMemory()
	if _, err := storage.Push(t.Context(), options(c, b, dir)); err != nil {
		t.Fatal(err)
	}
	gone := members(t, c, dir)[2]
	if err := b.Delete(t.Context(), gone.MD5.Key()); err != nil {
		t.Fatal(err)
	}
	there := backendtest.NewCache(t)
	none := storage.Digest("00000000000000000000000000000000")
	got, err := storage.Fetch(t.Context(), options(there, b, dir, none, none+".dir"))
	if err != nil || got.Files != 3 || got.Dirs != 1 || len(got.Missing) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	changes, err := there.Checkout(t.Context(), out, dir, storage.CheckoutOptions{AllowMissing: true})
	if err != nil || len(changes.Added) != 3 || len(changes.Missing) != 1 || changes.Missing[0].RelPath != gone.RelPath {
		t.Errorf("checkout of the rest: %+v, %v", changes, err)
	}
}

// TestFetchHostileDir has a remote with a directory object that points out of
// the folder, under its right digest.
func TestFetchHostileDir(t *testing.T) {
	evil := storage.DirObject{{MD5: "0cc175b9c0f1b6a831c399e269772661", RelPath: "../../.git/hooks/pre-commit"}}
	b := backendtest.NewMemory()
	b.Set(evil.Digest().Key(), evil.Encode())
	c := backendtest.NewCache(t)
	_, err := storage.Fetch(t.Context(), options(c, b, evil.Digest()))
	if failed := (*storage.TransferError)(nil); !errors.As(err, &failed) || errs.KindOf(failed.Failed[0].Err) != errs.DataCorrupt {
		t.Errorf("%v", err)
	}
	if ok, _ := c.Has(t.Context(), evil.Digest()); ok {
		t.Error("stored")
	}
}

// TestHopeless has a server that refuses everything: it is asked a few times,
// not once per object.
func TestHopeless(t *testing.T) {
	c, dir, _ := backendtest.Stored(t, 300)
	for _, kind := range []errs.Kind{errs.Auth, errs.Unreachable, errs.NotFound} {
		b := &backendtest.Faulty{Backend: backendtest.NewMemory(), Plan: func(op backendtest.Op, key string, n int) backendtest.Fault {
			if op != backendtest.Put {
				return backendtest.Fault{}
			}
			return backendtest.Fault{Err: errs.Hint(errs.New(kind, "no"), "do this")}
		}}
		_, err := storage.Push(t.Context(), options(c, b, dir))
		if errs.KindOf(err) != kind || errs.HintOf(err) != "do this" {
			t.Errorf("kind %d: %v, kind %d, hint %q", kind, err, errs.KindOf(err), errs.HintOf(err))
		}
		if n := b.Calls(backendtest.Put); n > 50 {
			t.Errorf("%d attempts", n)
		}
	}
}

// TestExistenceChecks counts requests: a large remote is not listed for a few
// objects, and many objects are not asked for one by one.
func TestExistenceChecks(t *testing.T) {
	big := backendtest.NewMemory()
	for i := range 60_000 {
		big.Set(storage.Digest(fmt.Sprintf("%016x%016x", uint64(i)*0x9e3779b97f4a7c15, i)).Key(), nil)
	}
	tests := []struct {
		name    string
		remote  *backendtest.Memory
		files   int
		maxStat int
		minStat int
		maxList int
	}{
		{"few of few", backendtest.NewMemory(), 3, 4, 4, 0},
		{"many of few", backendtest.NewMemory(), 100, 1, 0, 2},
		{"few of many", big, 3, 4, 4, 0},
		{"many of many", big, 600, 1, 0, 2},
		{"some of many", big, 100, 101, 100, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, dir, _ := backendtest.Stored(t, tt.files)
			b := &backendtest.Faulty{Backend: tt.remote}
			if _, err := storage.Push(t.Context(), options(c, b, dir)); err != nil {
				t.Fatal(err)
			}
			stats, lists := b.Calls(backendtest.Stat), b.Calls(backendtest.List)
			if stats > tt.maxStat || stats < tt.minStat || lists > tt.maxList {
				t.Errorf("%d stats, %d lists", stats, lists)
			}
		})
	}
}

func TestFetchResumes(t *testing.T) {
	c, dir, _ := backendtest.Stored(t, 40)
	b := backendtest.NewMemory()
	if _, err := storage.Push(t.Context(), options(c, b, dir)); err != nil {
		t.Fatal(err)
	}
	there := backendtest.NewCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := &backendtest.Faulty{Backend: b}
	slow.Plan = func(op backendtest.Op, key string, n int) backendtest.Fault {
		if slow.Calls(backendtest.Get) > 20 {
			cancel()
			return backendtest.Fault{Hang: true}
		}
		return backendtest.Fault{}
	}
	if _, err := storage.Fetch(ctx, options(there, slow, dir)); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	err := filepath.WalkDir(there.Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode() != 0o444 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := storage.Fetch(t.Context(), options(there, b, dir))
	if err != nil || got.Files == 0 || got.Files > 30 || got.Dirs != 1 {
		t.Errorf("second fetch: %+v, %v", got, err)
	}
}

func TestTransferProgress(t *testing.T) {
	c, dir, file := backendtest.Stored(t, 10)
	var mu sync.Mutex
	last := map[string]event.Event{}
	o := options(c, backendtest.NewMemory(), dir, file)
	o.Sink = event.Func(func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		last[e.Text] = e
	})
	pushed, err := storage.Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Cache = backendtest.NewCache(t)
	if _, err := storage.Fetch(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	dirSize := int64(len(members(t, c, dir).Encode()))
	push, fetch := last["push"], last["fetch"]
	if !push.Final || push.Unit != "B" || push.Done != pushed.Bytes || push.Total != pushed.Bytes {
		t.Errorf("push %+v, moved %d bytes", push, pushed.Bytes)
	}
	if !fetch.Final || fetch.Done != fetch.Total || fetch.Total != pushed.Bytes-dirSize {
		t.Errorf("fetch %+v", fetch)
	}
}

func TestPushTree(t *testing.T) {
	here, there := t.TempDir(), filepath.Join(t.TempDir(), "new")
	want := map[string]string{"runs/ab/abcd/ef01": "cmd: x\n", "runs/ab/abcd/ef02": "cmd: y\n", "runs/cd/cdef/1": "z"}
	for key, text := range want {
		path := filepath.Join(here, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	b := backendtest.NewMemory()
	o := storage.TreeOptions{Dir: here, Prefix: "runs", Remote: b}
	for _, n := range []int{3, 0} {
		if got, err := storage.PushTree(t.Context(), o); err != nil || got.Files != n {
			t.Errorf("push: %+v, %v", got, err)
		}
	}
	o.Dir = there
	for _, n := range []int{3, 0} {
		if got, err := storage.FetchTree(t.Context(), o); err != nil || got.Files != n {
			t.Errorf("fetch: %+v, %v", got, err)
		}
	}
	for key, text := range want {
		got, err := os.ReadFile(filepath.Join(there, filepath.FromSlash(key)))
		if err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	b.Set("runs/../../escape", []byte("x"))
	if _, err := storage.FetchTree(t.Context(), o); errs.KindOf(err) != errs.DataCorrupt {
		t.Errorf("a hostile name: %v", err)
	}
	o.Dir = t.TempDir()
	o.Prefix = "none"
	if got, err := storage.PushTree(t.Context(), o); err != nil || got.Files != 0 {
		t.Errorf("no tree: %+v, %v", got, err)
	}
}
