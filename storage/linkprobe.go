package storage

import (
	"errors"
	"os"
	"path/filepath"

	"ctrx/internal/fsx"
)

// WorkingLinks tries which links work between the cache and the folder dir, on
// files of its own that it removes. Copies always do, and are not named.
func (c *Cache) WorkingLinks(dir string) ([]LinkType, error) {
	src, err := os.CreateTemp(c.dir, ".ctrx-probe-*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(src.Name())
	defer src.Close()
	if _, err := src.WriteString("ctrx"); err != nil {
		return nil, err
	}
	root, err := fsx.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := filepath.Base(src.Name()) + "-link"
	var works []LinkType
	for _, try := range []struct {
		link LinkType
		make func() error
	}{
		{Reflink, func() error { return root.Reflink(src, name, 0o666) }},
		{Hardlink, func() error { return root.Link(src.Name(), name) }},
		{Symlink, func() error { return root.Symlink(src.Name(), name) }},
	} {
		err := try.make()
		if err == nil {
			works = append(works, try.link)
			err = root.Remove(name)
		} else if linkUnsupported(err) {
			err = nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return works, err
		}
	}
	return works, nil
}
