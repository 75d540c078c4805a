package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// dataNode is one path of a dataTree.
type dataNode struct {
	digest storage.Digest // "" for a folder inside a folder output, and for an output that was never recorded
	legacy bool           // the digest is one of DVC 2
	isDir  bool
}

// same tells whether two nodes have the same recorded content.
func (n dataNode) same(o dataNode) bool { return n.digest == o.digest && n.legacy == o.legacy }

// dataTree is tracked data by rel path: the cached outputs inside the project,
// what lies in those that are folders, and the folders on the way.
type dataTree struct {
	nodes map[string]dataNode
	// unread are the outputs whose list of files is nowhere to be had.
	unread map[string]bool
}

func newDataTree() *dataTree {
	return &dataTree{nodes: map[string]dataNode{}, unread: map[string]bool{}}
}

// addDir enters the files of a folder output, and the folders between.
func (t *dataTree) addDir(rel string, dir storage.DirObject, legacy bool) {
	for _, e := range dir {
		t.nodes[rel+"/"+e.RelPath] = dataNode{digest: e.MD5, legacy: legacy}
		for at := path.Dir(e.RelPath); at != "."; at = path.Dir(at) {
			if _, known := t.nodes[rel+"/"+at]; known {
				break
			}
			t.nodes[rel+"/"+at] = dataNode{isDir: true}
		}
	}
}

// below tells whether rel lies in an output whose files are not known.
func (t *dataTree) below(rel string) bool {
	for at := path.Dir(rel); at != "."; at = path.Dir(at) {
		if t.unread[at] {
			return true
		}
	}
	return false
}

// keep leaves out what is none of the paths and lies in none of them.
func (t *dataTree) keep(only []string) {
	maps.DeleteFunc(t.nodes, func(rel string, _ dataNode) bool { return !insideAny(rel, only) })
}

// trackedOutputs are the outputs that data status and diff look at: cached and
// inside the project.
func (ix *Index) trackedOutputs() []selectedOutput {
	var outs []selectedOutput
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Cache && insideProject(o.Rel) && o.Rel != "." {
				outs = append(outs, selectedOutput{Stage: s, Output: o})
			}
		}
	}
	return outs
}

// recordedTree is the data that stage files record. Without lists, folders are
// not looked into.
func (p *Project) recordedTree(ctx context.Context, ix *Index, lists *folderLists) (*dataTree, error) {
	t := newDataTree()
	for _, so := range ix.trackedOutputs() {
		out := so.Output
		e := out.Recorded
		if e == nil {
			t.nodes[out.Rel] = dataNode{}
			continue
		}
		t.nodes[out.Rel] = dataNode{digest: e.Digest, legacy: e.Hash == "", isDir: e.Digest.IsDir()}
		if !e.Digest.IsDir() || lists == nil {
			continue
		}
		dir, err := lists.read(ctx, so)
		if errors.Is(err, fs.ErrNotExist) {
			t.unread[out.Rel] = true
			continue
		}
		if err != nil {
			return nil, err
		}
		t.addDir(out.Rel, dir, e.Hash == "")
	}
	return t, nil
}

// presentTree is the data that lies in the work tree at the places of outputs.
func (p *Project) presentTree(ctx context.Context, ix *Index, deep bool) (*dataTree, error) {
	t := newDataTree()
	for _, so := range ix.trackedOutputs() {
		out := so.Output
		e := out.Recorded
		if e == nil {
			e = &dvcfile.Entry{Hash: "md5"}
		}
		tree, err := p.cacheOf(e).Hasher().Hash(ctx, p.Abs(out.Rel), p.dvcignoreBelow(out.Rel))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		legacy := e.Hash == ""
		t.nodes[out.Rel] = dataNode{digest: tree.Digest, legacy: legacy, isDir: tree.IsDir()}
		if deep {
			t.addDir(out.Rel, tree.Dir, legacy)
		}
	}
	return t, nil
}

// dataChange is a difference between two dataTrees at one path, or none.
type dataChange struct {
	kind     changeKind
	rel      string // the new path of something renamed
	oldRel   string
	old, new *dataNode // nil where the tree has no such path
}

type changeKind int

const (
	dataUnchanged changeKind = iota
	dataAdded
	dataModified
	dataDeleted
	dataRenamed
	dataUnknown // in a folder of which one list of files is missing
)

// isDir tells whether the path is shown as a folder.
func (c dataChange) isDir() bool {
	if c.new != nil {
		return c.new.isDir
	}
	return c.old != nil && c.old.isDir
}

// compareKind decides what a difference is called.
type compareKind func(old, new *dataNode) changeKind

// byDigest looks at recorded content alone, as data status does.
func byDigest(old, new *dataNode) changeKind {
	hadOld, hasNew := old != nil && old.digest != "", new != nil && new.digest != ""
	switch {
	case !hadOld && hasNew:
		return dataAdded
	case hadOld && !hasNew:
		return dataDeleted
	case hadOld && !old.same(*new):
		return dataModified
	}
	return dataUnchanged
}

// byPresence also tells a file from a folder, as diff does.
func byPresence(old, new *dataNode) changeKind {
	switch {
	case old == nil:
		return dataAdded
	case new == nil:
		return dataDeleted
	case !old.same(*new) || old.isDir != new.isDir:
		return dataModified
	}
	return dataUnchanged
}

// compareTrees lists every path of both trees in the order in which DVC comes
// upon them, except that DVC's order within one level of folders is not stable:
// first what is no addition or deletion, level by level, then additions and
// renames by path, then deletions.
func compareTrees(old, new *dataTree, kind compareKind) []dataChange {
	rels := map[string]struct{}{}
	for rel := range old.nodes {
		rels[rel] = struct{}{}
	}
	for rel := range new.nodes {
		rels[rel] = struct{}{}
	}
	var all, added, deleted []dataChange
	for _, rel := range slices.SortedFunc(maps.Keys(rels), byLevel) {
		c := dataChange{rel: rel, oldRel: rel}
		if n, ok := old.nodes[rel]; ok {
			c.old = &n
		}
		if n, ok := new.nodes[rel]; ok {
			c.new = &n
		}
		c.kind = kind(c.old, c.new)
		if old.below(rel) || new.below(rel) {
			c.kind = dataUnknown
		}
		switch c.kind {
		case dataAdded:
			added = append(added, c)
		case dataDeleted:
			deleted = append(deleted, c)
		default:
			all = append(all, c)
		}
	}
	return append(all, pairRenames(added, deleted)...)
}

// pairRenames makes one rename of a deletion and an addition of the same
// content.
func pairRenames(added, deleted []dataChange) []dataChange {
	byPath := func(a, b dataChange) int { return compareParts(a.rel, b.rel) }
	slices.SortFunc(added, byPath)
	slices.SortFunc(deleted, byPath)
	type content struct {
		digest storage.Digest
		legacy bool
	}
	gone := map[content][]dataChange{}
	var order []content
	for _, d := range deleted {
		key := content{d.old.digest, d.old.legacy}
		if _, known := gone[key]; !known {
			order = append(order, key)
		}
		gone[key] = append(gone[key], d)
	}
	var out []dataChange
	for _, a := range added {
		key := content{a.new.digest, a.new.legacy}
		if from := gone[key]; a.new.digest != "" && len(from) > 0 {
			gone[key] = from[1:]
			a.kind, a.oldRel, a.old = dataRenamed, from[0].rel, from[0].old
		}
		out = append(out, a)
	}
	for _, key := range order {
		left := gone[key]
		slices.Reverse(left)
		out = append(out, left...)
	}
	return out
}

// compareParts orders paths as lists of names: a folder before what is in it.
func compareParts(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}

// byLevel orders paths by their depth, then by their parts.
func byLevel(a, b string) int {
	if d := strings.Count(a, "/") - strings.Count(b, "/"); d != 0 {
		return d
	}
	return compareParts(a, b)
}

// inCache tells whether the object of a node is there at all. Whether it is
// whole is fsck's business.
func (p *Project) inCache(n *dataNode) bool {
	cache := p.Cache
	if n.legacy {
		cache = cache.Legacy()
	}
	_, err := os.Stat(cache.Path(n.digest))
	return err == nil
}

// absentObjects lists the changes whose old content is not in the cache, those
// of one content together.
func (p *Project) absentObjects(changes []dataChange) []dataChange {
	type object struct {
		digest storage.Digest
		legacy bool
	}
	var order []object
	wanted := map[object][]dataChange{}
	for _, c := range changes {
		if c.old == nil || c.old.digest == "" {
			continue
		}
		key := object{c.old.digest, c.old.legacy}
		if _, known := wanted[key]; !known {
			order = append(order, key)
		}
		wanted[key] = append(wanted[key], c)
	}
	var absent []dataChange
	for _, key := range order {
		if !p.inCache(wanted[key][0].old) {
			absent = append(absent, wanted[key]...)
		}
	}
	return absent
}

// folderSlash is a rel path as data commands show it: folders end with a slash.
func folderSlash(rel string, isDir bool) string {
	if isDir {
		return rel + "/"
	}
	return rel
}
