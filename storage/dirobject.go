package storage

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"ctrx/internal/errs"
)

// DirEntry is one file of a directory object.
type DirEntry struct {
	MD5     Digest // of the file, never a ".dir"
	RelPath string // slash separated, relative to the folder
}

// DirObject lists the files of a folder, sorted by RelPath. Folders without
// files do not occur in it. A nil DirObject is no folder; an empty one is an
// empty folder.
type DirObject []DirEntry

// Sort orders the entries as DVC does: by the code points of the path, so that
// "sub.x" comes before "sub/b".
func (o DirObject) Sort() {
	slices.SortFunc(o, func(a, b DirEntry) int { return comparePaths(a.RelPath, b.RelPath) })
}

// comparePaths compares by code points as Python does, where a byte that is no
// UTF-8 stands for a lone surrogate.
func comparePaths(a, b string) int {
	// Nearly always the first byte that differs decides, and it is ASCII.
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			if a[i] < utf8.RuneSelf && b[i] < utf8.RuneSelf {
				return cmp.Compare(a[i], b[i])
			}
			n = -1
			break
		}
	}
	if n >= 0 && (len(a) == n || a[n] < utf8.RuneSelf) && (len(b) == n || b[n] < utf8.RuneSelf) {
		return cmp.Compare(len(a), len(b))
	}
	if utf8.ValidString(a) && utf8.ValidString(b) {
		return cmp.Compare(a, b)
	}
	return slices.Compare(pythonRunes(a), pythonRunes(b))
}

// pythonRunes decodes a file name as Python does on POSIX systems: a byte b
// that is no UTF-8 becomes the lone surrogate U+DC00+b.
func pythonRunes(s string) []rune {
	var out []rune
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 {
			r, n = 0xdc00+rune(s[i]), 1
		}
		out = append(out, r)
		i += n
	}
	return out
}

// Encode gives the bytes of the stored object, as Python's json.dumps writes
// them: sorted by path, ", " and ": " between parts, everything but ASCII
// escaped, no newline at the end (dvc-compat 4.3).
func (o DirObject) Encode() []byte { return o.encode("md5") }

func (o DirObject) encode(name string) []byte {
	o = o.inOrder()
	b := make([]byte, 0, 2+80*len(o))
	b = append(b, '[')
	b = o.appendEntries(b, name)
	return append(b, ']')
}

// inOrder is o sorted.
func (o DirObject) inOrder() DirObject {
	if o.sorted() {
		return o
	}
	o = slices.Clone(o)
	o.Sort()
	return o
}

func (o DirObject) appendEntries(b []byte, name string) []byte {
	for i, e := range o {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, `{"`+name+`": "`...)
		b = append(b, e.MD5...)
		b = append(b, `", "relpath": `...)
		b = appendJSONString(b, e.RelPath)
		b = append(b, '}')
	}
	return b
}

func appendJSONString(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	u16 := func(r rune) {
		b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, `\n`...)
			case c == '\r':
				b = append(b, `\r`...)
			case c == '\t':
				b = append(b, `\t`...)
			case c == '\b':
				b = append(b, `\b`...)
			case c == '\f':
				b = append(b, `\f`...)
			case c < 0x20 || c == 0x7f:
				u16(rune(c))
			default:
				b = append(b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			u16(0xdc00 + rune(c))
			n = 1
		case r >= 0x10000:
			u16(0xd800 + (r-0x10000)>>10)
			u16(0xdc00 + (r-0x10000)&0x3ff)
		default:
			u16(r)
		}
		i += n
	}
	return append(b, '"')
}

// Digest is the digest under which the object is stored, with ".dir".
func (o DirObject) Digest() Digest { return o.DigestOf("md5") }

// DigestOf is the digest of a file with this content.
func DigestOf(content []byte) Digest { return digestBytes(content) }

// DigestOf is the digest of a folder whose members are told apart by something
// else than their MD5, such as "etag", which then stands in the field MD5.
func (o DirObject) DigestOf(name string) Digest {
	sum := md5.New()
	pieces, hashed := make(chan []byte, 4), make(chan struct{})
	go func() {
		defer close(hashed)
		for p := range pieces {
			sum.Write(p)
		}
	}()
	const entries = 1024 // in a piece: one is hashed while the next is encoded
	before := "["
	for part := range slices.Chunk(o.inOrder(), entries) {
		b := make([]byte, 0, 2+96*len(part))
		b = append(b, before...)
		pieces <- part.appendEntries(b, name)
		before = ", "
	}
	if before == "[" {
		pieces <- []byte("[")
	}
	pieces <- []byte("]")
	close(pieces)
	<-hashed
	return Digest(hex.EncodeToString(sum.Sum(nil)) + ".dir")
}

// ParseDir reads a stored directory object. It refuses what could not have
// been made from a folder: digests of another form, paths that are absolute,
// leave the folder or occur twice, and a file that is also a folder. Such an
// error has the kind DataCorrupt. The DirObject is made of pieces of data, which
// must not change any more.
func ParseDir(data []byte) (DirObject, error) {
	o, ok := parsePlain(textOf(data))
	if !ok {
		var err error
		if o, err = parseAny(data); err != nil {
			return nil, err
		}
	}
	for _, e := range o {
		if !e.MD5.Valid() || e.MD5.IsDir() {
			return nil, errs.New(errs.DataCorrupt, "directory object: %q has no valid md5", e.RelPath)
		}
		if !validRelPath(e.RelPath) {
			return nil, errs.New(errs.DataCorrupt, "directory object: the path %q is not one of a file inside the folder", e.RelPath)
		}
	}
	if !o.sorted() {
		o.Sort()
	}
	return o, o.checkPaths()
}

// ParseDirOf parses the bytes of a directory object after checking that they
// are the ones that d names. An error has the kind DataCorrupt.
func ParseDirOf(data []byte, d Digest) (DirObject, error) {
	sum := make(chan Digest, 1)
	if len(data) < asyncFrom {
		sum <- digestBytes(data)
	} else {
		go func() { sum <- digestBytes(data) }()
	}
	dir, err := ParseDir(data)
	if got := <-sum; string(got) != d.Hex() {
		return nil, errs.New(errs.DataCorrupt, "directory object %s has the content of %s", d, got)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	return dir, nil
}

// textOf gives what will not change any more as text, without copying it.
func textOf(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// parsePlain reads what Encode writes for paths without escapes, which is nearly
// every directory object there is. ok is false for anything else.
func parsePlain(text string) (o DirObject, ok bool) {
	const before, between, after = `{"md5": "`, `", "relpath": "`, `"}`
	rest, ok := strings.CutPrefix(text, "[")
	if !ok || strings.IndexByte(text, '\\') >= 0 || !isPrintable(text) {
		return nil, false
	}
	o = make(DirObject, 0, strings.Count(text, between))
	for rest != "]" {
		if len(o) > 0 {
			if rest, ok = strings.CutPrefix(rest, ", "); !ok {
				return nil, false
			}
		}
		if rest, ok = strings.CutPrefix(rest, before); !ok || len(rest) < 32 {
			return nil, false
		}
		e := DirEntry{MD5: Digest(rest[:32])}
		if rest, ok = strings.CutPrefix(rest[32:], between); !ok {
			return nil, false
		}
		end := strings.IndexByte(rest, '"')
		if end < 0 {
			return nil, false
		}
		e.RelPath = rest[:end]
		if rest, ok = strings.CutPrefix(rest[end:], after); !ok {
			return nil, false
		}
		o = append(o, e)
	}
	return o, true
}

// isPrintable tells whether a text is ASCII without control characters.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// parseAny reads any JSON that says the same.
func parseAny(data []byte) (DirObject, error) {
	var raw []struct {
		MD5     Digest          `json:"md5"`
		RelPath json.RawMessage `json:"relpath"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errs.New(errs.DataCorrupt, "directory object: %w", err)
	}
	o := make(DirObject, len(raw))
	for i, e := range raw {
		rel, err := parseJSONString(e.RelPath)
		if err != nil {
			return nil, errs.New(errs.DataCorrupt, "directory object, entry %d: %w", i, err)
		}
		o[i] = DirEntry{MD5: e.MD5, RelPath: rel}
	}
	return o, nil
}

func validRelPath(rel string) bool {
	for part := range strings.SplitSeq(rel, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return false
		}
	}
	return true
}

func (o DirObject) sorted() bool {
	return slices.IsSortedFunc(o, func(a, b DirEntry) int { return comparePaths(a.RelPath, b.RelPath) })
}

// checkPaths finds paths that occur twice or below another file. o is sorted.
func (o DirObject) checkPaths() error {
	parent := ""
	for i, e := range o {
		if i > 0 && o[i-1].RelPath == e.RelPath {
			return errs.New(errs.DataCorrupt, "directory object: the path %q occurs twice", e.RelPath)
		}
		at := strings.LastIndexByte(e.RelPath, '/')
		if at < 0 || e.RelPath[:at] == parent {
			continue
		}
		parent = e.RelPath[:at]
		for p := parent; p != ""; p = parentOf(p) {
			if _, file := o.find(p); file {
				return errs.New(errs.DataCorrupt, "directory object: %q is a file and a folder", p)
			}
		}
	}
	return nil
}

// find gives the place of a path. o is sorted.
func (o DirObject) find(rel string) (int, bool) {
	return slices.BinarySearchFunc(o, rel, func(e DirEntry, rel string) int { return comparePaths(e.RelPath, rel) })
}

// parseJSONString decodes a JSON string, keeping lone surrogates of the range
// that stands for bytes as those bytes, which encoding/json would lose.
func parseJSONString(raw []byte) (string, error) {
	if !bytes.Contains(raw, []byte(`\u`)) {
		var s string
		err := json.Unmarshal(raw, &s)
		if err == nil && len(raw) > 0 && raw[0] != '"' {
			err = errors.New("relpath is not a string")
		}
		return s, err
	}
	// Each \uDCxx that does not follow a high surrogate is cut out and put
	// back as a byte.
	var out strings.Builder
	start := 1 // the present piece begins here; raw[0] is the quote
	piece := func(end int) error {
		var s string
		quoted := append(append([]byte{'"'}, raw[start:end]...), '"')
		err := json.Unmarshal(quoted, &s)
		out.WriteString(s)
		return err
	}
	high := -1 // where the last high surrogate's escape ends
	for i := 1; i < len(raw)-1; {
		if raw[i] != '\\' {
			i++
			continue
		}
		if raw[i+1] != 'u' || i+6 > len(raw)-1 {
			i += 2
			continue
		}
		r, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 32)
		if err != nil {
			return "", errors.New("bad escape in relpath")
		}
		switch {
		case r >= 0xd800 && r < 0xdc00:
			high = i + 6
		case r >= 0xdc80 && r <= 0xdcff && high != i:
			if err := piece(i); err != nil {
				return "", err
			}
			out.WriteByte(byte(r - 0xdc00))
			start = i + 6
		}
		i += 6
	}
	if err := piece(max(len(raw)-1, start)); err != nil {
		return "", err
	}
	return out.String(), nil
}

// EntryChange is a difference between two directory objects.
type EntryChange struct {
	RelPath string
	Old     Digest // empty: added
	New     Digest // empty: deleted
}

// DiffDir lists how the folder old differs from the folder new, sorted by path.
func DiffDir(old, new DirObject) []EntryChange {
	had := make(map[string]Digest, len(old))
	for _, e := range old {
		had[e.RelPath] = e.MD5
	}
	var out []EntryChange
	for _, e := range new {
		was := had[e.RelPath]
		delete(had, e.RelPath)
		if was != e.MD5 {
			out = append(out, EntryChange{RelPath: e.RelPath, Old: was, New: e.MD5})
		}
	}
	for rel, was := range had {
		out = append(out, EntryChange{RelPath: rel, Old: was})
	}
	slices.SortFunc(out, func(a, b EntryChange) int { return comparePaths(a.RelPath, b.RelPath) })
	return out
}

// Find gives the digest of a member, or fs.ErrNotExist.
func (o DirObject) Find(relpath string) (Digest, error) {
	for _, e := range o {
		if e.RelPath == relpath {
			return e.MD5, nil
		}
	}
	return "", fs.ErrNotExist
}
