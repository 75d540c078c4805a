package storage

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// Tree is the content of a file or folder: what a hashing found.
type Tree struct {
	Digest
	Meta
	Dir DirObject // nil for a file

	// seen tells of the members as they were hashed, in the order of Dir (one
	// for a file). nil where a Tree was not made by a Hasher.
	seen []seen
	// home is the folder of the cache that the members marked stored are in.
	home string
}

// seen is what is known of a file from when it was hashed.
type seen struct {
	print  fingerprint // lets Commit see a file that changed since
	own    bool        // a file by itself, no link
	stored bool        // the content is in the cache that the Tree names
}

// Matches tells whether the content is the one that was recorded.
func (t Tree) Matches(recorded Digest) bool { return t.Digest != "" && t.Digest == recorded }

// Hasher computes the digests of files and folders, several files at a time,
// reading each in pieces. It is safe for concurrent use.
type Hasher struct {
	state *State
	alg   Algorithm
	jobs  int
	sink  event.Sink
	pool  *sync.Pool // of *[]byte, hashBlock long
}

// hashBlock is the read size. MD5Dos2Unix looks at each MiB by itself, so it
// is part of that format.
const hashBlock = 1 << 20

// worthWaiting is the amount of just-written data from which on it pays to wait
// a clock tick before hashing, so that the result can be remembered.
const worthWaiting = 1 << 20

// NewHasher makes a Hasher. state may be nil. jobs is the number of files read
// at a time, 0 for the number of processors. sink may be nil.
func NewHasher(state *State, jobs int, sink event.Sink) *Hasher {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	return &Hasher{state: state, alg: MD5, jobs: jobs, sink: sink, pool: newBlockPool()}
}

func newBlockPool() *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, hashBlock); return &b }}
}

// WithAlgorithm is a Hasher that differs in its algorithm only.
func (h *Hasher) WithAlgorithm(a Algorithm) *Hasher {
	c := *h
	c.alg = a
	return &c
}

// Hash computes the Tree of a file or folder. The path may be a symbolic link.
// A path that is not there gives an error that wraps fs.ErrNotExist.
func (h *Hasher) Hash(ctx context.Context, path string, ignore Ignore) (Tree, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Tree{}, fmt.Errorf("hash %s: %w", path, err)
	}
	info, link, err := statFollow(abs)
	if err != nil {
		return Tree{}, err
	}
	if !info.IsDir() {
		return h.hashFile(ctx, abs, info, link)
	}
	return h.hashDir(ctx, abs, ignore)
}

func (h *Hasher) hashFile(ctx context.Context, abs string, info fs.FileInfo, link bool) (Tree, error) {
	if !info.Mode().IsRegular() {
		return Tree{}, notFile(abs, info.Mode().Type())
	}
	f := found{stamp: fsx.StampOf(info), link: link}
	// Nearly always the answer is known: no reader is started for that.
	print := printOf(f.stamp)
	if d, known := h.state.lookup(abs, h.alg, print); known {
		return fileTree(f, hashed{digest: d, print: print}), nil
	}
	out, err := h.files(ctx, abs, []found{f})
	if err != nil {
		return Tree{}, err
	}
	return fileTree(f, out[0]), nil
}

func (h *Hasher) hashDir(ctx context.Context, abs string, ignore Ignore) (Tree, error) {
	w := walker{root: abs, ignore: ignore}
	loaded := h.state.loading()
	err := w.walk(ctx)
	<-loaded
	if err != nil {
		return Tree{}, fmt.Errorf("hash %s: %w", abs, err)
	}
	out, err := h.files(ctx, abs, w.files)
	if err != nil {
		return Tree{}, err
	}
	return dirTree(w.files, out), nil
}

// fileTree is the Tree of a file.
func fileTree(f found, h hashed) Tree {
	return Tree{
		Digest: h.digest, Meta: Meta{Size: h.print.size, IsExec: f.stamp.Mode&0o111 != 0},
		seen: []seen{{print: h.print, own: f.own(), stored: h.stored}},
	}
}

// dirTree is the Tree of a folder with the given files.
func dirTree(files []found, out []hashed) Tree {
	t := Tree{Dir: make(DirObject, len(out)), seen: make([]seen, len(out))}
	for i, h := range out {
		t.Dir[i] = DirEntry{MD5: h.digest, RelPath: files[i].rel}
		t.seen[i] = seen{print: h.print, own: files[i].own(), stored: h.stored}
		t.Size += h.print.size
	}
	t.NFiles = len(out)
	t.Digest = t.Dir.Digest()
	return t
}

// Changed tells whether the content at path is another than the recorded one.
// A recorded size (negative: unknown) that differs saves the hashing of a file.
// A path that is not there gives an error that wraps fs.ErrNotExist.
func (h *Hasher) Changed(ctx context.Context, path string, recorded Digest, size int64, ignore Ignore) (bool, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false, fmt.Errorf("hash %s: %w", path, err)
	}
	info, link, err := statFollow(abs)
	if err != nil {
		return false, err
	}
	if info.IsDir() != recorded.IsDir() || !info.IsDir() && size >= 0 && info.Size() != size {
		return true, nil
	}
	var t Tree
	if info.IsDir() {
		t, err = h.hashDir(ctx, abs, ignore)
	} else {
		t, err = h.hashFile(ctx, abs, info, link)
	}
	return !t.Matches(recorded), err
}

// hashed is the result for one file.
type hashed struct {
	digest Digest
	print  fingerprint
	stored bool // its content is in the cache
}

// files hashes the files below root (or root itself, where rel is empty), and
// gives the results in the same order. Broken links get no digest.
func (h *Hasher) files(ctx context.Context, root string, files []found) ([]hashed, error) {
	return h.filesBy(ctx, root, files, h.file)
}

// filesBy is files with another way to get the digest of a file that is not
// known yet.
func (h *Hasher) filesBy(ctx context.Context, root string, files []found, by func(ctx context.Context, path string, f found, m *meter) (hashed, error)) ([]hashed, error) {
	out := make([]hashed, len(files))
	if err := h.known(ctx, root, files, out); err != nil {
		return nil, err
	}
	var todo, fresh []int
	var bytes, freshBytes int64
	now := time.Now()
	for i, f := range files {
		if f.broken || out[i].digest != "" {
			continue
		}
		bytes += f.stamp.Size
		if settled(time.Unix(0, f.stamp.MTime), now) {
			todo = append(todo, i)
		} else {
			fresh = append(fresh, i)
			freshBytes += f.stamp.Size
		}
	}
	m := newMeter(h.sink, "hash", "B", bytes)
	m.of = int64(len(todo) + len(fresh))
	defer m.finish()
	wait := freshBytes >= worthWaiting && h.state != nil
	settledFiles := len(todo)
	todo = append(todo, fresh...)
	return out, each(ctx, h.jobs, len(todo), func(ctx context.Context, n int) error {
		f := files[todo[n]]
		if wait && n >= settledFiles {
			if err := waitSettled(ctx, time.Unix(0, f.stamp.MTime)); err != nil {
				return err
			}
		}
		var err error
		out[todo[n]], err = by(ctx, join(root, f.rel), f, m)
		m.file()
		return err
	})
}

// known fills in the results of the files that were hashed before.
func (h *Hasher) known(ctx context.Context, root string, files []found, out []hashed) error {
	if h.state == nil {
		return nil
	}
	const chunk = 1024 // files for one goroutine: a look takes less than a microsecond
	return each(ctx, h.jobs, (len(files)+chunk-1)/chunk, func(_ context.Context, n int) error {
		h.state.rlock()
		defer h.state.mu.RUnlock()
		for i := n * chunk; i < min((n+1)*chunk, len(files)); i++ {
			if f := files[i]; !f.broken {
				p := printOf(f.stamp)
				if d, ok := h.state.find(join(root, f.rel), h.alg, p); ok {
					out[i] = hashed{digest: d, print: p}
				}
			}
		}
		return nil
	})
}

// each calls do for 0 to n-1, several at a time, until one call fails. Each
// goroutine does many: one for each call would grow its stack anew every time.
func each(ctx context.Context, jobs, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(jobs, n) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := do(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

func join(root, rel string) string {
	if rel == "" {
		return root
	}
	return root + string(filepath.Separator) + filepath.FromSlash(rel)
}

// waitSettled sleeps until the tick of the clock that set mtime has passed, if
// that is soon.
func waitSettled(ctx context.Context, mtime time.Time) error {
	left := tick(mtime) - time.Since(mtime)
	if left <= 0 || left > 100*time.Millisecond {
		return nil
	}
	t := time.NewTimer(left + time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// file reads one file, and remembers its digest if that is safe.
func (h *Hasher) file(ctx context.Context, path string, f found, m *meter) (hashed, error) {
	start := h.state.clock()
	if f.stamp.Size < hashBlock && h.alg == MD5 {
		block := h.pool.Get().(*[]byte)
		defer h.pool.Put(block)
		n, after, err := fsx.ReadInto(path, *block)
		if err != nil {
			return hashed{}, fmt.Errorf("hash: %w", err)
		}
		if n < hashBlock {
			m.add(int64(n))
			d := digestBytes((*block)[:n])
			return hashed{digest: d, print: h.remember(path, printOf(f.stamp), printOf(after), int64(n), start, d)}, nil
		}
	}
	r, err := os.Open(path)
	if err != nil {
		return hashed{}, fmt.Errorf("hash: %w", err)
	}
	defer r.Close()
	d, n, err := h.read(ctx, r, m)
	if err != nil {
		return hashed{}, fmt.Errorf("hash %s: %w", path, err)
	}
	after, err := r.Stat()
	if err != nil {
		return hashed{}, fmt.Errorf("hash: %w", err)
	}
	return hashed{digest: d, print: h.remember(path, printOf(f.stamp), fingerprintOf(after), n, start, d)}, nil
}

// remember records the digest of n bytes of a file whose reading began at start,
// if the file was the same before and after. It gives the fingerprint of what
// was read.
func (h *Hasher) remember(path string, before, after fingerprint, n int64, start time.Time, d Digest) fingerprint {
	if before == after && before.size == n && settled(time.Unix(0, before.mtime), start) {
		h.state.record(path, h.alg, before, d)
	}
	before.size = n
	return before
}

// read hashes a stream in pieces, and gives the number of bytes read.
func (h *Hasher) read(ctx context.Context, r io.Reader, m *meter) (Digest, int64, error) {
	block := h.pool.Get().(*[]byte)
	defer h.pool.Put(block)
	sum := md5.New()
	var total int64
	for {
		if ctx.Err() != nil {
			return "", total, context.Cause(ctx)
		}
		n, err := io.ReadFull(r, *block)
		data := (*block)[:n]
		if h.alg == MD5Dos2Unix {
			data = dos2unix(data)
		}
		sum.Write(data)
		total += int64(n)
		m.add(int64(n))
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Digest(hex.EncodeToString(sum.Sum(nil))), total, nil
		}
		if err != nil {
			return "", total, err
		}
	}
}

// dos2unix shortens line ends if the first 512 bytes look like text: no NUL,
// and at most 30 % other than printable ASCII and common white space
// (dvc-compat 4.2).
func dos2unix(data []byte) []byte {
	head := data[:min(len(data), 512)]
	odd := 0
	for _, c := range head {
		switch {
		case c == 0:
			return data
		case c >= 0x20 && c < 0x7f, c == '\n', c == '\r', c == '\t', c == '\f', c == '\b':
		default:
			odd++
		}
	}
	if odd*10 > len(head)*3 {
		return data
	}
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
}
