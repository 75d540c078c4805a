package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// folderLists reads the lists of files of recorded folders for a question: from
// the cache, else from the remote of the folder, as DVC does. The cache stays as
// it is: what came from a remote is kept below .dvc/tmp/ctrx/lists, so that the
// next question need not ask again. A remote that cannot be asked is told of once,
// and what it would have said is unknown.
type folderLists struct {
	p      *Project
	remote string // to ask; "" means a folder's own one or the default one
	kept   *storage.Cache
	asked  map[string]storage.Backend // by name; nil: cannot be asked
}

func (p *Project) folderLists(remote string) *folderLists {
	return &folderLists{
		p: p, remote: remote, asked: map[string]storage.Backend{},
		kept: storage.OpenCache(p.folderListsDir(), storage.CacheOptions{Sink: p.sink}),
	}
}

func (p *Project) folderListsDir() string { return filepath.Join(p.TmpDir(), "ctrx", "lists") }

// forgetFolderLists drops what is kept of folders: gc does, so that it does not
// grow for ever.
func (p *Project) forgetFolderLists() error { return os.RemoveAll(p.folderListsDir()) }

func (l *folderLists) Close() error { return l.kept.Close() }

// read gives an error that wraps fs.ErrNotExist where the list is nowhere to be
// had.
func (l *folderLists) read(ctx context.Context, so selectedOutput) (storage.DirObject, error) {
	e := so.Output.Recorded
	dir, err := l.p.cacheOf(e).ReadDir(ctx, e.Digest)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if kept, keptErr := l.keptAs(e).ReadDir(ctx, e.Digest); keptErr == nil {
		return kept, nil
	}
	asked := l.remote
	if asked == "" {
		asked = so.Output.Remote
	}
	name, noRemote := l.p.remoteName(asked, "")
	if noRemote != nil || so.comesFromSource() {
		return nil, err
	}
	b := l.open(ctx, name)
	if b == nil {
		return nil, err
	}
	var text bytes.Buffer
	switch getErr := b.Get(ctx, l.p.cacheOf(e).Algorithm().Key(e.Digest), &text); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(getErr, fs.ErrNotExist):
		return nil, err
	case getErr != nil:
		l.silent(name, getErr)
		return nil, err
	}
	dir, badErr := storage.ParseDirOf(text.Bytes(), e.Digest)
	if badErr != nil {
		l.p.Warn("remote '%s': %v", name, badErr)
		return nil, err
	}
	_ = l.keptAs(e).Put(ctx, e.Digest, &text) // where nothing can be written, the next question asks again
	return dir, nil
}

func (l *folderLists) keptAs(e *dvcfile.Entry) *storage.Cache {
	if e.Hash == "" {
		return l.kept.Legacy()
	}
	return l.kept
}

// open gives a remote, or nil for one that cannot be asked.
func (l *folderLists) open(ctx context.Context, name string) storage.Backend {
	if b, known := l.asked[name]; known {
		return b
	}
	b, _, err := l.p.openRemote(ctx, name)
	if err != nil {
		l.silent(name, err)
		return nil
	}
	l.asked[name] = b
	return b
}

// silent takes note of a remote that cannot be asked.
func (l *folderLists) silent(name string, err error) {
	l.asked[name] = nil
	l.p.Warn("%v", fmt.Errorf("what is in some folders is not known, as their lists of files are not in the cache: remote '%s': %w", name, err))
}
