package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// stash commits files as a folder and removes the folder again.
func stash(t *testing.T, c *Cache, content map[string]string) Digest {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	tree(t, dir, content)
	return commit(t, c, dir).Digest
}

func TestCheckoutDir(t *testing.T) {
	want := map[string]string{"a": "a1", "sub/b": "b1", "sub/deep/c": "c1"}
	tests := []struct {
		name                     string
		before                   map[string]string // "" for an empty folder; nil: nothing there
		added, modified, deleted []string
	}{
		{"new", nil, []string{"a", "sub/b", "sub/deep/c"}, nil, nil},
		{"empty", map[string]string{}, []string{"a", "sub/b", "sub/deep/c"}, nil, nil},
		{"same", want, nil, nil, nil},
		{"modified", map[string]string{"a": "known", "sub/b": "b1", "sub/deep/c": "c1"}, nil, []string{"a"}, nil},
		{"extra", map[string]string{"a": "a1", "sub/b": "b1", "sub/deep/c": "c1", "x": "known", "old/x": "known", "sub/y": "known"}, nil, nil, []string{"old/x", "sub/y", "x"}},
		{"file for folder", map[string]string{"sub": "known"}, []string{"a", "sub/b", "sub/deep/c"}, nil, []string{"sub"}},
		{"folder for file", map[string]string{"a/x/y": "known", "a/z": "known"}, []string{"a", "sub/b", "sub/deep/c"}, nil, []string{"a/x/y", "a/z"}},
	}
	for _, links := range [][]LinkType{nil, {Hardlink}, {Symlink}} {
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.name, links), func(t *testing.T) {
				dir := t.TempDir()
				c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Links: links})
				defer c.Close()
				stash(t, c, map[string]string{"x": "known"})
				d := stash(t, c, want)
				out := filepath.Join(dir, "ws", "out")
				if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
					t.Fatal(err)
				}
				if tt.before != nil {
					if err := os.Mkdir(out, 0o777); err != nil {
						t.Fatal(err)
					}
					tree(t, out, tt.before)
				}
				got, err := c.Checkout(t.Context(), out, d, CheckoutOptions{Root: filepath.Join(dir, "ws")})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got.Added, tt.added) || !slices.Equal(got.Modified, tt.modified) || !slices.Equal(got.Deleted, tt.deleted) || got.Created != (tt.before == nil) {
					t.Errorf("changes %+v", got)
				}
				if now := files(t, out); !maps.Equal(now, want) {
					t.Errorf("now %v", now)
				}
				if _, err := os.Lstat(filepath.Join(out, "old")); !errors.Is(err, fs.ErrNotExist) {
					t.Error("an emptied folder stayed")
				}
				again, err := c.Checkout(t.Context(), out, d, CheckoutOptions{Root: filepath.Join(dir, "ws"), Relink: true})
				if err != nil || again.Any() {
					t.Errorf("a second checkout changed %+v, %v", again, err)
				}
			})
		}
	}
}

func TestCheckoutFile(t *testing.T) {
	dir := t.TempDir()
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	d := stash(t, c, map[string]string{"x": "known", "y": "old"})
	object, _ := c.ReadDir(t.Context(), d)
	file := object[0].MD5
	path := filepath.Join(dir, "ws", "sub", "f")
	tests := []struct {
		name string
		make func(t *testing.T)
		want Changes
	}{
		{"new, with its folder", func(t *testing.T) { os.Mkdir(filepath.Join(dir, "ws"), 0o777) }, Changes{Created: true, Added: []string{""}}},
		{"same", func(*testing.T) {}, Changes{}},
		{"modified", func(t *testing.T) { tree(t, filepath.Dir(path), map[string]string{"f": "old"}) }, Changes{Modified: []string{""}}},
		{"broken link", func(t *testing.T) { os.Remove(path); symlink(t, "nowhere", path) }, Changes{Added: []string{""}}},
		{"folder", func(t *testing.T) { os.Remove(path); tree(t, path, map[string]string{"s/a": "old", "b": "old"}) }, Changes{Added: []string{""}, Deleted: []string{"b", "s/a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.make(t)
			got, err := c.Checkout(t.Context(), path, file, CheckoutOptions{Root: filepath.Join(dir, "ws"), IsExec: true})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("changes %+v, want %+v", got, tt.want)
			}
			if text, _ := os.ReadFile(path); string(text) != "known" {
				t.Errorf("content %q", text)
			}
			if m := mode(t, path); m&0o100 == 0 || !m.IsRegular() {
				t.Errorf("mode %v", m)
			}
		})
	}
}

func TestCheckoutKeepsUnknownContent(t *testing.T) {
	target := map[string]string{"a": "a1", "sub/b": "b1"}
	tests := []struct {
		name string
		make func(t *testing.T, out string)
	}{
		{"modified file", func(t *testing.T, out string) { tree(t, out, map[string]string{"a": "precious", "x": "known"}) }},
		{"extra file", func(t *testing.T, out string) { tree(t, out, map[string]string{"new/n": "precious", "x": "known"}) }},
		{"file for all", func(t *testing.T, out string) {
			tree(t, filepath.Dir(out), map[string]string{filepath.Base(out): "precious"})
		}},
		{"link to folder", func(t *testing.T, out string) {
			tree(t, filepath.Dir(out), map[string]string{"other/a": "precious"})
			symlink(t, "other", out)
		}},
		{"inner link to folder", func(t *testing.T, out string) {
			tree(t, filepath.Dir(out), map[string]string{"other/b": "precious", "out/a": "a1"})
			symlink(t, filepath.Join("..", "other"), filepath.Join(out, "sub"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
			defer c.Close()
			stash(t, c, map[string]string{"x": "known"})
			d := stash(t, c, target)
			ws := filepath.Join(dir, "ws")
			out := filepath.Join(ws, "out")
			tt.make(t, out)
			before := files(t, ws)
			opts := CheckoutOptions{Root: ws}
			_, err := c.Checkout(t.Context(), out, d, opts)
			if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--force") {
				t.Errorf("error %v, hint %q", err, errs.HintOf(err))
			}
			if now := files(t, ws); !maps.Equal(now, before) {
				t.Errorf("changed: %v", now)
			}
			opts.Force = true
			if _, err := c.Checkout(t.Context(), out, d, opts); err != nil {
				t.Fatal(err)
			}
			if now := files(t, out); !maps.Equal(now, target) {
				t.Errorf("with Force: %v", now)
			}
			for rel, text := range before {
				if strings.HasPrefix(rel, "other/") && files(t, ws)[rel] != text {
					t.Error("followed the link")
				}
			}
		})
	}
}

func TestCheckoutIgnored(t *testing.T) {
	dir := t.TempDir()
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	d := stash(t, c, map[string]string{"a": "a"})
	out := filepath.Join(dir, "out")
	tree(t, out, map[string]string{"notes.log": "mine", "sub/x.log": "mine"})
	ignore := func(rel string, isDir bool) bool { return strings.HasSuffix(rel, ".log") }
	if _, err := c.Checkout(t.Context(), out, d, CheckoutOptions{Ignore: ignore}); err != nil {
		t.Fatal(err)
	}
	if now := files(t, out); len(now) != 3 {
		t.Errorf("%v", now)
	}
}

func TestCheckoutMissing(t *testing.T) {
	dir := t.TempDir()
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	d := stash(t, c, map[string]string{"a": "a1", "b": "b1"})
	os.Remove(c.Path(digestBytes([]byte("b1"))))
	out := filepath.Join(dir, "out")
	_, err := c.Checkout(t.Context(), out, d, CheckoutOptions{})
	var missing *MissingError
	if !errors.As(err, &missing) || len(missing.Objects) != 1 || missing.Objects[0].RelPath != "b" || errs.KindOf(err) != errs.DataMissing ||
		!strings.Contains(errs.HintOf(err), "ctrx pull") || !strings.Contains(errs.HintOf(err), "ctrx fetch") {
		t.Fatalf("error %v, hint %q", err, errs.HintOf(err))
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written")
	}
	got, err := c.Checkout(t.Context(), out, d, CheckoutOptions{AllowMissing: true})
	if err != nil || len(got.Missing) != 1 || !slices.Equal(got.Added, []string{"a"}) {
		t.Errorf("AllowMissing: %+v, %v", got, err)
	}
	none := digestBytes([]byte("none"))
	if _, err := c.Checkout(t.Context(), out, none+".dir", CheckoutOptions{}); errs.KindOf(err) != errs.DataMissing {
		t.Errorf("missing directory object: %v", err)
	}
	fresh := OpenCache(filepath.Join(dir, "never"), CacheOptions{})
	if _, err := fresh.Checkout(t.Context(), filepath.Join(dir, "f"), none, CheckoutOptions{}); errs.KindOf(err) != errs.DataMissing {
		t.Errorf("cache that does not exist: %v", err)
	}
	if _, err := os.Lstat(fresh.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made the cache folder")
	}
}

// TestCheckoutContained plays a hostile repository: see treeverse/dvc#11101.
func TestCheckoutContained(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	c := OpenCache(filepath.Join(dir, ".dvc", "cache"), CacheOptions{})
	defer c.Close()
	object, err := c.ReadDir(t.Context(), stash(t, c, map[string]string{"pre-commit": "#!/bin/sh"}))
	if err != nil {
		t.Fatal(err)
	}
	object = append(object, DirEntry{MD5: object[0].MD5, RelPath: "x/.git/hooks/post-checkout"})
	d := object.Digest()
	if err := c.put(t.Context(), d, bytes.NewReader(object.Encode())); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git", "hooks"), 0o777); err != nil {
		t.Fatal(err)
	}
	symlink(t, outside, filepath.Join(dir, "link"))
	symlink(t, filepath.Join(".git", "hooks"), filepath.Join(dir, "hooks"))
	file := object[0].MD5
	tests := map[string]Digest{
		"link/f":                file,
		"link/sub/f":            file,
		"link":                  d,
		"hooks/pre-commit":      file,
		"hooks":                 d,
		".git/hooks/pre-commit": file,
		".git/hooks":            d,
		"../f":                  file,
		".dvc/config.local":     file,
		"plain":                 d, // has a .git inside
		"notahash":              "../../../etc/passwd",
	}
	for name, digest := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			_, err := c.Checkout(t.Context(), path, digest, CheckoutOptions{Root: dir, IsExec: true})
			if err == nil {
				t.Error("no error")
			}
			if len(files(t, outside)) != 0 || len(files(t, filepath.Join(dir, ".git"))) != 0 {
				t.Errorf("written: %v %v", files(t, outside), files(t, filepath.Join(dir, ".git")))
			}
		})
	}
}

// TestCheckoutOfCommit checks on random folders that what was committed comes
// back, from any other folder.
func TestCheckoutOfCommit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Jobs: 3})
	defer c.Close()
	random := func() map[string]string {
		out := map[string]string{}
		for range rng.IntN(12) {
			depth := 1 + rng.IntN(3)
			parts := make([]string, depth)
			for i := range parts {
				// files and folders get different names, so that one path is
				// not both
				parts[i] = fmt.Sprintf("%c%d", "df"[btoi(i == depth-1)], rng.IntN(3))
			}
			out[strings.Join(parts, "/")] = fmt.Sprint(rng.IntN(5))
		}
		return out
	}
	out := filepath.Join(dir, "ws")
	for range 60 {
		want := random()
		d := stash(t, c, want)
		if _, err := c.Checkout(t.Context(), out, d, CheckoutOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := files(t, out); !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if hash(t, out).Digest != d {
			t.Fatal("digest differs")
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
