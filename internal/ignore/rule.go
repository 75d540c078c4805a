package ignore

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// Syntax selects whose reading of an ignore file is followed. Both are written
// like gitignore(5); they differ at the edges, and there each program's own
// files must mean to ctrx what they mean to that program.
type Syntax int

const (
	// Git reads .gitignore, .git/info/exclude and core.excludesFile.
	Git Syntax = iota
	// DVC reads .dvcignore. Other than for Git, blanks on both sides of a line
	// are dropped, a pattern without a slash at its end also covers what is
	// below a match (which matters after a negation), `dir/**` covers dir
	// itself, and the root file's `*/` and `**/` match nothing.
	DVC
)

// Rule is one line of an ignore file.
type Rule struct {
	Source  string // the file, as named when it was read; "" for a built-in
	Line    int    // counts from 1; 0 for a built-in
	Pattern string // the line without its trimmed blanks
	Negated bool   // a line that begins with !: what it matches is not ignored
	DirOnly bool   // a line that ends with /: only folders match

	syntax   Syntax
	anchored bool // matched against the path, else against its last element
	below    bool // DVC's dir/**: folders that match the glob, and all below
	glob     glob
}

// ParseRules reads the content of an ignore file. There are no errors: what
// Git cannot match with, no path matches.
func ParseRules(source string, data []byte, syntax Syntax) []Rule {
	return parseRules(source, data, syntax, false)
}

func parseRules(source string, data []byte, syntax Syntax, root bool) []Rule {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var rules []Rule
	for i, line := range strings.Split(string(data), "\n") {
		if r, ok := parseRule(line, syntax, root); ok {
			r.Source, r.Line = source, i+1
			rules = append(rules, r)
		}
	}
	return rules
}

func parseRule(line string, syntax Syntax, root bool) (Rule, bool) {
	if syntax == DVC {
		line = strings.TrimSpace(line)
	} else if !strings.HasPrefix(line, "#") {
		line = trimTrailingSpaces(strings.TrimSuffix(line, "\r"))
	}
	if line == "" || line[0] == '#' {
		return Rule{}, false
	}
	r := Rule{Pattern: line, syntax: syntax}
	pattern := line
	if pattern[0] == '!' {
		r.Negated, pattern = true, pattern[1:]
	}
	if strings.HasSuffix(pattern, "/") {
		r.DirOnly, pattern = true, pattern[:len(pattern)-1]
	}
	r.anchored = strings.Contains(pattern, "/")
	pattern = strings.TrimPrefix(pattern, "/")
	if syntax == DVC {
		pattern = r.normalize(pattern, root)
	}
	if pattern == "" {
		r.glob = glob{never: true}
		return r, true
	}
	r.glob = compileGlob(pattern, syntax == DVC, syntax == Git && r.anchored)
	return r, true
}

// normalize does to a pattern (without ! and the outer slashes) what DVC's
// pattern library does before it matches; "" means that nothing matches.
func (r *Rule) normalize(pattern string, root bool) string {
	parts := slices.CompactFunc(strings.Split(pattern, "/"), func(a, b string) bool { return a == "**" && b == "**" })
	pattern = strings.Join(parts, "/")
	everything := pattern == "**" || !r.anchored && pattern == "*" || pattern == "**/*"
	switch {
	case root && everything && r.DirOnly, root && pattern == "**/*/**":
		return "" // its regular expression for these looks for a slash at the start
	case everything:
		return "**"
	}
	if above, ok := strings.CutSuffix(pattern, "/**"); ok {
		r.below = true
		return above
	}
	return pattern
}

// trimTrailingSpaces drops spaces at the end that no backslash protects.
func trimTrailingSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			end = min(i+1, len(line))
		} else if line[i] != ' ' {
			end = i + 1
		}
	}
	return line[:end]
}

// matches tells whether the rule speaks about rel, a path relative to the
// folder of the rule's file.
func (r *Rule) matches(rel string, isDir bool) bool {
	if r.DirOnly && !isDir {
		return false
	}
	if r.syntax == Git {
		return r.matchesExactly(rel)
	}
	if (isDir || !r.below) && r.matchesExactly(rel) {
		return true
	}
	for i := strings.LastIndexByte(rel, '/'); i > 0; i = strings.LastIndexByte(rel[:i], '/') {
		if r.matchesExactly(rel[:i]) {
			return true
		}
	}
	return false
}

func (r *Rule) matchesExactly(rel string) bool {
	if !r.anchored {
		rel = path.Base(rel)
	}
	return r.glob.match(rel)
}
