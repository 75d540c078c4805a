package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ctrx/internal/fsx"
)

// Known remembers which folders a remote has been seen to hold whole. When one
// of their successors is pushed, the files that both have need no question: one
// about the older folder stands for all of them.
//
// What it remembers is never believed by itself. A folder counts while the
// remote still has its directory object, which is asked each time, as DVC asks
// it: the members of a directory object are removed after it (dvc-compat 8.3).
// When one is gone, everything is forgotten. All methods do nothing on nil, and
// a list that cannot be written costs questions only.
type Known struct {
	path string

	mu sync.Mutex
}

// knownFolders is how many folders a list has: the latest.
const knownFolders = 16

// OpenKnown gives the list of a remote in a folder of lists, which need not
// exist. The remote is identified by what makes it another one: url, endpoint,
// layout.
func OpenKnown(dir string, identity ...string) *Known {
	sum := sha256.Sum256([]byte(strings.Join(identity, "\n")))
	return &Known{path: filepath.Join(dir, hex.EncodeToString(sum[:12])+".list")}
}

// Folders lists the directory objects, the latest first.
func (k *Known) Folders() []Digest {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read()
}

func (k *Known) read() []Digest {
	data, err := os.ReadFile(k.path)
	if err != nil {
		return nil
	}
	var out []Digest
	for line := range strings.Lines(string(data)) {
		if d := Digest(strings.TrimSpace(line)); d.Valid() && d.IsDir() {
			out = append(out, d)
		}
	}
	return out
}

// Add enters directory objects that the remote holds with all their members.
func (k *Known) Add(ds []Digest) {
	if k == nil || len(ds) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.read()
	all := unique(append(slices.Clone(ds), old...))
	all = all[:min(len(all), knownFolders)]
	if slices.Equal(all, old) {
		return
	}
	var text strings.Builder
	for _, d := range all {
		text.WriteString(string(d) + "\n")
	}
	if os.MkdirAll(filepath.Dir(k.path), 0o777) == nil {
		_ = fsx.WriteFileAs(k.path, []byte(text.String()), 0o666, fsx.Fast)
	}
}

// Clear forgets everything: objects were removed from the remote.
func (k *Known) Clear() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = os.Remove(k.path)
}

// knownMembers finds which of the members of folders the remote has through
// folders that it is known to hold, if asking about these is less than asking
// about the members. The map is never nil. gone is called when a folder is not
// there any more.
func (o TransferOptions) knownMembers(ctx context.Context, members []Digest, gone func()) (map[Digest]bool, error) {
	there := map[Digest]bool{}
	if o.Known == nil || o.CheckMembers || len(members) <= 2*o.Jobs {
		return there, nil
	}
	wanted := make(map[Digest]bool, len(members))
	for _, d := range members {
		wanted[d] = true
	}
	var folders []Digest
	for _, d := range o.Known.Folders() {
		tree, err := o.Cache.ReadDir(ctx, d)
		if err != nil && o.Lists != nil && ctx.Err() == nil {
			tree, err = o.Lists.ReadDir(ctx, d)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			continue // not here any more: it can say nothing
		}
		more := false
		for _, e := range tree {
			if wanted[e.MD5] && !there[e.MD5] {
				there[e.MD5], more = true, true
			}
		}
		if more {
			folders = append(folders, d)
		}
	}
	if len(folders) == 0 {
		return there, nil
	}
	still, err := o.statEach(ctx, folders)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(still) < len(folders) {
		gone()
		return map[Digest]bool{}, nil
	}
	return there, nil
}
