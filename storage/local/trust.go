package local

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"ctrx/internal/fsx"
	"ctrx/storage"
)

// whole tells whether the object at key may be taken for what its name says. The
// mode of an object vouches for it; one without that mode was left by a process
// that was killed, or by a copier that keeps no modes. It is hashed, and marked
// if it is good. DVC treats a folder remote in the same way (dvc-compat 5.1).
func (b *Backend) whole(ctx context.Context, r *fsx.Root, key string, mode fs.FileMode) (bool, error) {
	want, object := storage.KeyDigest(key)
	if !object || mode.Perm() == objectMode {
		return true, nil
	}
	name := filepath.FromSlash(key)
	f, err := r.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, kind(err)
	}
	defer f.Close()
	got, err := b.hasher.Sum(ctx, f)
	if err != nil || got.Hex() != want.Hex() {
		return false, err
	}
	// What cannot be marked, as on a disk that may only be read, is hashed again
	// the next time.
	if r.Sync([]string{name}) == nil {
		_ = protect(r, name)
	}
	return true, nil
}
