package ignore

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A glob is one compiled pattern, matched against a slash-separated path
// relative to the folder of the file that holds the pattern (or against the
// last element of such a path only). The language is that of gitignore(5):
// `?`, `*` and `[...]` never match a slash, `**` does where it is a whole path
// element.
type glob struct {
	literal string  // the pattern, when it has nothing special in it
	tokens  []token // else its parts
	never   bool    // the pattern can match nothing (`[a`, a trailing backslash)
	runes   bool    // `?` and `[...]` match a character (pathspec), not a byte (git)
}

type tokenKind uint8

const (
	tokenRune   tokenKind = iota // exactly this byte or character
	tokenAny                     // ?
	tokenClass                   // [...]
	tokenStar                    // * : anything without a slash
	tokenDirs                    // the start of **/ : skipped together with tokenInDirs, or entered
	tokenInDirs                  // the rest of **/ : anything that ends in a slash
	tokenRest                    // a ** that ends the pattern: anything
)

type token struct {
	kind  tokenKind
	r     rune
	class *class
}

type class struct {
	negated bool
	ranges  [][2]rune
	named   []func(rune) bool
}

func (c *class) has(r rune) bool {
	in := slices.ContainsFunc(c.ranges, func(p [2]rune) bool { return p[0] <= r && r <= p[1] }) ||
		slices.ContainsFunc(c.named, func(f func(rune) bool) bool { return f(r) })
	return in != c.negated
}

// compileGlob never fails: as in Git, a malformed pattern is one that matches
// nothing. Where gitPath is set, a `**` right behind the literal beginning of
// the pattern counts as a whole path element (`a**/b` covers `axb` and
// `ax/b`): Git compares that beginning by itself and matches only the rest.
func compileGlob(pattern string, runes, gitPath bool) glob {
	special := strings.IndexAny(pattern, `*?[\`)
	if special < 0 {
		return glob{literal: pattern}
	}
	start := 0
	if gitPath {
		start = special
	}
	g := glob{runes: runes}
	for i := 0; i < len(pattern); {
		switch pattern[i] {
		case '\\':
			if i++; i == len(pattern) {
				return glob{never: true}
			}
			i += g.addRune(pattern[i:])
		case '?':
			g.tokens = append(g.tokens, token{kind: tokenAny})
			i++
		case '*':
			i += g.addStars(pattern, i, i == start)
		case '[':
			c, n := parseClass(pattern[i:], runes)
			if c == nil {
				return glob{never: true}
			}
			g.tokens = append(g.tokens, token{kind: tokenClass, class: c})
			i += n
		default:
			i += g.addRune(pattern[i:])
		}
	}
	return g
}

// addRune appends the first byte or character of s and gives its length.
func (g *glob) addRune(s string) int {
	r, n := decode(s, g.runes)
	g.tokens = append(g.tokens, token{kind: tokenRune, r: r})
	return n
}

// addStars appends what the run of stars at i stands for and gives how many
// bytes of the pattern it took.
func (g *glob) addStars(pattern string, i int, atStart bool) int {
	j := i
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	long := j-i == 2 || j-i > 2 && !g.runes // Git takes *** for **, pathspec for *
	whole := long && (atStart || i == 0 || pattern[i-1] == '/')
	switch {
	case whole && j == len(pattern):
		g.tokens = append(g.tokens, token{kind: tokenRest})
	case whole && pattern[j] == '/':
		g.tokens = append(g.tokens, token{kind: tokenDirs}, token{kind: tokenInDirs})
		j++
	default:
		g.tokens = append(g.tokens, token{kind: tokenStar})
	}
	return j - i
}

// decode gives the next unit of s: a byte, or a character where runes is set.
func decode(s string, runes bool) (rune, int) {
	if runes {
		if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError || n > 1 {
			return r, n
		}
	}
	return rune(s[0]), 1
}

// parseClass reads a bracket expression at the start of s. It gives nil where
// the expression is not closed or names an unknown POSIX class.
func parseClass(s string, runes bool) (*class, int) {
	c := &class{}
	i := 1
	if i < len(s) && (s[i] == '!' || s[i] == '^') {
		c.negated = true
		i++
	}
	for first := true; ; first = false {
		if i >= len(s) {
			return nil, 0
		}
		if s[i] == ']' && !first {
			return c, i + 1
		}
		if strings.HasPrefix(s[i:], "[:") {
			if end := strings.IndexByte(s[i+2:], ']'); end > 0 && s[i+2+end-1] == ':' {
				f, ok := posixClass(s[i+2 : i+2+end-1])
				if !ok {
					return nil, 0
				}
				c.named = append(c.named, f)
				i += 2 + end + 1
				continue
			} else if end < 0 {
				return nil, 0
			}
		}
		lo, n := classRune(s[i:], runes)
		if n == 0 {
			return nil, 0
		}
		i += n
		hi := lo
		if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
			if hi, n = classRune(s[i+1:], runes); n == 0 {
				return nil, 0
			}
			i += 1 + n
		}
		c.ranges = append(c.ranges, [2]rune{lo, hi})
	}
}

// classRune reads one possibly escaped unit inside brackets; length 0 means
// that s ended.
func classRune(s string, runes bool) (rune, int) {
	if s[0] != '\\' {
		return decode(s, runes)
	}
	if len(s) == 1 {
		return 0, 0
	}
	r, n := decode(s[1:], runes)
	return r, n + 1
}

func posixClass(name string) (func(rune) bool, bool) {
	between := func(lo, hi rune) func(rune) bool {
		return func(r rune) bool { return lo <= r && r <= hi }
	}
	either := func(fs ...func(rune) bool) func(rune) bool {
		return func(r rune) bool {
			return slices.ContainsFunc(fs, func(f func(rune) bool) bool { return f(r) })
		}
	}
	lower, upper, digit := between('a', 'z'), between('A', 'Z'), between('0', '9')
	switch name {
	case "lower":
		return lower, true
	case "upper":
		return upper, true
	case "digit":
		return digit, true
	case "alpha":
		return either(lower, upper), true
	case "alnum":
		return either(lower, upper, digit), true
	case "xdigit":
		return either(digit, between('a', 'f'), between('A', 'F')), true
	case "blank":
		return func(r rune) bool { return r == ' ' || r == '\t' }, true
	case "space":
		return func(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }, true
	case "cntrl":
		return func(r rune) bool { return r < 0x20 || r == 0x7f }, true
	case "print":
		return between(0x20, 0x7e), true
	case "graph":
		return between(0x21, 0x7e), true
	case "punct":
		return either(between('!', '/'), between(':', '@'), between('[', '`'), between('{', '~')), true
	}
	return nil, false
}

// match tells whether the pattern covers the whole of name. It follows all
// ways through the pattern at once, so its time is at most the product of the
// two lengths whatever the pattern.
func (g *glob) match(name string) bool {
	if g.never {
		return false
	}
	if g.tokens == nil {
		return g.literal == name
	}
	var buf [2][64]bool
	cur, next := buf[0][:], buf[1][:]
	if len(g.tokens)+1 > len(cur) {
		cur, next = make([]bool, len(g.tokens)+1), make([]bool, len(g.tokens)+1)
	}
	cur, next = cur[:len(g.tokens)+1], next[:len(g.tokens)+1]
	cur[0] = true
	g.skipEmpty(cur)
	for len(name) > 0 {
		r, n := decode(name, g.runes)
		name = name[n:]
		clear(next)
		alive := false
		for i, t := range g.tokens {
			if cur[i] && t.step(r, next[i:i+2]) {
				alive = true
			}
		}
		if !alive {
			return false
		}
		g.skipEmpty(next)
		cur, next = next, cur
	}
	return cur[len(g.tokens)]
}

// step consumes r in the token and marks in to whether the match can stay at
// the token (to[0]) or go on behind it (to[1]).
func (t token) step(r rune, to []bool) bool {
	switch t.kind {
	case tokenRune:
		if r != t.r {
			return false
		}
		to[1] = true
	case tokenAny:
		if r == '/' {
			return false
		}
		to[1] = true
	case tokenClass:
		if r == '/' || !t.class.has(r) {
			return false
		}
		to[1] = true
	case tokenStar:
		if r == '/' {
			return false
		}
		to[0] = true
	case tokenRest:
		to[0] = true
	case tokenDirs:
		return false
	case tokenInDirs:
		to[0] = true
		if r == '/' {
			to[1] = true
		}
	}
	return true
}

// skipEmpty adds the states that are reached without consuming anything.
func (g *glob) skipEmpty(states []bool) {
	for i, t := range g.tokens {
		if !states[i] {
			continue
		}
		switch t.kind {
		case tokenStar, tokenRest:
			states[i+1] = true
		case tokenDirs:
			states[i+1], states[i+2] = true, true
		}
	}
}
