package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
)

// lockFile is a dvc.lock as it was last read or written by this process.
type lockFile struct {
	lock    *dvcfile.Lock
	exists  bool
	size    int64
	modTime time.Time
}

// loadLock gives the dvc.lock at a rel path, read again only when another
// process changed it since.
func (p *Project) loadLock(rel string) (*lockFile, error) {
	info, err := os.Stat(p.Abs(rel))
	if errors.Is(err, fs.ErrNotExist) {
		lock, err := dvcfile.ParseLock(rel, nil)
		return &lockFile{lock: lock}, err
	}
	if err != nil {
		return nil, err
	}
	if known := p.locks[rel]; known != nil && known.exists && known.size == info.Size() && known.modTime.Equal(info.ModTime()) {
		return known, nil
	}
	data, err := os.ReadFile(p.Abs(rel))
	if err != nil {
		return nil, err
	}
	lock, err := dvcfile.ParseLock(rel, data)
	if err != nil {
		return nil, err
	}
	lf := &lockFile{lock: lock, exists: true, size: info.Size(), modTime: info.ModTime()}
	p.locks[rel] = lf
	return lf, nil
}

// record writes what a stage did into its dvc.lock, or into its .dvc file. A
// stage that is new in its dvc.lock goes before the one named, or to the end.
// The caller holds the repository lock.
func (p *Project) record(s *Stage, entry *dvcfile.StageLock, before string) error {
	if s.IsData() {
		return p.writeData(s)
	}
	rel := s.LockFile()
	lf, err := p.loadLock(rel)
	if err != nil {
		return err
	}
	s.recall(entry)
	if !lf.lock.SetStageBefore(s.Name, before, entry) && lf.exists {
		return nil
	}
	if !lf.exists {
		p.Info("Generating lock file '%s'", p.Show(rel))
	}
	p.Info("Updating lock file '%s'", p.Show(rel))
	// Flushed, so that the file is whole at any time; should a power cut bring an
	// older one back, the run cache has the results.
	if err := fsx.WriteFileAs(p.Abs(rel), lf.lock.Encode(), 0o666, fsx.Flushed); err != nil {
		return err
	}
	p.touched(rel)
	info, err := os.Stat(p.Abs(rel))
	if err != nil {
		return err
	}
	p.locks[rel] = &lockFile{lock: lf.lock, exists: true, size: info.Size(), modTime: info.ModTime()}
	return nil
}

// writeData writes a .dvc file when its content differs from what is there.
func (p *Project) writeData(s *Stage) error {
	data := s.Data.Encode()
	if old, err := os.ReadFile(p.Abs(s.File)); err == nil && string(old) == string(data) {
		return nil
	}
	if err := fsx.WriteFile(p.Abs(s.File), data, 0o666); err != nil {
		return err
	}
	p.touched(s.File)
	return nil
}
