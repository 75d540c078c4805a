package storage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// TestIngest: the Tree is that of a hashing, and Commit finds all stored.
func TestIngest(t *testing.T) {
	dir := t.TempDir()
	content := map[string]string{"a": "same", "b/c": "same", "b/empty": "", "big": strings.Repeat("0123456789abcdef", hashBlock/8), "block": strings.Repeat("x", hashBlock)}
	ws := filepath.Join(dir, "ws")
	tree(t, ws, content)
	for rel := range content {
		age(t, filepath.Join(ws, rel))
	}
	want := hash(t, ws)
	state := openState(t, filepath.Join(dir, "state"))
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{State: state})
	defer c.Close()
	got, err := c.Ingest(t.Context(), ws, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want.Digest || got.Meta != want.Meta {
		t.Errorf("ingested %s %+v, want %s %+v", got.Digest, got.Meta, want.Digest, want.Meta)
	}
	for _, e := range want.Dir {
		if mode(t, c.Path(e.MD5)) != objectMode {
			t.Errorf("%s is not marked before Commit", e.RelPath)
		}
	}
	if ok, _ := c.Has(t.Context(), want.Digest); ok {
		t.Error("the directory object came before Commit")
	}
	if err := c.Commit(t.Context(), ws, got, CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if missing, err := c.Missing(t.Context(), want.Digest); len(missing) > 0 || err != nil {
		t.Errorf("missing %v, %v", missing, err)
	}
	if !maps.Equal(files(t, ws), content) {
		t.Error("the workspace changed")
	}
	// What is known is not read again, and what the cache lost is stored again.
	lost := c.Path(want.Dir[0].MD5)
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	again, err := c.Ingest(t.Context(), ws, nil)
	if err != nil || again.Digest != want.Digest {
		t.Fatalf("%s, %v", again.Digest, err)
	}
	if err := c.Commit(t.Context(), ws, again, CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lost); err != nil {
		t.Error(err)
	}
}

// TestIngestChangedFile: a file that is not what the listing saw of it was
// changed meanwhile.
func TestIngestChangedFile(t *testing.T) {
	for name, text := range map[string]string{"small": "now", "large": strings.Repeat("n", hashBlock+1)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			tree(t, dir, map[string]string{"f": text})
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			before := fsx.StampOf(info)
			before.MTime -= 1e9
			c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
			defer c.Close()
			_, err = c.ingestFiles(t.Context(), path, []found{{stamp: before}})
			if errs.KindOf(err) != errs.Conflict {
				t.Errorf("error %v", err)
			}
			if got := files(t, dir)["f"]; got != text {
				t.Error("the original changed")
			}
		})
	}
}

// TestNoSpace: data that does not fit is refused before anything is written,
// unless the cache has it.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	ws := filepath.Join(dir, "ws")
	tree(t, ws, map[string]string{"a": "0123456789", "b": "abcdefghij"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	c.noReflink.Store(true)
	space := fsx.Space{Bytes: 3 * 512, Files: 100, Block: 512}
	c.free = func(string) (fsx.Space, error) { return space, nil }
	add := func() error {
		got, err := c.Ingest(t.Context(), ws, nil)
		if err != nil {
			return err
		}
		return c.Commit(t.Context(), ws, got, CommitOptions{})
	}
	refused := func(need, files int64) {
		t.Helper()
		err := add()
		e, ok := errors.AsType[*NoSpaceError](err)
		if !ok || e.Need != need || e.NeedFiles != files || e.Free != space.Bytes || errs.HintOf(err) == "" {
			t.Fatalf("error %v", err)
		}
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	space.Bytes = 0
	if err := add(); err != nil {
		t.Errorf("all of it is in the cache: %v", err)
	}
	tree(t, ws, map[string]string{"b": "ABCDEFGHIJ", "c": "more", "d": "even more"})
	objects := len(files(t, c.Dir()))
	space.Bytes = 1024
	refused(3*512, 3)
	space = fsx.Space{Bytes: 1 << 30, Files: 2, Block: 512}
	refused(3*512, 3)
	if n := len(files(t, c.Dir())); n != objects {
		t.Errorf("%d files were written", n-objects)
	}
	space.Files = -1
	if err := add(); err != nil {
		t.Error(err)
	}
}

// TestMemoryOfManyFiles: what is kept of a file is little, so that 70,000 stay
// far below 150 MiB.
func TestMemoryOfManyFiles(t *testing.T) {
	const n, most = 3000, 1 << 10
	dir := t.TempDir()
	content := map[string]string{}
	for i := range n {
		content[fmt.Sprintf("ws/a-folder-with-a-name-%d/a-file-with-a-name-%d", i%10, i)] = fmt.Sprint(i)
	}
	tree(t, dir, content)
	content = nil
	state := openState(t, filepath.Join(dir, "state"))
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{State: state})
	defer c.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got, err := c.Ingest(t.Context(), filepath.Join(dir, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC() // the blocks for reading are kept for one collection
	runtime.ReadMemStats(&after)
	if kept := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; kept > most {
		t.Errorf("%d bytes are kept of each file", kept)
	}
	runtime.KeepAlive(got)
	runtime.KeepAlive(state)
}

// TestShelfRemoved: folders of the cache that vanish while they are held open
// are made anew.
func TestShelfRemoved(t *testing.T) {
	dir := t.TempDir()
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	c.noReflink.Store(true)
	tree(t, dir, map[string]string{"f": "content"})
	for range 2 {
		got, err := c.Ingest(t.Context(), filepath.Join(dir, "f"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := c.Has(t.Context(), got.Digest); !ok || err != nil {
			t.Fatalf("stored: %v, %v", ok, err)
		}
		if err := os.RemoveAll(filepath.Dir(c.Path(got.Digest))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestParsePlain: the short way reads what encoding/json reads, or leaves it to
// that.
func TestParsePlain(t *testing.T) {
	const sum = "d41d8cd98f00b204e9800998ecf8427e"
	entry := func(rel string) string { return `{"md5": "` + sum + `", "relpath": "` + rel + `"}` }
	for text, plain := range map[string]bool{
		"[]":                   true,
		"[" + entry("a") + "]": true,
		"[" + entry("a") + ", " + entry("b/c") + "]": true,
		"[" + entry("b") + ", " + entry("a") + "]":   true,
		"[" + entry("a") + "," + entry("b") + "]":    false,
		"[" + entry("a\\\"") + "]":                   false,
		"[" + entry("ж") + "]":                       false,
		`[{"relpath": "a", "md5": "` + sum + `"}]`:   false,
	} {
		o, ok := parsePlain(text)
		if ok != plain {
			t.Errorf("%s: plain %v", text, ok)
		}
		want, err := parseAny([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if ok && fmt.Sprint(o) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", text, o, want)
		}
	}
	for _, text := range []string{"", "[", "]", "[" + entry("a"), "[" + entry("a") + ", ]", "[" + entry("a") + "]]", "[" + entry("a") + entry("b") + "]", "[, " + entry("a") + "]"} {
		if o, err := ParseDir([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, o)
		}
	}
}
