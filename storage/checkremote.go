package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
)

// emptyMD5 is the digest of no bytes.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"

// CheckRemote looks at every object of the remote. What its listing says is
// compared: the ETag where it is an MD5, else the size with that of the cache's
// object. What looks wrong is read and hashed; with deep everything is. Objects
// and Jobs of the options say nothing here but Jobs. It changes nothing.
func CheckRemote(ctx context.Context, o TransferOptions, deep bool) (Checked, error) {
	k := &remoteCheck{TransferOptions: o.withDefaults(), deep: deep, out: Checked{Good: map[Digest]bool{}}, trees: map[Digest]DirObject{}}
	err := k.run(ctx)
	if err != nil {
		err = fmt.Errorf("check the remote: %w", err)
	}
	sortFindings(k.out.Findings)
	return k.out, err
}

// remoteCheck is a CheckRemote at work.
type remoteCheck struct {
	TransferOptions
	deep bool

	mu    sync.Mutex
	out   Checked
	trees map[Digest]DirObject
	// Some stores have ETags of their own that look like MD5s.
	right, wrong int // suspicions by the ETag that turned out so
}

func (k *remoteCheck) run(ctx context.Context) error {
	objects, err := k.list(ctx)
	if err != nil {
		return err
	}
	var total int64
	for d, ob := range objects {
		if k.deep || d.IsDir() {
			total += ob.Size
		}
	}
	m := newMeter(k.Sink, "check remote", "B", total)
	m.of = int64(len(objects))
	defer m.finish()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(k.Jobs)
	for d, ob := range objects {
		g.Go(func() error { return k.object(gctx, d, ob, m) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	there := k.out.there()
	for d, tree := range k.trees {
		if f, ok := incomplete(d, tree, there); ok {
			f.Path = k.key(d)
			k.out.Findings = append(k.out.Findings, f)
		}
	}
	return nil
}

func (k *remoteCheck) list(ctx context.Context) (map[Digest]Object, error) {
	objects := map[Digest]Object{}
	m := newMeter(k.Sink, "list remote", "objects", 0)
	defer m.finish()
	prefix := k.prefix()
	err := k.Retry.do(ctx, func() error {
		clear(objects)
		for ob, err := range k.Remote.List(ctx, prefix) {
			if err != nil {
				return err
			}
			m.add(1)
			if d, ok := digestOfKey(ob.Key, prefix); ok {
				objects[d] = ob
			}
		}
		return nil
	})
	return objects, err
}

// digestOfKey reads a key of either layout.
func digestOfKey(key, prefix string) (Digest, bool) {
	rest := key[min(len(prefix), len(key)):]
	if len(rest) < 3 || rest[2] != '/' {
		return "", false
	}
	d := Digest(rest[:2] + rest[3:])
	return d, d.Valid()
}

// object looks at one.
func (k *remoteCheck) object(ctx context.Context, d Digest, ob Object, m *meter) error {
	defer m.file()
	found := Finding{Digest: d, Path: ob.Key, Size: ob.Size}
	read, sure, suspect := k.judge(d, ob)
	var tree DirObject
	if d.IsDir() && !k.deep {
		if t, err := k.Cache.ReadDir(ctx, d); err == nil && !suspect {
			tree, read = t, false
		}
	}
	bad := ""
	if read {
		var err error
		if bad, tree, err = k.read(ctx, d, m); errors.Is(err, fs.ErrNotExist) {
			return nil // removed since it was listed
		} else if err != nil {
			return err
		}
		sure = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out.Objects++
	if read {
		k.out.Bytes += ob.Size
	}
	if suspect && bad == "" {
		k.wrong++
	} else if suspect {
		k.right++
	}
	if !sure {
		k.out.Unchecked++
	}
	if bad != "" {
		found.What, found.Detail = Corrupt, bad
		k.out.Findings = append(k.out.Findings, found)
		return nil
	}
	k.out.Good[d] = true
	if tree != nil {
		k.trees[d] = tree
	}
	return nil
}

// judge goes by what the listing says: whether the object must be read, whether
// it is known to be good, and whether its ETag is what puts it in doubt.
func (k *remoteCheck) judge(d Digest, ob Object) (read, sure, suspect bool) {
	if k.deep {
		return true, false, false
	}
	if ob.Size == 0 && d.Hex() != emptyMD5 {
		return true, false, false
	}
	if k.Cache.alg == MD5 && len(ob.ETag) == len(d.Hex()) && Digest(ob.ETag).Valid() {
		if ob.ETag == d.Hex() {
			return d.IsDir(), true, false // its members are wanted
		}
		k.mu.Lock()
		tagsMean := k.wrong < 3 || k.right > 0
		k.mu.Unlock()
		if tagsMean {
			return true, false, true
		}
	}
	if d.IsDir() {
		return true, false, false
	}
	if name, err := k.Cache.name(d); err == nil {
		if r, err := k.Cache.open(false); err == nil {
			if info, err := r.Lstat(name); err == nil && info.Mode().Perm() == objectMode {
				return info.Size() != ob.Size, false, false
			}
		}
	}
	return false, false, false
}

// read gets an object and says what is wrong with it, "" if nothing is.
func (k *remoteCheck) read(ctx context.Context, d Digest, m *meter) (bad string, tree DirObject, err error) {
	if d.IsDir() {
		data, err := k.readDir(ctx, d)
		m.add(int64(len(data)))
		if errs.KindOf(err) == errs.DataCorrupt {
			return err.Error(), nil, nil
		}
		if err != nil {
			return "", nil, err
		}
		tree, err = ParseDirOf(data, d)
		return "", tree, err
	}
	var got Digest
	err = k.Retry.do(ctx, func() error {
		sum := k.Cache.newSum()
		if err := k.Remote.Get(ctx, k.key(d), io.MultiWriter(sum, m)); err != nil {
			return err
		}
		got = sum.digest()
		return nil
	})
	if err != nil || string(got) == d.Hex() {
		return "", nil, err
	}
	return "its content is that of " + string(got), nil, nil
}

// Replace sends good objects of the cache over what the remote has under their
// names. It gives those that were sent; one that the cache does not hold whole
// is passed over.
func Replace(ctx context.Context, o TransferOptions) ([]Digest, error) {
	o = o.withDefaults()
	var sent []Digest
	files, dirs := []Digest{}, []Digest{}
	for _, d := range unique(o.Objects) {
		if d.IsDir() {
			dirs = append(dirs, d)
		} else {
			files = append(files, d)
		}
	}
	var mu sync.Mutex
	for _, part := range [][]Digest{files, dirs} {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(o.Jobs)
		for _, d := range part {
			g.Go(func() error {
				if ok, err := o.Cache.Has(gctx, d); !ok || err != nil {
					return err
				}
				p := &push{TransferOptions: o}
				m := newMeter(o.Sink, "push", "B", 0)
				defer m.finish()
				err := o.Retry.do(gctx, func() error {
					_, err := p.put(gctx, d, m)
					return err
				})
				if errs.KindOf(err) == errs.DataCorrupt {
					return nil // the cache's is no better
				}
				if err == nil {
					mu.Lock()
					sent = append(sent, d)
					mu.Unlock()
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return sent, fmt.Errorf("replace: %w", err)
		}
		if err := flush(ctx, o.Remote); err != nil {
			return sent, fmt.Errorf("replace: %w", err)
		}
	}
	return sent, nil
}
