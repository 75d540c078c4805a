package dvcfile

import (
	"strings"
)

// The lexer follows Hydra's ANTLR grammar: at each place the longest token
// wins, of equally long ones the first of the list below.

type hydraKind int

const (
	hParenOpen hydraKind = iota
	hComma
	hParenClose
	hListOpen
	hListClose
	hMapOpen
	hMapClose
	hColon
	hEqual
	hFloat
	hInt
	hBool
	hNull
	hOther // one of the signs allowed in plain strings
	hID
	hEscape
	hBlank
	hQuoted
	hInterpolation
	hEnd
)

type hydraToken struct {
	kind hydraKind
	text string
	at   int
}

// hydraKey cuts the operator and key off an override. rest is what follows,
// beginning with = where there is a value.
func hydraKey(s string) (op Op, key, pkg string, hasPkg bool, rest string, problem string) {
	switch {
	case strings.HasPrefix(s, "~"):
		op, s = OpDelete, s[1:]
	case strings.HasPrefix(s, "++"):
		op, s = OpForce, s[2:]
	case strings.HasPrefix(s, "+"):
		op, s = OpAdd, s[1:]
	}
	key, rest = hydraPath(s)
	if isHydraID(key) {
		for strings.HasPrefix(rest, "/") {
			next, after := hydraPath(rest[1:])
			if !isHydraID(next) {
				return op, key, "", false, rest, "expected a name after '/'"
			}
			key, rest = key+"/"+next, after
		}
	}
	if strings.HasPrefix(rest, "@") {
		pkg, rest = hydraPath(rest[1:])
		hasPkg = true
	}
	if rest != "" && rest[0] != '=' {
		return op, key, pkg, hasPkg, rest, "unexpected " + firstRune(rest) + " in the key"
	}
	if rest == "" && op != OpDelete {
		problem = "expected '=' and a value"
	}
	return op, key, pkg, hasPkg, rest, problem
}

func firstRune(s string) string {
	for _, r := range s {
		return "'" + string(r) + "'"
	}
	return "the end"
}

// hydraPath cuts off a name or names and whole numbers joined by dots.
func hydraPath(s string) (head, rest string) {
	end := 0
	for at := 0; ; {
		n := hydraWord(s[at:])
		number := n == 0
		if number {
			n = wholeNumber(s[at:])
		}
		if n == 0 {
			break
		}
		next := at + n
		if number && at == 0 && (next >= len(s) || s[next] != '.') {
			break // a number alone is no key
		}
		if number && at == 0 && hydraWord(s[next+1:]) == 0 && wholeNumber(s[next+1:]) == 0 {
			break
		}
		end = next
		if next >= len(s) || s[next] != '.' {
			break
		}
		at = next + 1
	}
	return s[:end], s[end:]
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// hydraWord is the length of a name at the start of s; $ is a letter.
func hydraWord(s string) int {
	if s == "" || !isLetter(s[0]) && s[0] != '_' && s[0] != '$' {
		return 0
	}
	i := 1
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '_' || s[i] == '-' || s[i] == '$') {
		i++
	}
	return i
}

func isHydraID(s string) bool {
	return s != "" && hydraWord(s) == len(s) && !strings.Contains(s, "$")
}

// wholeNumber is the length of 0, or of a number without leading zeros and
// with single underscores between digits.
func wholeNumber(s string) int {
	if s == "" || !isDigit(s[0]) {
		return 0
	}
	if s[0] == '0' {
		return 1
	}
	return 1 + moreDigits(s[1:])
}

// moreDigits is the length of (_?digit)* at the start of s.
func moreDigits(s string) int {
	i := 0
	for i < len(s) {
		switch {
		case isDigit(s[i]):
			i++
		case s[i] == '_' && i+1 < len(s) && isDigit(s[i+1]):
			i += 2
		default:
			return i
		}
	}
	return i
}

// floatNumber is the length of a float at the start of s, or 0.
func floatNumber(s string) int {
	i := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		i = 1
	}
	u := s[i:]
	if len(u) >= 3 && (strings.EqualFold(u[:3], "inf") || strings.EqualFold(u[:3], "nan")) {
		return i + 3
	}
	whole := wholeNumber(u)
	mantissa, point := whole, false
	if whole < len(u) && u[whole] == '.' {
		frac := 0
		if r := u[whole+1:]; r != "" && isDigit(r[0]) {
			frac = 1 + moreDigits(r[1:])
		}
		if whole > 0 || frac > 0 {
			mantissa, point = whole+1+frac, true
		}
	}
	if mantissa == 0 {
		return 0
	}
	if e := u[mantissa:]; len(e) > 1 && (e[0] == 'e' || e[0] == 'E') {
		j := 1
		if e[j] == '+' || e[j] == '-' {
			j++
		}
		if j < len(e) && isDigit(e[j]) {
			return i + mantissa + j + 1 + moreDigits(e[j+1:])
		}
	}
	if !point {
		return 0
	}
	return i + mantissa
}

func blanks(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }

// hydraTokens cuts a value into tokens, hEnd last. at is where no token fits.
func hydraTokens(s string) (tokens []hydraToken, at int, ok bool) {
	for at < len(s) {
		kind, n := nextHydraToken(s[at:])
		if n == 0 {
			return nil, at, false
		}
		tokens = append(tokens, hydraToken{kind, s[at : at+n], at})
		at += n
	}
	return append(tokens, hydraToken{hEnd, "", at}), at, true
}

// nextHydraToken gives the longest token at the start of s.
func nextHydraToken(s string) (kind hydraKind, length int) {
	kind, length = hydraSign(s)
	try := func(k hydraKind, n int) {
		if n > length {
			kind, length = k, n
		}
	}
	try(hFloat, floatNumber(s))
	sign := 0
	if s[0] == '+' || s[0] == '-' {
		sign = 1
	}
	if n := wholeNumber(s[sign:]); n > 0 {
		try(hInt, sign+n)
	}
	for _, word := range []struct {
		text string
		kind hydraKind
	}{{"true", hBool}, {"false", hBool}, {"null", hNull}} {
		if len(s) >= len(word.text) && strings.EqualFold(s[:len(word.text)], word.text) {
			try(word.kind, len(word.text))
		}
	}
	if strings.IndexByte(`/-\+.$%*@?|`, s[0]) >= 0 {
		try(hOther, 1)
	}
	if s[0] != '$' {
		n := hydraWord(s)
		if i := strings.IndexByte(s[:n], '$'); i >= 0 {
			n = i
		}
		try(hID, n)
	}
	try(hEscape, escapeRun(s))
	try(hBlank, blanks(s))
	try(hQuoted, quotedLength(s))
	if strings.HasPrefix(s, "${") {
		if i := strings.IndexByte(s, '}'); i > 2 {
			try(hInterpolation, i+1)
		}
	}
	return kind, length
}

// hydraSign gives the sign at the start of s with the blanks that belong to
// it, or the length 0.
func hydraSign(s string) (kind hydraKind, length int) {
	before := blanks(s)
	rest := s[before:]
	if rest == "" {
		return 0, 0
	}
	after := 1 + blanks(rest[1:])
	switch rest[0] {
	case '(':
		return hParenOpen, before + after
	case ',':
		return hComma, before + after
	case ')':
		return hParenClose, before + 1
	case ']':
		return hListClose, before + 1
	case '}':
		return hMapClose, before + 1
	case ':':
		return hColon, before + after
	case '=':
		return hEqual, before + after
	}
	if before == 0 && rest[0] == '[' {
		return hListOpen, after
	}
	if before == 0 && rest[0] == '{' {
		return hMapOpen, after
	}
	return 0, 0
}

// escapeRun is the length of a run of escaped characters.
func escapeRun(s string) int {
	i := 0
	for i+1 < len(s) && s[i] == '\\' && strings.IndexByte("\\()[]{}:=, \t", s[i+1]) >= 0 {
		i += 2
	}
	return i
}

// quotedLength is the length of a quoted string: up to the first quote with an
// even number of backslashes before it.
func quotedLength(s string) int {
	if s[0] != '"' && s[0] != '\'' {
		return 0
	}
	slashes := 0
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			slashes++
			continue
		case s[i] == s[0] && slashes%2 == 0:
			return i + 1
		}
		slashes = 0
	}
	return 0
}
