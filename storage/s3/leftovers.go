package s3

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ctrx/storage"
)

// abandonedAfter is how much longer than a temporary file an upload in parts may
// wait for the push that goes on with it, before it counts as left behind.
const abandonedAfter = 24 * time.Hour

// Leftovers implements storage.Sweeper: the uploads in parts to this bucket that
// the journal knows (see Journal) and nobody goes on with. Their keys are those
// of the bucket; the size is that of the object that they were to become.
func (b *Backend) Leftovers(ctx context.Context, before time.Time) ([]storage.Object, error) {
	var out []storage.Object
	err := b.abandoned(ctx, before.Add(-abandonedAfter), func(l *uploadLog) error {
		out = append(out, storage.Object{Key: l.head.Object, Size: l.head.Size})
		return nil
	})
	return out, err
}

// Sweep takes back the abandoned uploads of an object.
func (b *Backend) Sweep(ctx context.Context, key string) error {
	err := b.abandoned(ctx, time.Now().Add(-abandonedAfter), func(l *uploadLog) error {
		if l.head.Object != key {
			return nil
		}
		if err := b.abortUpload(ctx, l.head.Object, l.head.ID); err != nil && !isCode(err, "NoSuchUpload") {
			return err
		}
		l.forget()
		return nil
	})
	if err != nil {
		return fmt.Errorf("take back the upload of %s: %w", key, err)
	}
	return nil
}

// abandoned calls f for the journal of each upload to this bucket that nobody
// went on with since before. It holds the journal meanwhile.
func (b *Backend) abandoned(ctx context.Context, before time.Time, f func(*uploadLog) error) error {
	for _, name := range journalsIn(b.journal, before) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l, err := lockUploadLog(name)
		if err != nil || l == nil {
			continue // removed meanwhile, or somebody goes on with it
		}
		if l.head.ID != "" && l.head.Endpoint == b.set.Endpoint && l.head.Bucket == b.set.Bucket {
			err = f(l)
		}
		l.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// journalsIn lists the journals of a folder that were not written to since before.
func journalsIn(dir string, before time.Time) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+uploadSuffix))
	var old []string
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.ModTime().Before(before) {
			old = append(old, name)
		}
	}
	return old
}
