package ignore

// level is the rules of one file and the folder they are relative to.
type level struct {
	dir   string // "" for the root
	rules []Rule

	// A .gitignore with a line for each of thousands of outputs is looked
	// through by index: literals has the last rule for a path without wildcards,
	// others has the rest. nil while there are few rules.
	literals map[string]int
	others   []int
}

// manyRules is the number of rules from which on an index pays.
const manyRules = 32

// last gives the index of the last rule that matches, or -1. rel is relative to
// the level's folder.
func (l *level) last(rel string, isDir bool) int {
	if l.literals == nil {
		if len(l.rules) < manyRules || l.rules[0].syntax != Git {
			return l.before(len(l.rules), rel, isDir)
		}
		l.literals = make(map[string]int, len(l.rules))
		for j := range l.rules {
			l.enter(j)
		}
	}
	found := -1
	if j, ok := l.literals[rel]; ok {
		// Where that rule is for folders only, an earlier one may match.
		if found = j; !l.rules[j].matches(rel, isDir) {
			found = l.before(j, rel, isDir)
		}
	}
	for i := len(l.others) - 1; i >= 0 && l.others[i] > found; i-- {
		if l.rules[l.others[i]].matches(rel, isDir) {
			return l.others[i]
		}
	}
	return found
}

// before gives the index of the last rule before j that matches, or -1.
func (l *level) before(j int, rel string, isDir bool) int {
	for j--; j >= 0 && !l.rules[j].matches(rel, isDir); j-- {
	}
	return j
}

func (l *level) enter(j int) {
	r := &l.rules[j]
	if r.anchored && r.glob.literal != "" {
		l.literals[r.glob.literal] = j
		return
	}
	l.others = append(l.others, j)
}

// add appends a rule.
func (l *level) add(r Rule) {
	l.rules = append(l.rules, r)
	if l.literals != nil {
		l.enter(len(l.rules) - 1)
	}
}
