package tracking

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"ctrx/tracking/wire"
)

// SanitizeKey maps a key of a parameter, metric or tag to one that MLflow
// accepts. A key that is accepted already stays as it is. Else:
//
//   - each character other than letters, digits and _ - . space : / becomes _
//     ("a[0]" is "a_0_");
//   - empty path elements vanish, "." becomes "_", and ".." at the start of the
//     key or as an element becomes "__" ("/x//../y" is "x/__/y"), because MLflow
//     may use the key as a file name;
//   - the empty key becomes "_";
//   - of more than 250 characters the first 241 stay, followed by "-" and eight
//     hex digits of the SHA-256 of the whole key.
//
// Different keys may come out equal. A Run notices that and appends "-" and
// the digits of the hash to the later one.
func SanitizeKey(key string) string {
	if wire.CheckKey(key) == wire.KeyOK {
		return key
	}
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !wire.KeyRune(r) {
			return '_'
		}
		return r
	}, key)
	var elements []string
	for _, e := range strings.Split(clean, "/") {
		switch e {
		case "":
			continue
		case ".":
			e = "_"
		case "..":
			e = "__"
		}
		elements = append(elements, e)
	}
	clean = strings.Join(elements, "/")
	if rest, ok := strings.CutPrefix(clean, ".."); ok {
		clean = "__" + rest
	}
	if clean == "" {
		clean = "_"
	}
	if utf8.RuneCountInString(clean) > wire.MaxKey {
		return withHash(clean, key)
	}
	return clean
}

// withHash makes a sanitized key unlike others: its start and eight digits of
// the hash of the original.
func withHash(clean, original string) string {
	sum := sha256.Sum256([]byte(original))
	const tail = 9
	// A cut at a slash would leave a key that MLflow refuses.
	return strings.TrimRight(wire.Cut(clean, wire.MaxKey-tail), "/") + "-" + hex.EncodeToString(sum[:4])
}

// keyMap gives the keys of one run, and keeps different ones apart.
type keyMap struct{ original map[string]string }

func (m *keyMap) key(original string) string {
	if m.original == nil {
		m.original = map[string]string{}
	}
	clean := SanitizeKey(original)
	if o, taken := m.original[clean]; taken && o != original {
		clean = withHash(clean, original)
	}
	m.original[clean] = original
	return clean
}
