package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

func TestHashFile(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 200_000) // 3 blocks and a rest
	tree(t, dir, map[string]string{"empty": "", "a": "a\n", "big": big})
	tests := map[string]struct {
		d    Digest
		size int64
	}{
		"empty": {"d41d8cd98f00b204e9800998ecf8427e", 0},
		"a":     {"60b725f10c9c85c70d97880dfe8191b3", 2},
		"big":   {digestBytes([]byte(big)), 3_200_000},
	}
	for name, want := range tests {
		tr := hash(t, filepath.Join(dir, name))
		if tr.Digest != want.d || tr.Size != want.size || tr.Dir != nil || tr.NFiles != 0 || tr.IsExec {
			t.Errorf("%s: %+v", name, tr)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o754); err != nil {
		t.Fatal(err)
	}
	if !hash(t, filepath.Join(dir, "a")).IsExec {
		t.Error("execute bit not seen")
	}
	_, err := NewHasher(nil, 0, nil).Hash(t.Context(), filepath.Join(dir, "none"), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestHashDirRules(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	tree(t, outside, map[string]string{"f": "out\n", "d/x": "x"})
	tree(t, dir, map[string]string{"a": "a\n", "b": "b\n", "skip/x": "x", "deep/keep/y": "y", ".ctrx-0123456789abcdef.tmp": "junk"})
	if err := os.MkdirAll(filepath.Join(dir, "hollow", "inner"), 0o777); err != nil {
		t.Fatal(err)
	}
	symlink(t, filepath.Join(outside, "f"), filepath.Join(dir, "l"))
	symlink(t, filepath.Join(outside, "d"), filepath.Join(dir, "dirlink"))
	ignore := func(rel string, isDir bool) bool { return isDir && (rel == "skip" || rel == "deep/keep") }
	tr, err := NewHasher(nil, 2, nil).Hash(t.Context(), dir, ignore)
	if err != nil {
		t.Fatal(err)
	}
	// the digest is dvc 3.67.1's for the same three files
	if tr.Digest != "3aee5cc34752a41ca11d211f52bc9d89.dir" || tr.NFiles != 3 || tr.Size != 8 {
		t.Errorf("%+v", tr)
	}
	empty := filepath.Join(t.TempDir(), "e")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	if tr := hash(t, empty); tr.Digest != "d751713988987e9331980363e24189ce.dir" || tr.Dir == nil {
		t.Errorf("empty folder: %+v", tr)
	}
}

func TestHashDirErrors(t *testing.T) {
	tests := map[string]struct {
		make func(t *testing.T, dir string)
		kind errs.Kind
		text string
	}{
		"broken link": {func(t *testing.T, dir string) { symlink(t, "nowhere", filepath.Join(dir, "l")) }, errs.NotFound, "broken symbolic link to nowhere"},
		"dvcignore":   {func(t *testing.T, dir string) { tree(t, dir, map[string]string{"s/.dvcignore": "x"}) }, errs.ProjectFile, ".dvcignore"},
		"fifo": {func(t *testing.T, dir string) {
			if err := mkfifo(filepath.Join(dir, "p")); err != nil {
				t.Skip(err)
			}
		}, errs.Failed, "neither a file nor a folder"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.make(t, dir)
			_, err := NewHasher(nil, 0, nil).Hash(t.Context(), dir, nil)
			if err == nil || errs.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (kind %d)", err, errs.KindOf(err))
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Error("looks like a missing output")
			}
		})
	}
}

func TestDos2Unix(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("line\r\n", 200_000) // past one block, which ends inside a line
	tests := map[string]struct{ in, as string }{
		"text":   {"a\r\nb\r\n", "a\nb\n"},
		"lone":   {"a\rb", "a\rb"},
		"empty":  {"", ""},
		"binary": {"a\x00\r\n", "a\x00\r\n"},
		"odd30":  {"\xff\xff\xff12345\r\n", "\xff\xff\xff12345\n"},
		"odd40":  {"\xff\xff\xff\xff1234\r\n", "\xff\xff\xff\xff1234\r\n"},
		"blocks": {text, strings.ReplaceAll(text[:1<<20], "\r\n", "\n") + strings.ReplaceAll(text[1<<20:], "\r\n", "\n")},
	}
	h := NewHasher(nil, 0, nil).WithAlgorithm(MD5Dos2Unix)
	for name, tt := range tests {
		tree(t, dir, map[string]string{name: tt.in})
		tr, err := h.Hash(t.Context(), filepath.Join(dir, name), nil)
		if err != nil || tr.Digest != digestBytes([]byte(tt.as)) || tr.Size != int64(len(tt.in)) {
			t.Errorf("%s: %+v, %v", name, tr, err)
		}
	}
}

func TestChanged(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "a\n", "d/x": "x"})
	h := NewHasher(nil, 0, nil)
	a, d := filepath.Join(dir, "a"), filepath.Join(dir, "d")
	tests := []struct {
		path     string
		recorded Digest
		size     int64
		want     bool
	}{
		{a, "60b725f10c9c85c70d97880dfe8191b3", -1, false},
		{a, "60b725f10c9c85c70d97880dfe8191b3", 2, false},
		{a, "60b725f10c9c85c70d97880dfe8191b3", 3, true},
		{a, "00b725f10c9c85c70d97880dfe8191b3", 2, true},
		{a, hash(t, d).Digest, -1, true},
		{d, hash(t, d).Digest, 1, false},
		{d, "60b725f10c9c85c70d97880dfe8191b3", -1, true},
	}
	for i, tt := range tests {
		got, err := h.Changed(t.Context(), tt.path, tt.recorded, tt.size, nil)
		if err != nil || got != tt.want {
			t.Errorf("%d: %v, %v", i, got, err)
		}
	}
	if _, err := h.Changed(t.Context(), filepath.Join(dir, "none"), "", -1, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestStateRemembers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data")
	state := filepath.Join(dir, "tmp", "ctrx", "state")
	tree(t, dir, map[string]string{"data": "one"})
	age(t, path)
	info, _ := os.Stat(path)
	s := openState(t, state)
	first, err := NewHasher(s, 0, nil).Hash(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openState(t, state)
	if d, ok := s.lookup(path, MD5, fingerprintOf(info)); !ok || d != first.Digest {
		t.Fatalf("lookup %q %v", d, ok)
	}
	if _, ok := s.lookup(path, MD5Dos2Unix, fingerprintOf(info)); ok {
		t.Error("another algorithm's digest was given")
	}
	// changed content, same size and time, other file: found by the inode
	tree(t, dir, map[string]string{"new": "two"})
	if err := os.Chtimes(filepath.Join(dir, "new"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	again, err := NewHasher(s, 0, nil).Hash(t.Context(), path, nil)
	if err != nil || again.Digest != digestBytes([]byte("two")) {
		t.Errorf("after replacement: %s, %v", again.Digest, err)
	}
}

// TestStateRacy changes a file right after hashing, without changing its size
// or (as far as the clock shows) its time.
func TestStateRacy(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, filepath.Join(dir, "state"))
	h := NewHasher(s, 0, nil)
	path := filepath.Join(dir, "data")
	for i := range 50 {
		text := fmt.Sprintf("%04d", i)
		tree(t, dir, map[string]string{"data": text})
		got, err := h.Hash(t.Context(), path, nil)
		if err != nil || got.Digest != digestBytes([]byte(text)) {
			t.Fatalf("round %d: %s, %v", i, got.Digest, err)
		}
	}
}

// TestStateRemembersFresh hashes much new data: waiting a tick must pay off.
func TestStateRemembersFresh(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data")
	tree(t, dir, map[string]string{"data": strings.Repeat("x", 2*worthWaiting)})
	s := openState(t, filepath.Join(dir, "state"))
	if _, err := NewHasher(s, 0, nil).Hash(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	if info.ModTime().Nanosecond()%1_000_000 == 0 {
		t.Skip("this file system has a coarse clock")
	}
	if _, ok := s.lookup(path, MD5, fingerprintOf(info)); !ok {
		t.Error("not remembered")
	}
}

func TestStateSurvivesDamage(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	names := []string{"plain", "sp ace", "new\nline", `back\nslash`}
	for _, n := range names {
		tree(t, dir, map[string]string{n: n})
		age(t, filepath.Join(dir, n))
	}
	s := openState(t, state)
	h := NewHasher(s, 0, nil)
	for _, n := range names {
		if _, err := h.Hash(t.Context(), filepath.Join(dir, n), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	known := func() int {
		s := openState(t, state)
		n := 0
		for _, name := range names {
			info, _ := os.Stat(filepath.Join(dir, name))
			if d, ok := s.lookup(filepath.Join(dir, name), MD5, fingerprintOf(info)); ok {
				if d != digestBytes([]byte(name)) {
					t.Errorf("%q: wrong digest %s", name, d)
				}
				n++
			}
		}
		return n
	}
	if n := known(); n != len(names) {
		t.Errorf("%d of %d remembered:\n%s", n, len(names), whole)
	}
	for cut := range whole {
		if err := os.WriteFile(state, whole[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		if n := known(); n > len(names) {
			t.Errorf("cut at %d: %d", cut, n)
		}
		damaged := append([]byte(nil), whole...)
		damaged[cut] ^= 1
		if err := os.WriteFile(state, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		known()
	}
	// a torn line must not swallow the one that is appended after it
	if err := os.WriteFile(state, whole[:len(whole)-3], 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = openState(t, state)
		for _, n := range names {
			if _, err := NewHasher(s, 0, nil).Hash(t.Context(), filepath.Join(dir, n), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := known(); n != len(names) {
		t.Errorf("after repair %d of %d", n, len(names))
	}
}

// TestStateManyWriters lets several states, as of several processes, write the
// same file, and compacts it in between.
func TestStateManyWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	tree(t, dir, map[string]string{"f": "f"})
	age(t, filepath.Join(dir, "f"))
	info, _ := os.Stat(filepath.Join(dir, "f"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := OpenState(path)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 4000 {
				s.record(filepath.Join(dir, fmt.Sprint("gone", i)), MD5, fingerprint{1, 2, 3}, digestBytes([]byte{byte(i)}))
			}
			s.record(filepath.Join(dir, "f"), MD5, fingerprintOf(info), digestBytes([]byte("f")))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openState(t, path)
	for i := range 30_000 {
		s.record(filepath.Join(dir, "gone"), MD5, fingerprint{1, 2, int64(i)}, digestBytes([]byte("g")))
	}
	s.record(filepath.Join(dir, "f"), MD5, fingerprintOf(info), digestBytes([]byte("f")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	size, err := os.Stat(path)
	if err != nil || size.Size() > 1000 {
		t.Errorf("not compacted: %v, %v", size.Size(), err)
	}
	if d, ok := openState(t, path).lookup(filepath.Join(dir, "f"), MD5, fingerprintOf(info)); !ok || d != digestBytes([]byte("f")) {
		t.Errorf("lost by compaction: %q", d)
	}
}

// TestCheckoutProgress adds and checks out a folder: both count its files.
func TestCheckoutProgress(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "aa", "sub/b": "b"})
	var last event.Event
	c := OpenCache(t.TempDir(), CacheOptions{Sink: event.Func(func(e event.Event) { last = e })})
	defer c.Close()
	hashed, err := c.Hasher().Hash(t.Context(), dir, nil)
	if err == nil {
		err = c.Commit(t.Context(), dir, hashed, CommitOptions{NoRelink: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := (event.Event{Type: event.Progress, Text: "cache", Done: 3, Total: 3, Unit: "B", Files: 2, Of: 2, Final: true}); last != want {
		t.Errorf("last event of a commit: %+v", last)
	}
	to := filepath.Join(t.TempDir(), "to")
	if _, err := c.Checkout(t.Context(), to, hashed.Digest, CheckoutOptions{Root: filepath.Dir(to)}); err != nil {
		t.Fatal(err)
	}
	if want := (event.Event{Type: event.Progress, Text: "checkout", Done: 3, Total: 3, Unit: "B", Files: 2, Of: 2, Final: true}); last != want {
		t.Errorf("last event of a checkout: %+v", last)
	}
}

func TestHashProgress(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": strings.Repeat("x", 5<<20), "b": "b"})
	var last event.Event
	sink := event.Func(func(e event.Event) { last = e })
	if _, err := NewHasher(nil, 1, sink).Hash(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	want := event.Event{Type: event.Progress, Text: "hash", Done: 5<<20 + 1, Total: 5<<20 + 1, Unit: "B", Files: 2, Of: 2, Final: true}
	if last != want {
		t.Errorf("last event %+v", last)
	}
}

func BenchmarkStateLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state")
	s, err := OpenState(path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		s.record(fmt.Sprintf("/home/user/projects/some-project/data/images/train/class-%03d/img-%06d.png", i%100, i), MD5,
			fingerprint{uint64(i), int64(i) * 1e9, 12345}, digestBytes([]byte{byte(i)}))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := OpenState(path)
		if err != nil {
			b.Fatal(err)
		}
		s.lookup("/x", MD5, fingerprint{})
		if len(s.entries) != 100_000 {
			b.Fatal(len(s.entries))
		}
	}
}
