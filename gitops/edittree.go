package gitops

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/errs"
)

// EditTree writes the tree that differs from another one in the content of some
// files, and gives its hash. Paths are relative to the root, with slashes; a
// file that is there keeps its mode, nil content removes it. Only the changed
// files and the folders above them are written.
func (r *Repo) EditTree(tree string, files map[string][]byte) (string, error) {
	names := make([]string, 0, len(files))
	for name := range files {
		clean, err := r.clean(name)
		if err != nil {
			return "", err
		}
		if clean != name || name == "." {
			return "", errs.New(errs.Usage, "%q is not a path below the root", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	hash, err := r.editTree(plumbing.NewHash(tree), names, "", files)
	if err != nil {
		return "", fmt.Errorf("edit tree %s: %w", tree, err)
	}
	return hash.String(), nil
}

// editTree edits one folder; names are sorted and all begin with prefix.
func (r *Repo) editTree(tree plumbing.Hash, names []string, prefix string, files map[string][]byte) (plumbing.Hash, error) {
	entries, err := r.treeEntries(tree)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	for len(names) > 0 {
		name, _, nested := strings.Cut(names[0][len(prefix):], "/")
		i := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == name })
		entry := object.TreeEntry{Name: name, Mode: filemode.Regular}
		if i >= 0 {
			entry = entries[i]
		}
		n := 1
		if nested {
			below := prefix + name + "/"
			for n < len(names) && strings.HasPrefix(names[n], below) {
				n++
			}
			if entry.Mode != filemode.Dir {
				entry.Hash, entry.Mode = plumbing.ZeroHash, filemode.Dir
			}
			if entry.Hash, err = r.editTree(entry.Hash, names[:n], below, files); err != nil {
				return plumbing.ZeroHash, err
			}
		} else {
			data := files[names[0]]
			if entry.Mode == filemode.Dir || entry.Mode == filemode.Submodule {
				return plumbing.ZeroHash, errs.New(errs.Conflict, "%s is a folder", names[0])
			}
			entry.Hash = plumbing.ZeroHash
			if data != nil {
				if entry.Hash, err = r.writeObject(plumbing.BlobObject, data, true); err != nil {
					return plumbing.ZeroHash, err
				}
			}
		}
		entries = replaceEntry(entries, i, entry)
		names = names[n:]
	}
	if len(entries) == 0 && prefix != "" {
		return plumbing.ZeroHash, nil
	}
	return r.writeEntries(entries)
}

// replaceEntry puts an entry into the place i, or as a new one where i is
// negative. One without a hash is taken out.
func replaceEntry(entries []object.TreeEntry, i int, entry object.TreeEntry) []object.TreeEntry {
	switch {
	case entry.Hash.IsZero() && i >= 0:
		return slices.Delete(entries, i, i+1)
	case entry.Hash.IsZero():
		return entries
	case i >= 0:
		entries[i] = entry
		return entries
	}
	return append(entries, entry)
}

// treeEntries reads a tree object; the zero hash is an empty folder. The list
// is the caller's own.
func (r *Repo) treeEntries(tree plumbing.Hash) ([]object.TreeEntry, error) {
	if tree.IsZero() {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := object.GetTree(r.storage, tree)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, r.missing(tree.String())
	}
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w", tree, err)
	}
	return slices.Clone(t.Entries), nil
}

// writeEntries writes the object of one folder.
func (r *Repo) writeEntries(entries []object.TreeEntry) (plumbing.Hash, error) {
	// Git sorts a folder as if its name ended in a slash.
	sort.Sort(object.TreeEntrySorter(entries))
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s\x00%s", strconv.FormatUint(uint64(e.Mode), 8), e.Name, e.Hash[:])
	}
	return r.writeObject(plumbing.TreeObject, []byte(b.String()), true)
}
