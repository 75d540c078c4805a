package tracking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// exportArtifacts writes one folder of the artifacts at a URI and those below
// it.
func (m *mover) exportArtifacts(ctx context.Context, list func(dir string) ([]Artifact, error), uri, dir, to string) error {
	all, err := list(dir)
	if err != nil {
		return err
	}
	store, err := m.c.artifactStore(ctx, m.c.rest, uri)
	if err != nil {
		if len(all) == 0 {
			return nil
		}
		return err
	}
	for _, a := range all {
		if err := checkArtifactPath(a.Path); err != nil {
			return err
		}
		if a.Dir {
			if err := m.exportArtifacts(ctx, list, uri, a.Path, to); err != nil {
				return err
			}
			continue
		}
		if err := m.exportArtifact(ctx, store, a.Path, to+"/"+a.Path); err != nil {
			return fmt.Errorf("artifact %s: %w", a.Path, err)
		}
	}
	return nil
}

func (m *mover) exportArtifact(ctx context.Context, store artifactStore, name, to string) error {
	to = filepath.FromSlash(to)
	if err := m.root.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	f, err := m.root.Create(to)
	if err != nil {
		return err
	}
	err = store.get(ctx, name, f)
	if err == nil {
		err = f.Sync()
	}
	size, sizeErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, sizeErr, f.Close()); err == nil {
		m.count(func(n *Moved) { n.Artifacts++; n.Bytes += size })
	}
	return err
}

// importArtifacts brings a folder to an artifact URI.
func (m *mover) importArtifacts(ctx context.Context, uri, dir string) error {
	return fs.WalkDir(m.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == dir {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel := name[len(dir)+1:]
		if err := checkArtifactPath(rel); err != nil {
			return err
		}
		f, err := m.root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if err := m.c.putArtifact(ctx, uri, operation{Op: opArtifact, Path: rel, Size: info.Size(), source: f}); err != nil {
			return err
		}
		m.count(func(n *Moved) { n.Artifacts++; n.Bytes += info.Size() })
		return nil
	})
}
