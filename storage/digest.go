package storage

import (
	"path"
	"strings"
)

// Digest is the content hash of a file or directory as DVC writes it: 32
// lower-case hex digits of MD5, followed by ".dir" for a directory object.
// The zero value means "no recorded hash".
type Digest string

// IsDir tells whether the digest names a directory object.
func (d Digest) IsDir() bool { return strings.HasSuffix(string(d), ".dir") }

// Hex is the digest without the ".dir" suffix.
func (d Digest) Hex() string { return strings.TrimSuffix(string(d), ".dir") }

// Valid tells whether d has the form of a digest. Digests come from files that
// other people wrote, so a path is only ever made from a valid one.
func (d Digest) Valid() bool {
	h := d.Hex()
	if len(h) != 32 {
		return false
	}
	for i := range len(h) {
		if c := h[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Key is the slash-separated place of the object below the root of a cache or
// remote: files/md5/<2 digits>/<rest>[.dir] (layout of DVC 3, dvc-compat 5.1).
func (d Digest) Key() string {
	s := string(d)
	return path.Join("files", "md5", s[:2], s[2:])
}

// LegacyKey is the place of an object that DVC 2 wrote (algorithm
// MD5Dos2Unix): <2 digits>/<rest>[.dir].
func (d Digest) LegacyKey() string {
	s := string(d)
	return path.Join(s[:2], s[2:])
}

// Algorithm says how the content of a file becomes a digest.
type Algorithm string

// MD5 is the algorithm of DVC 3, over the bytes as they are. MD5Dos2Unix is
// that of DVC 2: entries of .dvc files and dvc.lock that have no "hash:" key
// mean it. It reads text files as if their lines ended in "\n".
const (
	MD5         Algorithm = "md5"
	MD5Dos2Unix Algorithm = "md5-dos2unix"
)

// Key is the place of the object below the root of a cache or remote.
func (a Algorithm) Key(d Digest) string {
	if a == MD5Dos2Unix {
		return d.LegacyKey()
	}
	return d.Key()
}

// Meta is what DVC records next to a digest.
type Meta struct {
	Size   int64 // bytes; for a directory the sum over its files
	NFiles int   // number of files of a directory; 0 for a file
	IsExec bool  // any execute bit; files only
}
