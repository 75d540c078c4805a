package server

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenName             // identifier with its quoted parts: metrics.`a b`, run_id, AND
	tokenString           // 'x' or "x", with the quotes
	tokenNumber
	tokenOp
	tokenOpen
	tokenClose
	tokenComma
	tokenOther
)

type token struct {
	kind  tokenKind
	text  string
	space string // before it
}

// value tells whether the token can stand on the right of an operator.
func (t token) value() bool {
	switch t.kind {
	case tokenString, tokenNumber, tokenOpen:
		return true
	case tokenName: // what begins with a digit is no word, and these are none either
		return (t.text[0] < '0' || t.text[0] > '9') && t.text[0] != '-' && !t.is("true") && !t.is("false")
	}
	return false
}

// odd tells whether a name has characters that need quotes: to a real server it
// is a calculation.
func odd(name string) bool {
	quote := byte(0)
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '`' || c == '"' || c == '\'':
			quote = c
		case c == '-' || c == '/':
			return true
		}
	}
	return false
}

// lex cuts a filter into tokens. It cannot fail: what it does not know becomes
// a token that the parser refuses.
func lex(s string) []token {
	var out []token
	space := ""
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		kind, n := tokenOther, size
		switch {
		case unicode.IsSpace(r):
			space += s[:size]
			s = s[size:]
			continue
		case (r == '\'' || r == '"' || r == '`') && quotedLength(s) == 0:
			n = size // it stands alone, and what follows is read as if it was not there
		case r == '\'':
			kind, n = tokenString, quotedLength(s)
		case r == '(':
			kind = tokenOpen
		case r == ')':
			kind = tokenClose
		case r == ',':
			kind = tokenComma
		case strings.ContainsRune("=<>!", r):
			kind, n = tokenOp, operatorLength(s)
		case numberLength(s) > 0:
			kind, n = tokenNumber, numberLength(s)
		case r == '"' || r == '`' || nameRune(r):
			kind, n = tokenName, nameLength(s)
			if r == '"' && n == quotedLength(s) {
				kind = tokenString
			}
		}
		out = append(out, token{kind, s[:n], space})
		s, space = s[n:], ""
	}
	return out
}

// quotedLength is the length of the quoted text at the start of s, both quotes
// included; 0 where the closing one is missing. A doubled quote does not close.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			continue
		}
		if i+1 < len(s) && s[i+1] == s[0] {
			i++
			continue
		}
		return i + 1
	}
	return 0
}

// operatorLength covers all that looks like one operator; what is none is
// refused by name.
func operatorLength(s string) int {
	n := 0
	for n < len(s) && strings.IndexByte("=<>!", s[n]) >= 0 {
		n++
	}
	return n
}

func nameRune(r rune) bool {
	return r == '_' || r == '-' || r == '.' || r == '/' || r == ':' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

// nameLength covers a name with dots, and parts of it in quotes.
func nameLength(s string) int {
	i := 0
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '`' || r == '"' || r == '\'' && i > 0 && s[i-1] == '.':
			n := quotedLength(s[i:])
			if i > 0 && s[i-1] != '.' || n == 0 {
				return i
			}
			i += n
			if r == '`' && (i == len(s) || s[i] != '.') { // what follows is another word
				return i
			}
		case nameRune(r):
			i += size
		default:
			return i
		}
	}
	return i
}

// numberLength covers [-]digits[.digits][e[+-]digits]; 0 when s does not begin
// with a number or the number runs on as a name.
func numberLength(s string) int {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	start := i
	digits := func() int {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i - from
	}
	n := digits()
	if i < len(s) && s[i] == '.' {
		i++
		n += digits()
	}
	if n == 0 || i == start {
		return 0
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		mark := i
		i++
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		if digits() == 0 {
			i = mark
		}
	}
	if r, _ := utf8.DecodeRuneInString(s[i:]); i < len(s) && (nameRune(r) || r == '`' || r == '"') {
		return 0
	}
	return i
}
