package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// tap is a Source that can be made to break off.
type tap struct {
	content []byte
	etag    string
	breakAt int   // of the content, in bytes; 0: never
	err     error // what it breaks off with
	offsets []int64
}

func (s *tap) get(_ context.Context, etag string, offset int64, w io.Writer) error {
	s.offsets = append(s.offsets, offset)
	if offset > 0 && etag != s.etag {
		return ErrReplaced
	}
	if a, ok := w.(Announced); ok && offset == 0 {
		a.Announce(Object{Size: int64(len(s.content)), ETag: s.etag})
	}
	end := len(s.content)
	if s.breakAt > 0 {
		end = s.breakAt
	}
	for at := int(offset); at < end; at += 1 << 20 {
		if _, err := w.Write(s.content[at:min(at+1<<20, end)]); err != nil {
			return err
		}
	}
	if s.breakAt > 0 {
		return s.err
	}
	return nil
}

func TestDownload(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), (resumeSize+5<<20)/16)
	other := bytes.Repeat([]byte("fedcba9876543210"), (resumeSize+5<<20)/16)
	gone := errs.New(errs.Unreachable, "gone")
	const half = 9 << 20
	for _, c := range []struct {
		name          string
		first, second tap
		between       func(partial string) error // what happens to the folder of unfinished files
		offsets       []int64                    // that the second call asks for
		kept          bool                       // something waits for it
	}{
		{name: "goes on", first: tap{content: big, etag: "a", breakAt: half, err: gone}, second: tap{content: big, etag: "a"}, kept: true, offsets: []int64{half}},
		{name: "replaced meanwhile", first: tap{content: big, etag: "a", breakAt: half, err: gone}, second: tap{content: other, etag: "b"}, kept: true, offsets: []int64{half, 0}},
		{name: "small", first: tap{content: big[:resumeSize-1], etag: "a", breakAt: half, err: gone}, second: tap{content: big[:resumeSize-1], etag: "a"}, offsets: []int64{0}},
		{name: "without a name for the content", first: tap{content: big, breakAt: half, err: gone}, second: tap{content: big}, offsets: []int64{0}},
		{name: "refused", first: tap{content: big, etag: "a", breakAt: half, err: errs.New(errs.Failed, "no")}, second: tap{content: big, etag: "a"}, offsets: []int64{0}},
		{name: "empty", first: tap{breakAt: 1, err: gone, content: []byte("x")}, second: tap{}, offsets: []int64{0}},
		{name: "what a power cut did not let reach the disk", first: tap{content: big, etag: "a", breakAt: half, err: gone}, second: tap{content: big, etag: "a"}, kept: true, offsets: []int64{half},
			between: func(partial string) error {
				f, err := os.OpenFile(partial, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					return err
				}
				_, err = f.Write(make([]byte, 1<<20))
				return errors.Join(err, f.Close())
			}},
		{name: "a record that makes no sense", first: tap{content: big, etag: "a", breakAt: half, err: gone}, second: tap{content: big, etag: "a"}, kept: true, offsets: []int64{0},
			between: func(partial string) error { return os.WriteFile(partial+".etag", []byte("a\n-1"), 0o666) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root, err := fsx.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			o := DownloadOptions{Root: root, Name: "file", ID: "s3://bucket/file", Retry: Retry{Attempts: 1}}
			if err := Download(t.Context(), o, c.first.get); !errors.Is(err, c.first.err) {
				t.Fatalf("the first call: %v", err)
			}
			if _, err := root.Lstat("file"); err == nil {
				t.Error("a part has the name of the whole")
			}
			kept, err := filepath.Glob(filepath.Join(root.Dir(), PartialDir, "*.etag"))
			if err != nil || (len(kept) > 0) != c.kept {
				t.Fatalf("kept: %v, %v", kept, err)
			}
			if c.between != nil {
				if err := c.between(kept[0][:len(kept[0])-len(".etag")]); err != nil {
					t.Fatal(err)
				}
			}
			if err := Download(t.Context(), o, c.second.get); err != nil {
				t.Fatal(err)
			}
			if got, err := root.ReadFile("file"); err != nil || !bytes.Equal(got, c.second.content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if len(c.second.offsets) != len(c.offsets) {
				t.Fatalf("asked from %v, not %v", c.second.offsets, c.offsets)
			}
			for i, at := range c.offsets {
				if c.second.offsets[i] != at {
					t.Errorf("asked from %v, not %v", c.second.offsets, c.offsets)
				}
			}
			entries, err := os.ReadDir(root.Dir())
			if err != nil || len(entries) != 1 {
				t.Errorf("left: %v, %v", entries, err)
			}
		})
	}
}
