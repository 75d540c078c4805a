package ctr

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Outputs writes the files of one stage so that they appear complete, or not at
// all: each grows under a temporary name in its own folder, and Publish renames
// them when everything has been written. The zero value is ready for use.
type Outputs struct{ pending []*pendingFile }

type pendingFile struct {
	path string
	file *os.File
	buf  *bufio.Writer
}

// Create begins a file. Missing folders are made.
func (o *Outputs) Create(path string) (io.Writer, error) {
	dir, base := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o777); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	// Not os.CreateTemp: its files stay closed to the group for good.
	temp := filepath.Join(dir, "."+base+"."+rand.Text()[:10]+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	p := &pendingFile{path: path, file: f, buf: bufio.NewWriterSize(f, 1<<16)}
	o.pending = append(o.pending, p)
	return p.buf, nil
}

// Publish puts every file in its place. On an error the files that have not
// been renamed are removed.
func (o *Outputs) Publish() error {
	defer o.Discard()
	for _, p := range o.pending {
		if err := p.finish(); err != nil {
			return fmt.Errorf("write %s: %w", p.path, err)
		}
	}
	for len(o.pending) > 0 {
		p := o.pending[0]
		if err := os.Rename(p.file.Name(), p.path); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		o.pending = o.pending[1:]
	}
	return nil
}

func (p *pendingFile) finish() error {
	if err := p.buf.Flush(); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	return p.file.Close()
}

// Discard removes what has not been published; after Publish it does nothing.
func (o *Outputs) Discard() {
	for _, p := range o.pending {
		p.file.Close() // may be closed already, and the file goes anyway
		os.Remove(p.file.Name())
	}
	o.pending = nil
}
