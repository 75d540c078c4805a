package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

func TestCommitLayout(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"d/a": "a\n", "d/b": "b\n", "d/same": "a\n", "f": "f"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	td, tf := commit(t, c, filepath.Join(dir, "d")), commit(t, c, filepath.Join(dir, "f"))
	got := files(t, c.Dir())
	want := map[string]string{
		"files/md5/60/b725f10c9c85c70d97880dfe8191b3": "a\n",
		"files/md5/3b/5d5c3712955042212316173ccf37be": "b\n",
		"files/md5/8f/a14cdd754f91cc6554c9e71929cce7": "f",
		td.Digest.Key(): string(td.Dir.Encode()),
	}
	if len(got) != len(want) {
		t.Errorf("objects %v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q", k, got[k])
		}
		if m := mode(t, filepath.Join(c.Dir(), filepath.FromSlash(k))); m != objectMode {
			t.Errorf("%s: mode %v", k, m)
		}
	}
	for _, d := range []Digest{td.Digest, tf.Digest} {
		if ok, err := c.HasTree(t.Context(), d); !ok || err != nil {
			t.Errorf("HasTree(%s) = %v, %v", d, ok, err)
		}
	}
	if err := os.Remove(c.Path("3b5d5c3712955042212316173ccf37be")); err != nil {
		t.Fatal(err)
	}
	missing, err := c.Missing(t.Context(), td.Digest)
	if err != nil || len(missing) != 1 || missing[0].RelPath != "b" {
		t.Errorf("Missing: %v, %v", missing, err)
	}
	if ok, _ := c.Has(t.Context(), td.Digest); !ok {
		t.Error("Has looks at members")
	}
}

func TestCommitModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := t.TempDir()
	tree(t, dir, map[string]string{"plain": "1", "exec": "2", "d/x": "3"})
	for name, m := range map[string]fs.FileMode{"plain": 0o600, "exec": 0o775, "d/x": 0o755} {
		if err := os.Chmod(filepath.Join(dir, name), m); err != nil {
			t.Fatal(err)
		}
	}
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	free := 0o666 &^ fsx.Umask()
	// the modes are those that dvc 3.67.1 leaves
	for name, want := range map[string]fs.FileMode{"plain": free, "exec": free | 0o100, "d": 0} {
		commit(t, c, filepath.Join(dir, name))
		if m := mode(t, filepath.Join(dir, name)).Perm(); want != 0 && m != want {
			t.Errorf("%s: %v, want %v", name, m, want)
		}
	}
	if m := mode(t, filepath.Join(dir, "d", "x")).Perm(); m != 0o755 {
		t.Errorf("member: %v", m)
	}
}

func TestCommitLinks(t *testing.T) {
	tests := []struct {
		links []LinkType
		check func(t *testing.T, c *Cache, path string, d Digest)
	}{
		{[]LinkType{Copy}, checkCopy},
		{[]LinkType{Reflink, Copy}, checkCopy},
		{[]LinkType{Hardlink}, checkHardlink},
		{[]LinkType{Reflink, Hardlink}, nil},
		{[]LinkType{Symlink}, checkSymlink},
	}
	for _, tt := range tests {
		t.Run(string(tt.links[0])+string(tt.links[len(tt.links)-1]), func(t *testing.T) {
			dir := t.TempDir()
			tree(t, dir, map[string]string{"ws/f": "file", "ws/d/a": "a\n", "ws/d/empty": "", "target": "linked"})
			symlink(t, filepath.Join(dir, "target"), filepath.Join(dir, "ws", "d", "l"))
			c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Links: tt.links})
			defer c.Close()
			tf, td := commit(t, c, filepath.Join(dir, "ws", "f")), commit(t, c, filepath.Join(dir, "ws", "d"))
			if tt.check != nil {
				tt.check(t, c, filepath.Join(dir, "ws", "f"), tf.Digest)
				tt.check(t, c, filepath.Join(dir, "ws", "d", "a"), td.Dir[0].MD5)
				tt.check(t, c, filepath.Join(dir, "ws", "d", "l"), td.Dir[2].MD5)
			}
			if got := files(t, filepath.Join(dir, "ws")); got["f"] != "file" || got["d/a"] != "a\n" || got["d/l"] != "linked" {
				t.Errorf("workspace %v", got)
			}
			if hash(t, filepath.Join(dir, "ws", "d")).Digest != td.Digest {
				t.Error("digest changed")
			}
			if files(t, dir)["target"] != "linked" {
				t.Error("the link's target changed")
			}
			if err := c.Unprotect(t.Context(), filepath.Join(dir, "ws"), dir); err != nil {
				t.Fatal(err)
			}
			checkCopy(t, c, filepath.Join(dir, "ws", "f"), tf.Digest)
			checkCopy(t, c, filepath.Join(dir, "ws", "d", "l"), td.Dir[2].MD5)
			if m := mode(t, c.Path(tf.Digest)); m != objectMode {
				t.Errorf("object became %v", m)
			}
		})
	}
}

func checkCopy(t *testing.T, c *Cache, path string, d Digest) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, links := inode(info); !info.Mode().IsRegular() || links != 1 || info.Mode()&0o200 == 0 {
		t.Errorf("%s is no file of its own: %v, %d links", path, info.Mode(), links)
	}
}

func checkHardlink(t *testing.T, c *Cache, path string, d Digest) {
	t.Helper()
	a, err1 := os.Lstat(path)
	b, err2 := os.Lstat(c.Path(d))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) || a.Mode() != objectMode {
		t.Errorf("%s is no hard link: %v", path, a.Mode())
	}
}

func checkSymlink(t *testing.T, c *Cache, path string, d Digest) {
	t.Helper()
	if got, err := os.Readlink(path); err != nil || got != c.Path(d) {
		t.Errorf("%s links to %q, %v", path, got, err)
	}
}

// TestCommitChanged commits a tree whose files changed after the hashing.
func TestCommitChanged(t *testing.T) {
	for _, links := range [][]LinkType{nil, {Symlink}} {
		dir := t.TempDir()
		tree(t, dir, map[string]string{"d/a": "a\n", "d/b": "b\n"})
		c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Links: links})
		defer c.Close()
		tr := hash(t, filepath.Join(dir, "d"))
		tree(t, dir, map[string]string{"d/b": "other"})
		err := c.Commit(t.Context(), filepath.Join(dir, "d"), tr, CommitOptions{})
		if errs.KindOf(err) != errs.Conflict {
			t.Errorf("error %v", err)
		}
		got := files(t, dir)
		if got["d/a"] != "a\n" || got["d/b"] != "other" {
			t.Errorf("workspace %v", got)
		}
		if ok, _ := c.Has(t.Context(), tr.Digest); ok {
			t.Error("the directory object was written without its members")
		}
		for name := range got {
			if fsx.IsTemp(filepath.Base(name)) {
				t.Errorf("left behind: %s", name)
			}
		}
	}
}

// TestRelinkKeepsEdit changes a file whose content is already in the cache
// between hashing and relinking.
func TestRelinkKeepsEdit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	tree(t, dir, map[string]string{"f": "one"})
	tr := commit(t, OpenCache(filepath.Join(dir, "cache"), CacheOptions{}), path)
	tree(t, dir, map[string]string{"f": "two"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Links: []LinkType{Symlink}})
	if err := c.Commit(t.Context(), path, tr, CommitOptions{}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("error %v", err)
	}
	if got := files(t, dir)["f"]; got != "two" {
		t.Errorf("the edit was lost: %q", got)
	}
}

func TestTrustRule(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"f": "file"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{})
	defer c.Close()
	d := commit(t, c, filepath.Join(dir, "f")).Digest
	set := func(text string, m fs.FileMode) {
		t.Helper()
		os.Chmod(c.Path(d), 0o644)
		if err := os.WriteFile(c.Path(d), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.Path(d), m); err != nil {
			t.Fatal(err)
		}
	}
	has := func() bool {
		t.Helper()
		ok, err := c.Has(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	set("fil", 0o644)
	if has() {
		t.Error("a partial object was trusted")
	}
	commit(t, c, filepath.Join(dir, "f"))
	if got, _ := os.ReadFile(c.Path(d)); string(got) != "file" || mode(t, c.Path(d)) != objectMode {
		t.Errorf("not repaired: %q %v", got, mode(t, c.Path(d)))
	}
	set("file", 0o644)
	if !has() || mode(t, c.Path(d)) != objectMode {
		t.Errorf("a whole object was not accepted and marked: %v", mode(t, c.Path(d)))
	}
	set("fake", 0o444)
	if !has() {
		t.Error("mode 0444 is what says that an object was checked")
	}
	_, err := c.Checkout(t.Context(), filepath.Join(dir, "copy"), d, CheckoutOptions{})
	if errs.KindOf(err) != errs.DataCorrupt {
		t.Errorf("corrupt object checked out: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "copy")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("corrupt content landed in the workspace")
	}
}

func TestSharedCache(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := t.TempDir()
	tree(t, dir, map[string]string{"f": "file"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{Shared: true})
	defer c.Close()
	d := commit(t, c, filepath.Join(dir, "f")).Digest
	for p := filepath.Dir(c.Path(d)); p != dir; p = filepath.Dir(p) {
		if m := mode(t, p); m != fs.ModeDir|fs.ModeSetgid|0o775 {
			t.Errorf("%s: %v", p, m)
		}
	}
	if m := mode(t, c.Path(d)); m != objectMode {
		t.Errorf("object %v", m)
	}
}

func TestLegacyCache(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"d/dos": "a\r\n", "d/unix": "b\n"})
	c := OpenCache(filepath.Join(dir, "cache"), CacheOptions{}).Legacy()
	defer c.Close()
	tr := commit(t, c, filepath.Join(dir, "d"))
	if tr.Dir[0].MD5 != digestBytes([]byte("a\n")) {
		t.Errorf("%v", tr.Dir)
	}
	got := files(t, c.Dir())
	if got["60/b725f10c9c85c70d97880dfe8191b3"] != "a\r\n" || got[tr.Digest.LegacyKey()] == "" {
		t.Errorf("%v", got)
	}
	if _, err := c.Checkout(t.Context(), filepath.Join(dir, "e"), tr.Digest, CheckoutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(dir, "e")); got["dos"] != "a\r\n" || got["unix"] != "b\n" {
		t.Errorf("%v", got)
	}
}

func TestPutRefusesOtherContent(t *testing.T) {
	c := OpenCache(t.TempDir(), CacheOptions{})
	defer c.Close()
	d := digestBytes([]byte("right"))
	if err := c.Put(t.Context(), d, strings.NewReader("wrong")); errs.KindOf(err) != errs.DataCorrupt {
		t.Errorf("error %v", err)
	}
	if got := files(t, c.Dir()); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
	if err := c.Put(t.Context(), d, strings.NewReader("right")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Put(ctx, digestBytes([]byte("x")), strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkAdd10000(b *testing.B) {
	dir := b.TempDir()
	ws := filepath.Join(dir, "ws")
	for i := range 10_000 {
		p := filepath.Join(ws, string(rune('a'+i%20)), strings.Repeat("f", 1+i%3)+string(rune('0'+i%10))+Digest(digestBytes([]byte{byte(i), byte(i >> 8)})).Hex())
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.Repeat(p, 40)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		n++
		c := OpenCache(filepath.Join(dir, "cache", string(rune('a'+n))), CacheOptions{})
		t, err := c.Hasher().Hash(b.Context(), ws, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Commit(b.Context(), ws, t, CommitOptions{}); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
