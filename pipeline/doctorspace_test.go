package pipeline

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"ctrx/internal/fsx"
)

func TestSpace(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	places := []diskPlace{{"cache", filepath.Join(work, "a", "not", "yet")}, {"work tree", work}, {"temporary files", filepath.Dir(work)}}
	const gib = 1 << 30
	for _, c := range []struct {
		name   string
		free   map[string]fsx.Space // by folder
		err    error
		ok     bool
		detail string
		hinted bool
	}{
		{name: "one disk", free: map[string]fsx.Space{work: {Bytes: 5 * gib, Files: -1}, filepath.Dir(work): {Bytes: 5 * gib, Files: -1}}, ok: true,
			detail: "cache, work tree, temporary files: 5.0 GiB free"},
		{name: "two disks, one full", free: map[string]fsx.Space{work: {Bytes: 5 * gib, Files: 1 << 20}, filepath.Dir(work): {Bytes: 100, Files: 1 << 20}},
			detail: "cache, work tree: 5.0 GiB free; temporary files: 100 bytes free", hinted: true},
		{name: "no room for files", free: map[string]fsx.Space{work: {Bytes: 5 * gib, Files: 7}, filepath.Dir(work): {Bytes: 5 * gib, Files: 7}},
			detail: "cache, work tree, temporary files: 5.0 GiB free and room for 7 files", hinted: true},
		{name: "not told", err: errors.ErrUnsupported, ok: true, detail: "the system does not tell"},
		{name: "refused", err: fs.ErrPermission, detail: "cache: permission denied", hinted: true},
	} {
		h := healthOf(places, func(dir string) (fsx.Space, error) {
			s, known := c.free[dir]
			if !known && c.err == nil {
				t.Errorf("%s: asked about %s", c.name, dir)
			}
			return s, c.err
		})
		if h.OK != c.ok || h.Detail != c.detail || (h.Hint != "") != c.hinted {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}
