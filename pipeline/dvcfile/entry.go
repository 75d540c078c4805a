package dvcfile

import (
	"math"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// Entry is what a dvc.lock or .dvc file records about one dependency or output.
type Entry struct {
	Path   string         // as written in dvc.yaml, relative to the stage's folder, or a URL
	Hash   string         // "md5", or "" for an entry of DVC 2 (md5 of the text with \n line ends)
	Digest storage.Digest // "" where nothing is recorded
	Meta   storage.Meta
	// HasSize and HasNFiles tell whether the file has the key at all: an empty
	// folder has "nfiles: 0", a file has none.
	HasSize, HasNFiles bool
	// Extra are the other keys in the order of the file: etag, checksum,
	// version_id, cloud, files, dataset, repo, db, fs_config.
	Extra *Map
}

// NewEntry makes the entry of hashed data.
func NewEntry(path string, digest storage.Digest, meta storage.Meta) Entry {
	return Entry{Path: path, Hash: "md5", Digest: digest, Meta: meta, HasSize: true, HasNFiles: digest.IsDir()}
}

// Equal tells whether two entries record the same.
func (e Entry) Equal(o Entry) bool { return Equal(e.lockValue(), o.lockValue()) }

// lockValue is the entry with the key order of dvc.lock.
func (e Entry) lockValue() *Map {
	m := &Map{}
	if e.Path != "" || !e.hasExtra("db") {
		m.Set("path", e.Path)
	}
	if e.Hash != "" {
		m.Set("hash", e.Hash)
	}
	e.hashAndMeta(m)
	e.addExtra(m)
	return m
}

// dataValue is the entry with the key order of a .dvc file, without what only
// outputs have.
func (e Entry) dataValue() *Map {
	m := &Map{}
	e.hashAndMeta(m)
	e.addExtra(m, "version_id", "etag", "checksum", "cloud")
	if e.Hash != "" {
		m.Set("hash", e.Hash)
	}
	if e.Path != "" || !e.hasExtra("db") {
		m.Set("path", e.Path)
	}
	e.addExtra(m, "fs_config")
	return m
}

func (e Entry) hasExtra(key string) bool {
	_, ok := e.Extra.Get(key)
	return ok
}

func (e Entry) hashAndMeta(m *Map) {
	if e.Digest != "" {
		m.Set("md5", string(e.Digest))
	} else {
		e.addExtra(m, "etag", "checksum")
	}
	if e.HasSize {
		m.Set("size", NewInt(e.Meta.Size))
	}
	if e.HasNFiles {
		m.Set("nfiles", NewInt(int64(e.Meta.NFiles)))
	}
	if e.Meta.IsExec {
		m.Set("isexec", true)
	}
}

// addExtra sets the extra keys that m lacks: those named, or all.
func (e Entry) addExtra(m *Map, names ...string) {
	for i, k := range e.Extra.Keys() {
		if _, there := m.Get(k); !there && (names == nil || slices.Contains(names, k)) {
			m.Set(k, e.Extra.values[i])
		}
	}
}

var entryExtras = []string{"etag", "checksum", "version_id", "cloud", "files", "dataset"}

// parseEntry reads an entry. known are the keys allowed beside the common ones.
func parseEntry(n *Node, known []string, other func(key string, v *Node) error) (Entry, error) {
	e := Entry{}
	m, ok := n.Map()
	if !ok {
		return e, errs.At(n.Pos, "an entry is a mapping, not %s", kindName(n.Value))
	}
	for i, kn := range n.Keys {
		key, _ := kn.Value.(string)
		if err := e.set(key, kn, n.Items[i], known, other); err != nil {
			return e, err
		}
	}
	if _, ok := m.Get("path"); !ok && !e.hasExtra("db") {
		return e, errs.At(n.Pos, "the entry lacks the key path")
	}
	return e, nil
}

func (e *Entry) set(key string, kn, v *Node, known []string, other func(key string, v *Node) error) (err error) {
	switch key {
	case "path":
		e.Path, err = wantString(v, key)
	case "hash":
		e.Hash, err = wantString(v, key)
	case "md5":
		var text string
		text, err = wantChecksum(v, key)
		e.Digest = storage.Digest(strings.ToLower(text))
		if err == nil && text != "" && !e.Digest.Valid() {
			return errs.At(v.Pos, "md5 must be 32 hex digits (for a folder with .dir behind them), not %q", text)
		}
	case "size":
		e.HasSize = true
		e.Meta.Size, err = wantInt(v, key)
	case "nfiles":
		e.HasNFiles = true
		var n int64
		n, err = wantInt(v, key)
		if n < 0 || n > math.MaxInt32 {
			return errs.At(v.Pos, "nfiles is out of range")
		}
		e.Meta.NFiles = int(n)
	case "isexec":
		e.Meta.IsExec, err = wantBool(v, key)
	default:
		if slices.Contains(known, key) {
			if e.Extra == nil {
				e.Extra = &Map{}
			}
			e.Extra.Set(key, v.Value)
			return nil
		}
		if other != nil {
			return other(key, v)
		}
		return unknownKey(kn, append([]string{"path", "hash", "md5", "size", "nfiles", "isexec"}, known...))
	}
	return err
}

// --- checking types

func kindName(v Value) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case Int:
		return "a whole number"
	case Float:
		return "a number"
	case string:
		return "a text"
	case Timestamp:
		return "a date"
	case []Value:
		return "a list"
	case *Map:
		return "a mapping"
	}
	return "something else"
}

func wantString(n *Node, what string) (string, error) {
	s, ok := n.Value.(string)
	if !ok {
		return "", errs.At(n.Pos, "%s must be a text, not %s", what, kindName(n.Value))
	}
	return s, nil
}

// wantChecksum also takes a number, because a digest of digits alone reads as one.
func wantChecksum(n *Node, what string) (string, error) {
	switch v := n.Value.(type) {
	case nil:
		return "", nil
	case Int:
		return v.String(), nil
	}
	return wantString(n, what)
}

func wantInt(n *Node, what string) (int64, error) {
	if i, ok := n.Value.(Int); ok {
		if v, ok := i.Int64(); ok {
			return v, nil
		}
	}
	return 0, errs.At(n.Pos, "%s must be a whole number, not %s", what, kindName(n.Value))
}

func wantBool(n *Node, what string) (bool, error) {
	b, ok := n.Value.(bool)
	if !ok {
		return false, errs.At(n.Pos, "%s must be true or false, not %s", what, kindName(n.Value))
	}
	return b, nil
}

// unknownKey names the nearest of the known keys.
func unknownKey(kn *Node, known []string) error {
	name := PyStr(kn.Value)
	best, distance := "", 3
	if len(name) < 5 {
		distance = 2
	}
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return errs.At(kn.Pos, "the key %q is not known here; did you mean %q?", name, best)
	}
	return errs.At(kn.Pos, "the key %q is not known here", name)
}

// editDistance is the number of characters to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
