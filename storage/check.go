package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/event"
)

// Trouble is a kind of thing that is wrong with stored data.
type Trouble string

// The kinds. Wrong modes and leftovers endanger nothing.
const (
	Corrupt    Trouble = "corrupt"    // content that is not what its name says
	Missing    Trouble = "missing"    // recorded, and not there
	Incomplete Trouble = "incomplete" // a directory object without all of its members
	WrongMode  Trouble = "mode"       // whole, but not marked as such
	Leftover   Trouble = "leftover"   // of a process that died
)

// Finding is something that is wrong.
type Finding struct {
	What   Trouble
	Digest Digest // "" for a leftover
	Path   string // of the file, or the key on a remote
	Size   int64  // bytes
	Detail string
	// Members are those that an incomplete directory object lacks.
	Members []MissingObject
}

// Checked is what a check has seen.
type Checked struct {
	Objects   int
	Bytes     int64 // that were read
	Unchecked int   // objects of which only the size is known
	Findings  []Finding
	Good      map[Digest]bool // objects that are there, and not known to be bad
}

// CheckOptions say how a cache is looked at.
type CheckOptions struct {
	// Before is how old a temporary file must be to count as a leftover: a
	// younger one may belong to a process at work.
	Before time.Time
	Sink   event.Sink
}

// partialsKept is how much longer than other temporary files a download that
// can be gone on with is kept.
const partialsKept = 24 * time.Hour

// Check hashes every object of the cache, whatever its mode says. It changes
// nothing. The findings are sorted by path.
func (c *Cache) Check(ctx context.Context, o CheckOptions) (Checked, error) {
	k := &cacheCheck{cache: c, out: Checked{Good: map[Digest]bool{}}}
	if err := k.list(ctx, o.Before); err != nil {
		return k.out, fmt.Errorf("check the cache: %w", err)
	}
	var total int64
	for _, s := range k.objects {
		total += s.Size
	}
	m := newMeter(o.Sink, "check cache", "B", total)
	m.of = int64(len(k.objects))
	defer m.finish()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	for _, s := range k.objects {
		g.Go(func() error { return k.object(gctx, s, m) })
	}
	if err := g.Wait(); err != nil {
		return k.out, fmt.Errorf("check the cache: %w", err)
	}
	there := k.out.there()
	for d, tree := range k.trees {
		if f, ok := incomplete(d, tree, there); ok {
			f.Path = c.Path(d)
			k.out.Findings = append(k.out.Findings, f)
		}
	}
	sortFindings(k.out.Findings)
	return k.out, nil
}

func sortFindings(all []Finding) {
	slices.SortFunc(all, func(a, b Finding) int {
		return strings.Compare(a.Path+"\x00"+string(a.What), b.Path+"\x00"+string(b.What))
	})
}

// there are the objects that exist, good or bad: a damaged member is found as
// such, and its folder is not found wanting as well.
func (c Checked) there() map[Digest]bool {
	there := maps.Clone(c.Good)
	for _, f := range c.Findings {
		if f.What == Corrupt {
			there[f.Digest] = true
		}
	}
	return there
}

// incomplete looks for the members of a directory object.
func incomplete(d Digest, tree DirObject, there map[Digest]bool) (Finding, bool) {
	f := Finding{What: Incomplete, Digest: d}
	for _, e := range tree {
		if !there[e.MD5] {
			f.Members = append(f.Members, MissingObject{Digest: e.MD5, RelPath: e.RelPath})
		}
	}
	f.Detail = fmt.Sprintf("%d of %d files are not there", len(f.Members), len(tree))
	return f, len(f.Members) > 0
}

// cacheCheck is a Check at work.
type cacheCheck struct {
	cache   *Cache
	objects []StoredObject

	mu    sync.Mutex
	out   Checked
	trees map[Digest]DirObject
}

func (k *cacheCheck) list(ctx context.Context, before time.Time) error {
	dir := k.cache.objectsDir()
	tops, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	k.trees = map[Digest]DirObject{}
	for _, top := range tops {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		limit := before
		switch {
		case top.IsDir() && top.Name() == PartialDir:
			limit = before.Add(-partialsKept)
		case !top.IsDir() || len(top.Name()) != 2:
			continue
		}
		entries, err := os.ReadDir(filepath.Join(dir, top.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue // removed meanwhile
			}
			path := filepath.Join(dir, top.Name(), e.Name())
			d := Digest(top.Name() + e.Name())
			switch {
			case d.Valid() && info.Mode().IsRegular():
				k.objects = append(k.objects, StoredObject{Digest: d, Path: path, Size: info.Size()})
			case d.Valid():
				k.out.Findings = append(k.out.Findings, Finding{What: Corrupt, Digest: d, Path: path, Detail: "it is not a file"})
			case (IsLeftover(e.Name()) || top.Name() == PartialDir) && info.ModTime().Before(limit):
				k.out.Findings = append(k.out.Findings, Finding{What: Leftover, Path: path, Size: info.Size(), Detail: "an unfinished file"})
			}
		}
	}
	return nil
}

// IsLeftover tells the names of temporary files: ctrx's (.ctrx-….tmp) and DVC's
// (.….tmp).
func IsLeftover(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp")
}

// object hashes one.
func (k *cacheCheck) object(ctx context.Context, s StoredObject, m *meter) error {
	f, err := os.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	found := Finding{Digest: s.Digest, Path: s.Path, Size: s.Size}
	var got Digest
	var tree DirObject
	if err == nil {
		got, tree, err = k.read(ctx, f, s, m)
		f.Close()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.file()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out.Objects++
	k.out.Bytes += s.Size
	switch {
	case err != nil:
		found.What, found.Detail = Corrupt, "it cannot be read: "+err.Error()
	case string(got) != s.Digest.Hex():
		found.What, found.Detail = Corrupt, "its content is that of "+string(got)
	default:
		k.out.Good[s.Digest] = true
		if s.Digest.IsDir() {
			k.trees[s.Digest] = tree
		}
		info, err := os.Lstat(s.Path)
		if err != nil || info.Mode().Perm() == objectMode {
			return nil
		}
		found.What, found.Detail = WrongMode, fmt.Sprintf("its mode is %04o", info.Mode().Perm())
	}
	k.out.Findings = append(k.out.Findings, found)
	return nil
}

func (k *cacheCheck) read(ctx context.Context, f *os.File, s StoredObject, m *meter) (Digest, DirObject, error) {
	if !s.Digest.IsDir() {
		d, _, err := k.cache.hasher.read(ctx, f, m)
		return d, nil, err
	}
	data, err := io.ReadAll(f)
	m.add(int64(len(data)))
	if err != nil {
		return "", nil, err
	}
	got := digestBytes(data)
	if string(got) != s.Digest.Hex() {
		return got, nil, nil
	}
	tree, err := ParseDir(data)
	return got, tree, err
}

// MarkWhole gives objects that were checked the mode that says so.
func (c *Cache) MarkWhole(ds []Digest) error {
	r, err := c.open(false)
	if err != nil {
		return err
	}
	for _, d := range ds {
		name, err := c.name(d)
		if err == nil {
			err = r.Chmod(name, objectMode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
