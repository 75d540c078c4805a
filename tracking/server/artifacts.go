package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// artifactDir is the folder behind mlflow-artifacts:. Every access goes
// through an os.Root, so neither ".." nor a symlink leads out of it.
type artifactDir struct {
	dir    string
	random io.Reader

	blocks sync.Pool // of *[]byte, uploadBlock long

	reclaims sync.WaitGroup // of files that were replaced

	mu   sync.Mutex
	root *os.Root
}

// uploadBlock is how much of an upload is read and written at a time, in bytes.
// With 1 MiB an upload takes half of the time that it takes with 32 KiB.
const uploadBlock = 1 << 20

func newArtifactDir(dir string, random io.Reader) *artifactDir {
	return &artifactDir{dir: dir, random: random, blocks: sync.Pool{New: func() any { b := make([]byte, uploadBlock); return &b }}}
}

// uploads holds files that are still being received. It is inside the root, so
// the final rename stays on one file system, and no listing of a run sees it.
const uploads = ".ctrx-uploads"

// open gives the root; with create it makes the folder.
func (a *artifactDir) open(create bool) (*os.Root, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.root != nil {
		return a.root, nil
	}
	if create {
		if err := os.MkdirAll(a.dir, 0o777); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return nil, err
	}
	a.root = root
	return root, nil
}

func (a *artifactDir) close() error {
	a.reclaims.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.root == nil {
		return nil
	}
	err := a.root.Close()
	a.root = nil
	return err
}

// put receives a file and publishes it with one rename, so a reader never sees
// a part of it.
func (a *artifactDir) put(_ context.Context, name string, r io.Reader) error {
	root, err := a.open(true)
	if err != nil {
		return err
	}
	var id [12]byte
	if _, err := io.ReadFull(a.random, id[:]); err != nil {
		return err
	}
	if err := root.MkdirAll(uploads, 0o777); err != nil {
		return err
	}
	temp := uploads + "/" + hex.EncodeToString(id[:])
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err = a.copy(fsx.NewFlushing(f), r); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		if dir := path.Dir(name); dir != "." {
			err = root.MkdirAll(dir, 0o777)
		}
		if err == nil {
			err = a.replace(root, temp, name)
		}
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}

// replace publishes temp as name. Who sent it need not wait until the disk has
// taken back what was there, which for 200 MB takes a fifth of the whole upload:
// open, the old file outlives the rename, and is closed on the side. Windows does
// not replace open files.
func (a *artifactDir) replace(root *os.Root, temp, name string) error {
	var old *os.File
	if runtime.GOOS != "windows" {
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && info.Size() > uploadBlock {
			old, _ = root.Open(name) // without it, it only takes longer
		}
	}
	err := root.Rename(temp, name)
	if old != nil {
		a.reclaims.Go(func() { _ = old.Close() }) // it was only read
	}
	return err
}

// copy writes one block while the next one arrives.
func (a *artifactDir) copy(w io.Writer, r io.Reader) error {
	type filled struct {
		block *[]byte
		n     int
	}
	ready := make(chan filled, 1)
	var reading errgroup.Group
	stop := make(chan struct{})
	reading.Go(func() error {
		defer close(ready)
		for {
			block := a.blocks.Get().(*[]byte)
			n, err := fillBlock(r, *block)
			if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader has it: anything else is no end
				return err
			}
			select {
			case ready <- filled{block, n}:
			case <-stop:
				return nil
			}
			if err != nil {
				return nil
			}
		}
	})
	var failed error
	for b := range ready {
		if _, failed = w.Write((*b.block)[:b.n]); failed != nil {
			close(stop)
			break
		}
		a.blocks.Put(b.block)
	}
	return errors.Join(failed, reading.Wait())
}

// fillBlock reads until the block is full or r ends, which gives io.EOF. It is
// io.ReadFull, but for content that ends early: that stays the error of r.
func fillBlock(r io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil {
		var m int
		m, err = r.Read(block[n:])
		n += m
	}
	return n, err
}

// list reads one folder: names relative to it, sorted. A folder that is not
// there is empty; a file lists nothing.
func (a *artifactDir) list(_ context.Context, dir string) ([]wire.FileInfo, error) {
	root, err := a.open(false)
	if err == nil {
		if dir == "" {
			dir = "."
		}
		var d *os.File
		if d, err = root.Open(dir); err == nil {
			defer d.Close()
			var info fs.FileInfo
			if info, err = d.Stat(); err == nil && info.IsDir() {
				return fileInfos(d)
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

// send streams a file.
func (a *artifactDir) send(w http.ResponseWriter, r *http.Request, name string) error {
	noSuch := refuse(wire.ResourceDoesNotExist, "No such artifact: '%s'", name)
	root, err := a.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuch
	}
	if err != nil {
		return err
	}
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) || name == "" {
		return noSuch
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return invalid("Artifact path refers to a directory, not a file: '%s'", name)
	}
	attachment(w, name)
	http.ServeContent(w, r, path.Base(name), info.ModTime(), f)
	return nil
}

func (a *artifactDir) remove(_ context.Context, name string) error {
	root, err := a.open(false)
	if err == nil && name != "" {
		err = root.RemoveAll(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete artifact %s: %w", name, err)
	}
	return nil
}

// attachment makes a browser save an answer: it must not run an uploaded HTML
// page with the rights of this server.
func attachment(w http.ResponseWriter, name string) {
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(name)}))
}

func fileInfos(d *os.File) ([]wire.FileInfo, error) {
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var out []wire.FileInfo
	for _, e := range entries {
		if e.Name() == uploads {
			continue
		}
		f := wire.FileInfo{Path: e.Name(), IsDir: e.IsDir()}
		if !f.IsDir {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				return nil, err
			}
			size := wire.Int(info.Size())
			f.Size = &size
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(x, y wire.FileInfo) int { return strings.Compare(x.Path, y.Path) })
	return out, nil
}

// safePath checks a path that a client gave, once more decoded as often as
// encodings were stacked, and returns it clean. "" is the root itself.
func safePath(p string) (string, error) {
	for range 10 {
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			break
		}
		p = next
	}
	bad := invalid("Invalid path")
	if strings.ContainsAny(p, "#\\\x00") || strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") {
		return "", bad
	}
	if u, err := url.Parse(p); err == nil && u.Scheme == "file" || len(p) >= 2 && p[1] == ':' && isLetter(p[0]) {
		return "", bad // a file URI or a Windows drive
	}
	p = path.Clean(p)
	if p == "." {
		return "", nil
	}
	if !filepath.IsLocal(filepath.FromSlash(p)) || p == uploads || strings.HasPrefix(p, uploads+"/") {
		return "", bad
	}
	return p, nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
