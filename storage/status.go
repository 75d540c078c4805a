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
	c := comparison{loose: map[Digest]bool{}, members: map[Digest]bool{}, vouched: map[Digest]bool{}, trees: map[Digest]DirObject{}}
	var dirs []Digest
	for _, d := range roots {
		switch {
		case !d.Valid():
			return nil, errs.New(errs.ProjectFile, "%q is not a hash", string(d))
		case d.IsDir():
			dirs = append(dirs, d)
		default:
			c.ask = append(c.ask, d)
			c.loose[d] = true
		}
	}
	if err := o.openDirs(ctx, dirs, &c); err != nil {
		return nil, err
	}
	onRemote, err := o.askRemote(ctx, &c)
	if err != nil {
		return nil, err
	}
	all := append([]Digest(nil), roots...)
	for _, tree := range c.trees {
		all = append(all, memberDigests(tree)...)
	}
	local, err := o.Cache.hasAll(ctx, unique(all))
	if err != nil {
		return nil, err
	}
	var out []ObjectStatus
	for _, d := range roots {
		out = append(out, ObjectStatus{Root: d, Digest: d, Local: local[d], Remote: onRemote(d)})
		for _, e := range c.trees[d] {
			out = append(out, ObjectStatus{Root: d, Digest: e.MD5, RelPath: e.RelPath, Local: local[e.MD5], Remote: onRemote(e.MD5)})
		}
	}
	return out, nil
}

// comparison is what a question about a remote needs to know of it.
type comparison struct {
	dirs    map[Digest]int64     // the folders that are on the remote
	trees   map[Digest]DirObject // of all folders
	ask     []Digest             // files to ask about; one may be there twice
	loose   map[Digest]bool      // those that were asked for by themselves
	members map[Digest]bool      // those that only folders want
	vouched map[Digest]bool      // members of folders on the remote
}

// openDirs reads the folders, and adds their members to what is asked about or
// vouched for.
func (o TransferOptions) openDirs(ctx context.Context, dirs []Digest, c *comparison) (err error) {
	if c.dirs, _, err = o.sizes(ctx, dirs, true); err != nil {
		return err
	}
	for _, d := range dirs {
		_, there := c.dirs[d]
		tree, err := o.findDir(ctx, d, there)
		if err != nil {
			return err
		}
		c.trees[d] = tree
		for _, e := range tree {
			if there && !o.CheckMembers {
				c.vouched[e.MD5] = true
				continue
			}
			c.ask = append(c.ask, e.MD5)
			if !c.loose[e.MD5] {
				c.members[e.MD5] = true
			}
		}
	}
	for d := range c.vouched { // a folder on the remote vouches for other folders' members too
		delete(c.members, d)
	}
	return nil
}

// askRemote asks for the files that nothing is known of, and gives what tells
// whether the remote has an object.
func (o TransferOptions) askRemote(ctx context.Context, c *comparison) (func(Digest) bool, error) {
	known, err := o.knownMembers(ctx, slices.Collect(maps.Keys(c.members)), func() {})
	if err != nil {
		return nil, err
	}
	ask := slices.DeleteFunc(unique(c.ask), func(d Digest) bool { return known[d] || c.vouched[d] && !c.loose[d] })
	sizes, _, err := o.sizes(ctx, ask, true)
	if err != nil {
		return nil, err
	}
	return func(d Digest) bool {
		_, dir := c.dirs[d]
		_, file := sizes[d]
		return dir || file || c.vouched[d] || known[d]
	}, nil
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
