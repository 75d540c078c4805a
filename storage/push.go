package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"ctrx/internal/errs"
)

// Push uploads the objects that the remote does not have: files first, and a
// directory object only when all its members are there. Objects that neither
// side has are listed in the result; so are folders with such members, which
// are then not uploaded. Failures of single objects give a *TransferError after
// the rest was done.
func Push(ctx context.Context, o TransferOptions) (Transfer, error) {
	p := &push{TransferOptions: o.withDefaults(), tally: tally{present: map[Digest]bool{}, name: o.Name}}
	out, err := p.result(ctx, "upload", p.run(ctx))
	if err != nil {
		return out, fmt.Errorf("push: %w", err)
	}
	return out, nil
}

type push struct {
	TransferOptions
	tally
	trees map[Digest]DirObject // folders that may have to be uploaded
	rels  map[Digest]string    // of members, within their folder
	loose map[Digest]bool      // files that were asked for by themselves
}

func (p *push) run(ctx context.Context) error {
	files, dirs, err := p.plan(ctx)
	if err != nil {
		return err
	}
	local, err := p.Cache.hasAll(ctx, files)
	if err != nil {
		return err
	}
	remote, err := p.askFor(ctx, files)
	if err != nil {
		return err
	}
	var todo []Digest
	var total int64
	for _, d := range files {
		if remote[d] {
			p.present[d] = true
		} else if local[d] {
			todo = append(todo, d)
			total += p.size(d)
		} else {
			p.missing(MissingObject{Digest: d, RelPath: p.rels[d], Path: p.paths[d]})
		}
	}
	for _, d := range dirs {
		total += p.size(d)
	}
	m := newMeter(p.Sink, "push", "B", total)
	m.of, p.meter = int64(len(todo)+len(dirs)), m
	defer m.finish()
	if err := p.upload(ctx, todo, m); err != nil {
		return err
	}
	if err := flush(ctx, p.Remote); err != nil {
		return err
	}
	var whole []Digest
	for _, d := range dirs {
		complete := true
		for _, e := range p.trees[d] {
			complete = complete && p.present[e.MD5]
		}
		if complete {
			whole = append(whole, d)
		}
	}
	if err := p.upload(ctx, whole, m); err != nil {
		return err
	}
	if err := flush(ctx, p.Remote); err != nil {
		return err
	}
	p.remember()
	return nil
}

// askFor finds which of the files are on the remote. Members of folders that are
// known to be there need no question.
func (p *push) askFor(ctx context.Context, files []Digest) (map[Digest]bool, error) {
	var members []Digest
	for _, d := range files {
		if _, member := p.rels[d]; member && !p.loose[d] {
			members = append(members, d)
		}
	}
	there, err := p.knownMembers(ctx, members, p.Known.Clear)
	if err != nil {
		return nil, err
	}
	ask := slices.DeleteFunc(slices.Clone(files), func(d Digest) bool { return there[d] })
	sizes, _, err := p.sizes(ctx, ask, true)
	for d := range sizes {
		there[d] = true
	}
	return there, err
}

// remember enters the folders that are whole on the remote now. What cannot be
// written down costs later questions, and is no failure.
func (p *push) remember() {
	var whole []Digest
	for _, d := range unique(p.Objects) {
		if d.IsDir() && p.present[d] {
			whole = append(whole, d)
		}
	}
	p.Known.Add(whole)
}

// plan finds the files to look for and the directory objects that the remote
// lacks.
func (p *push) plan(ctx context.Context) (files, dirs []Digest, err error) {
	p.trees, p.paths, p.rels = map[Digest]DirObject{}, map[Digest]string{}, map[Digest]string{}
	p.loose = map[Digest]bool{}
	var all []Digest
	for _, d := range unique(p.Objects) {
		if !d.Valid() {
			return nil, nil, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
		}
		p.paths[d] = p.Paths[d]
		if d.IsDir() {
			all = append(all, d)
		} else {
			files = append(files, d)
			p.loose[d] = true
		}
	}
	there, _, err := p.sizes(ctx, all, true)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range all {
		_, remote := there[d]
		if remote {
			p.present[d] = true
		}
		if remote && !p.CheckMembers {
			continue
		}
		tree, err := p.Cache.ReadDir(ctx, d)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !remote:
			p.missing(MissingObject{Digest: d, Path: p.paths[d]})
			continue
		case errors.Is(err, fs.ErrNotExist):
			continue // only the remote has it: its own business
		case err != nil:
			return nil, nil, err
		}
		p.trees[d] = tree
		if !remote {
			dirs = append(dirs, d)
		}
		for _, e := range tree {
			files = append(files, e.MD5)
			if p.paths[e.MD5] == "" {
				p.paths[e.MD5] = p.pathOf(d, e.RelPath)
			}
			p.rels[e.MD5] = e.RelPath
		}
	}
	return unique(files), dirs, nil
}

// size of a local object in bytes; only for progress.
func (p *push) size(d Digest) int64 {
	dir, name, err := p.Cache.shelf(d, false)
	if err != nil {
		return 0
	}
	s, err := dir.Lstat(name)
	if err != nil {
		return 0
	}
	return s.Size
}

// upload puts the objects, several at a time.
func (p *push) upload(ctx context.Context, ds []Digest, m *meter) error {
	return each(ctx, p.Jobs, len(ds), func(ctx context.Context, i int) error {
		var size int64
		err := p.Retry.do(ctx, func() (err error) {
			size, err = p.put(ctx, ds[i], m)
			return err
		})
		if err != nil {
			return p.fail(ctx, ds[i], err)
		}
		p.done(ds[i], size)
		return nil
	})
}

func (p *push) put(ctx context.Context, d Digest, m *meter) (int64, error) {
	block := p.Cache.hasher.pool.Get().(*[]byte)
	defer p.Cache.hasher.pool.Put(block)
	if data, ok := p.Cache.read(d, *block); ok {
		n := int64(len(data))
		if err := p.Remote.Put(ctx, p.key(d), bytes.NewReader(data), n); err != nil {
			return 0, err
		}
		m.add(n)
		return n, nil
	}
	f, err := p.Cache.Open(d)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	r := &meteredReader{r: f, m: m, looks: fingerprintOf(info)}
	r.whole = p.Cache.knownWhole(d, r.looks)
	if err := p.Remote.Put(ctx, p.key(d), r, info.Size()); err != nil {
		m.add(-r.most)
		return 0, err
	}
	m.add(info.Size() - r.most)
	return info.Size(), nil
}

// meteredReader reports how far an object was read. Reading a part a second time,
// as for a signature, is not progress. It is a HashedSource.
type meteredReader struct {
	r     *os.File
	m     *meter
	at    int64
	most  int64
	looks fingerprint
	whole bool // what looks like this has been hashed
}

func (r *meteredReader) SourceFile() *os.File { return r.r }

func (r *meteredReader) Hashed() bool { return r.whole && unchangedSince(r.r, r.looks) }

func (r *meteredReader) CopyTo(dst *os.File, n int64) (int64, error) {
	n, err := io.CopyN(dst, r.r, n)
	r.moved(n)
	return n, err
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.moved(int64(n))
	return n, err
}

func (r *meteredReader) moved(n int64) {
	r.at += n
	if r.at > r.most {
		r.m.add(r.at - r.most)
		r.most = r.at
	}
}

func (r *meteredReader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.r.Seek(offset, whence)
	if err == nil {
		r.at = at
	}
	return at, err
}
