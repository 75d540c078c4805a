package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"ctrx/internal/errs"
)

// ObjectStatus tells where an object is.
type ObjectStatus struct {
	Root    Digest // the object that was asked for
	Digest  Digest // this object: Root, or a member of it
	RelPath string // of the member; empty for Root itself
	Local   bool   // in the cache
	Remote  bool   // on the remote
}

// Word is DVC's word for it: "new" (local only), "deleted" (remote only),
// "missing" (neither), or "" for in sync.
func (s ObjectStatus) Word() string {
	switch {
	case s.Local && s.Remote:
		return ""
	case s.Local:
		return "new"
	case s.Remote:
		return "deleted"
	}
	return "missing"
}

// Status compares cache and remote: for each object that was asked for a line
// for itself, then one for each member of a folder, in the order of the
// request. It changes nothing.
func Status(ctx context.Context, o TransferOptions) ([]ObjectStatus, error) {
	o = o.withDefaults()
	out, err := o.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare cache and remote: %w", err)
	}
	return out, nil
}

func (o TransferOptions) status(ctx context.Context) ([]ObjectStatus, error) {
	roots := unique(o.Objects)
	var dirs, ask []Digest
	loose, members := map[Digest]bool{}, map[Digest]bool{}
	for _, d := range roots {
		if !d.Valid() {
			return nil, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
		}
		if d.IsDir() {
			dirs = append(dirs, d)
		} else {
			ask = append(ask, d)
			loose[d] = true
		}
	}
	remote, _, err := o.sizes(ctx, dirs, true)
	if err != nil {
		return nil, err
	}
	vouched := map[Digest]bool{} // members of folders on the remote
	trees := map[Digest]DirObject{}
	for _, d := range dirs {
		_, there := remote[d]
		tree, err := o.findDir(ctx, d, there)
		if err != nil {
			return nil, err
		}
		trees[d] = tree
		for _, e := range tree {
			if there && !o.CheckMembers {
				vouched[e.MD5] = true
			} else {
				ask = append(ask, e.MD5)
				if !loose[e.MD5] {
					members[e.MD5] = true
				}
			}
		}
	}
	for d := range vouched { // a folder on the remote vouches for other folders' members too
		delete(members, d)
	}
	known, err := o.knownMembers(ctx, slices.Collect(maps.Keys(members)), func() {})
	if err != nil {
		return nil, err
	}
	ask = slices.DeleteFunc(unique(ask), func(d Digest) bool { return known[d] || vouched[d] && !loose[d] })
	sizes, _, err := o.sizes(ctx, ask, true)
	if err != nil {
		return nil, err
	}
	all := append([]Digest(nil), roots...)
	for _, tree := range trees {
		all = append(all, memberDigests(tree)...)
	}
	local, err := o.Cache.hasAll(ctx, unique(all))
	if err != nil {
		return nil, err
	}
	onRemote := func(d Digest) bool {
		_, a := remote[d]
		_, b := sizes[d]
		return a || b || vouched[d] || known[d]
	}
	var out []ObjectStatus
	for _, d := range roots {
		out = append(out, ObjectStatus{Root: d, Digest: d, Local: local[d], Remote: onRemote(d)})
		for _, e := range trees[d] {
			out = append(out, ObjectStatus{Root: d, Digest: e.MD5, RelPath: e.RelPath, Local: local[e.MD5], Remote: onRemote(e.MD5)})
		}
	}
	return out, nil
}

// findDir reads a directory object from the cache or else the remote; nil if
// neither has a good one.
func (o TransferOptions) findDir(ctx context.Context, d Digest, onRemote bool) (DirObject, error) {
	tree, err := o.Cache.ReadDir(ctx, d)
	if err == nil || !errors.Is(err, fs.ErrNotExist) && errs.KindOf(err) != errs.DataCorrupt {
		return tree, err
	}
	if !onRemote {
		return nil, nil
	}
	data, err := o.readDir(ctx, d)
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.DataCorrupt {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseDirOf(data, d)
}
