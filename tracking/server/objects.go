package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

// ObjectStore is what the server needs of a bucket to keep artifacts in it.
// Keys are slash separated. Stat and Get of a missing key give an error that
// wraps fs.ErrNotExist, Delete of one is no error, and a Put is seen whole or
// not at all.
type ObjectStore interface {
	Stat(ctx context.Context, key string) (size int64, err error)
	Get(ctx context.Context, key string, w io.Writer) error
	Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error
	List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error]
	Delete(ctx context.Context, key string) error
}

// ObjectInfo is an object in a listing; Size is in bytes.
type ObjectInfo struct {
	Key  string
	Size int64
}

// artifactStore is where the artifacts of all runs lie. Names have passed
// safePath.
type artifactStore interface {
	// put receives a file; a reader sees all of it or nothing.
	put(ctx context.Context, name string, r io.Reader) error
	// list reads one folder: names relative to it, sorted. A folder that is
	// not there is empty; a file lists nothing.
	list(ctx context.Context, dir string) ([]wire.FileInfo, error)
	// send answers a GET with the content of a file.
	send(w http.ResponseWriter, r *http.Request, name string) error
	// read gives the content of a file; one that is not there is
	// fs.ErrNotExist.
	read(ctx context.Context, name string) ([]byte, error)
	// remove deletes a file or a folder with all in it; none is no error.
	remove(ctx context.Context, name string) error
	close() error
}

// objectArtifacts keeps artifacts in a bucket. Folders are prefixes.
type objectArtifacts struct{ store ObjectStore }

func (o objectArtifacts) close() error { return nil }

func (o objectArtifacts) read(ctx context.Context, name string) ([]byte, error) {
	var b bytes.Buffer
	err := o.store.Get(ctx, name, &b)
	return b.Bytes(), err
}

func (a *artifactDir) read(_ context.Context, name string) ([]byte, error) {
	root, err := a.open(false)
	if err != nil {
		return nil, err
	}
	return root.ReadFile(name)
}

// put goes through a file on this machine: a bucket wants to know the size and
// may have to be sent the content twice.
func (o objectArtifacts) put(ctx context.Context, name string, r io.Reader) (err error) {
	f, err := os.CreateTemp("", "ctrx-artifact-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	size, err := io.Copy(f, r)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return o.store.Put(ctx, name, f, size)
}

func (o objectArtifacts) list(ctx context.Context, dir string) ([]wire.FileInfo, error) {
	prefix := dir
	if prefix != "" {
		prefix += "/"
	}
	var out []wire.FileInfo
	folders := map[string]bool{}
	for object, err := range o.store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name, below, nested := strings.Cut(strings.TrimPrefix(object.Key, prefix), "/")
		switch {
		case nested && below != "" && !folders[name]:
			folders[name] = true
			out = append(out, wire.FileInfo{Path: name, IsDir: true})
		case !nested && name != "":
			size := wire.Int(object.Size)
			out = append(out, wire.FileInfo{Path: name, Size: &size})
		}
	}
	slices.SortFunc(out, func(x, y wire.FileInfo) int { return strings.Compare(x.Path, y.Path) })
	return out, nil
}

func (o objectArtifacts) send(w http.ResponseWriter, r *http.Request, name string) error {
	noSuch := refuse(wire.ResourceDoesNotExist, "No such artifact: '%s'", name)
	if name == "" {
		return noSuch
	}
	size, err := o.store.Stat(r.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuch
	}
	if err != nil {
		return err
	}
	attachment(w, name)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return nil
	}
	if err := o.store.Get(r.Context(), name, w); err != nil {
		// The header is out: only breaking the connection tells the client.
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (o objectArtifacts) remove(ctx context.Context, name string) error {
	if name != "" {
		if err := o.store.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete artifact %s: %w", name, err)
		}
		name += "/"
	}
	var keys []string
	for object, err := range o.store.List(ctx, name) {
		if err != nil {
			return err
		}
		keys = append(keys, object.Key)
	}
	for _, key := range keys {
		if err := o.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete artifact %s: %w", path.Base(key), err)
		}
	}
	return nil
}
