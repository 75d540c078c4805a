package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// TestKnown pushes a folder, changes one file in it, and counts the questions
// of the second push.
func TestKnown(t *testing.T) {
	const n = 300
	ws := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(ws, fmt.Sprint(i)), fmt.Appendf(nil, "file %d", i), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cache := backendtest.NewCache(t)
	commit := func() storage.Digest {
		t.Helper()
		tree, err := cache.Hasher().Hash(t.Context(), ws, nil)
		if err == nil {
			err = cache.Commit(t.Context(), ws, tree, storage.CommitOptions{NoRelink: true})
		}
		if err != nil {
			t.Fatal(err)
		}
		return tree.Digest
	}
	change := func(text string) storage.Digest {
		t.Helper()
		if err := os.WriteFile(filepath.Join(ws, "0"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return commit()
	}
	memory := backendtest.NewMemory()
	known := storage.OpenKnown(filepath.Join(t.TempDir(), "pushed"), "memory")
	push := func(d storage.Digest, k *storage.Known) (storage.Transfer, int) {
		t.Helper()
		b := &backendtest.Faulty{Backend: memory}
		got, err := storage.Push(t.Context(), storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{d}, Jobs: 4, Known: k})
		if err != nil {
			t.Fatal(err)
		}
		return got, b.Calls(backendtest.Stat) + b.Calls(backendtest.List)
	}
	first := commit()
	if got, _ := push(first, known); got.Files != n || got.Dirs != 1 {
		t.Fatalf("first push: %+v", got)
	}
	if folders := known.Folders(); !slices.Equal(folders, []storage.Digest{first}) {
		t.Fatalf("known folders: %v", folders)
	}
	second := change("changed")
	if got, asked := push(second, known); got.Files != 1 || got.Dirs != 1 || asked != 3 {
		// The new folder, the known one, the changed file.
		t.Errorf("push of a changed folder: %+v after %d questions", got, asked)
	}
	other := change("from another cache") // which has the new folder only, as with --to-remote
	apart := backendtest.NewCache(t)
	if _, err := storage.Fetch(t.Context(), storage.TransferOptions{Cache: apart, Remote: copyOf(t, cache, other), Objects: []storage.Digest{other}}); err != nil {
		t.Fatal(err)
	}
	b := &backendtest.Faulty{Backend: memory}
	got, err := storage.Push(t.Context(), storage.TransferOptions{Cache: apart, Lists: cache, Remote: b, Objects: []storage.Digest{other}, Jobs: 4, Known: known})
	if asked := b.Calls(backendtest.Stat) + b.Calls(backendtest.List); err != nil || got.Files != 1 || asked != 3 {
		t.Errorf("push from another cache: %+v after %d questions, %v", got, asked, err)
	}
	third := change("changed again")
	if got, _ := push(third, nil); got.Files != 1 || got.Dirs != 1 {
		t.Errorf("push in doubt: %+v", got)
	}

	// Somebody removes everything, as `dvc gc -c` does: folders first.
	for _, key := range memory.Keys() {
		if err := memory.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	fourth := change("the last")
	if got, _ := push(fourth, known); got.Files != n || got.Dirs != 1 {
		t.Errorf("push to an emptied remote: %+v", got)
	}
	if folders := known.Folders(); !slices.Equal(folders, []storage.Digest{fourth}) {
		t.Errorf("known folders: %v", folders)
	}

	// A fetch that does not find a file puts everything in doubt.
	tree := members(t, cache, fourth)
	if err := memory.Delete(t.Context(), tree[5].MD5.Key()); err != nil {
		t.Fatal(err)
	}
	there := backendtest.NewCache(t)
	got, err = storage.Fetch(t.Context(), storage.TransferOptions{Cache: there, Remote: memory, Objects: []storage.Digest{fourth},
		Known: known, Paths: map[storage.Digest]string{fourth: "data"}})
	if err != nil || len(got.Missing) != 1 || got.Missing[0].Path != "data/"+tree[5].RelPath {
		t.Errorf("fetch: %+v, %v", got, err)
	}
	if folders := known.Folders(); len(folders) > 0 {
		t.Errorf("known folders after a fetch in vain: %v", folders)
	}
}

// copyOf is a remote that holds an object of a cache, and its members.
func copyOf(t *testing.T, c *storage.Cache, d storage.Digest) storage.Backend {
	t.Helper()
	b := backendtest.NewMemory()
	if _, err := storage.Push(t.Context(), storage.TransferOptions{Cache: c, Remote: b, Objects: []storage.Digest{d}}); err != nil {
		t.Fatal(err)
	}
	return b
}
