package wire

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// KeyRune tells whether a character may occur in the key of a parameter,
// metric or tag: letters and digits of any script, and _ - . space : /.
func KeyRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune("_-. :/", r)
}

// KeyProblem tells why a server refuses a key.
type KeyProblem int

// The problems, in the order in which a server looks for them.
const (
	KeyOK        KeyProblem = iota
	KeyCharacter            // a character that KeyRune refuses
	KeyPath                 // as a file name it would name something else (//, ./, ../, leading /)
	KeyTooLong              // more than MaxKey characters
)

// CheckKey tells whether a server accepts the key of a parameter, metric or
// tag. The empty key is a KeyPath problem.
func CheckKey(key string) KeyProblem {
	for _, r := range key {
		if !KeyRune(r) || r == utf8.RuneError {
			return KeyCharacter
		}
	}
	clean := path.Clean(key)
	if clean != key || clean == "." || strings.HasPrefix(clean, "..") || strings.HasPrefix(clean, "/") {
		return KeyPath
	}
	if utf8.RuneCountInString(key) > MaxKey {
		return KeyTooLong
	}
	return KeyOK
}

// Cut shortens s to at most n characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count == n {
			return s[:i]
		}
		count++
	}
	return s
}
