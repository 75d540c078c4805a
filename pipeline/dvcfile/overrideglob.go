package dvcfile

import (
	"path"
	"slices"
	"strings"
)

// Glob is glob(include, exclude=...): the options of a config group by shell
// patterns.
type Glob struct {
	Include []string
	Exclude []string
}

// Match tells whether a name is meant.
func (g Glob) Match(name string) bool {
	matches := func(pattern string) bool {
		ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
		return ok && err == nil
	}
	return slices.ContainsFunc(g.Include, matches) && !slices.ContainsFunc(g.Exclude, matches)
}

// ParseGlob reads a -S argument whose value is glob(...). It gives nil for any
// other argument, also for one that is wrong: ParseOverride says how.
func ParseGlob(arg string) (*Override, *Glob) {
	file, rest := SplitOverride(arg)
	parsed, err := parseAnyOverride(file, rest)
	if err != nil {
		return nil, nil
	}
	g, ok := parsed.value.(*globSweep)
	if !ok {
		return nil, nil
	}
	return &parsed.Override, &g.Glob
}

// WithOptions is the argument with a list of options in place of its glob().
func (o Override) WithOptions(options []string) string {
	list := make([]string, len(options))
	for i, option := range options {
		list[i] = option
		if kind, n := nextHydraToken(option); kind != hID || n != len(option) {
			list[i] = quotedText{text: option, quote: '\''}.withQuotes()
		}
	}
	return o.keyText() + "=choice(" + strings.Join(list, ",") + ")"
}
