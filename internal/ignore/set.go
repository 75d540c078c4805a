// Package ignore answers one question: does an ignore file exclude this path?
//
// It knows the language of gitignore(5) and two users of it: Git itself
// (NewGit: .gitignore in every folder, plus .git/info/exclude and the user's
// own file) and DVC (NewDVC: .dvcignore in every folder, plus a few built-in
// rules). A Set reads the files of a folder when a path in it is first asked
// about, never before, so that asking about one path in a large repository is
// cheap. Add and Remove edit a .gitignore the way DVC does.
//
// Paths are relative to the root of the Set and separated by slashes.
package ignore

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
)

// File is an ignore file that is not found by walking: its rules count as if
// they stood in the root, before those of the root's own file.
type File struct {
	Name string // how Rule.Source names it
	Data []byte
}

// Set holds the rules of a tree. It is safe for concurrent use. It remembers
// what it has read: after ignore files changed, call Forget.
type Set struct {
	fsys   fs.FS
	name   string
	syntax Syntax
	base   []Rule

	mu   sync.Mutex
	dirs map[string]*folder
	errs []error
}

// folder is what is known about one folder.
type folder struct {
	ignored bool
	rule    Rule     // the reason, when ignored
	levels  []*level // rules for the folder's children, weakest first
}

// NewGit makes the Set of a Git work tree. The extra files are the ones that
// no folder holds, weakest first: core.excludesFile, .git/info/exclude.
func NewGit(fsys fs.FS, extra ...File) *Set {
	s := &Set{fsys: fsys, name: ".gitignore", syntax: Git, dirs: map[string]*folder{}}
	for _, f := range extra {
		s.base = append(s.base, ParseRules(f.Name, f.Data, Git)...)
	}
	return s
}

// NewDVC makes the Set of a DVC repository: .hg/, .git/, .git and .dvc/ of the
// root are always ignored, and so is every folder that is a DVC repository of
// its own. The file system may be a folder or the tree of a commit.
func NewDVC(fsys fs.FS) *Set {
	s := &Set{fsys: fsys, name: ".dvcignore", syntax: DVC, dirs: map[string]*folder{}}
	for _, pattern := range []string{".hg/", ".git/", ".git", ".dvc/"} {
		r, _ := parseRule(pattern, DVC, true)
		s.base = append(s.base, r)
	}
	return s
}

// Ignored tells whether a path is excluded, itself or through a folder above.
// The root is not, and neither is a path outside of it.
func (s *Set) Ignored(rel string, isDir bool) bool {
	_, ignored := s.Match(rel, isDir)
	return ignored
}

// Match is Ignored that also gives the rule that decided; the zero Rule where
// none matched. A Rule with Negated set decided that the path is not ignored.
func (s *Set) Match(rel string, isDir bool) (Rule, bool) {
	rel = path.Clean(rel)
	if rel == "." || rel == ".." || strings.HasPrefix(rel, "../") || strings.HasPrefix(rel, "/") {
		return Rule{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.match(rel, isDir)
}

// Forget drops what was read, so that edited files count.
func (s *Set) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs, s.errs = map[string]*folder{}, nil
}

// learn takes in that a line was appended to the ignore file of a folder: one
// that Add writes, which concerns one path only. All else that was read stays;
// reading thousands of lines again for each new one would take long.
func (s *Set) learn(file string, number int, line string) {
	dir, name := path.Split(file)
	dir = path.Clean(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known := s.dirs[dir]
	r, ok := parseRule(line, s.syntax, dir == ".")
	if !known || !ok || f.ignored || s.syntax != Git || name != s.name {
		s.dirs = map[string]*folder{}
		return
	}
	r.Source, r.Line = file, number
	own := dir
	if dir == "." {
		own = ""
	}
	if n := len(f.levels); n > 0 && f.levels[n-1].dir == own && len(f.levels[n-1].rules) > 0 && f.levels[n-1].rules[0].Source == file {
		f.levels[n-1].add(r)
	} else {
		f.levels = append(f.levels[:n:n], &level{dir: own, rules: []Rule{r}})
	}
	at := path.Join(dir, r.glob.literal)
	for d := range s.dirs {
		if r.glob.literal == "" || d == at || strings.HasPrefix(d, at+"/") {
			delete(s.dirs, d)
		}
	}
}

// Err gives what went wrong while reading ignore files so far. Such files
// count as empty, as in Git; a caller that must be sure asks here.
func (s *Set) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *Set) match(rel string, isDir bool) (Rule, bool) {
	parent := s.folder(path.Dir(rel))
	if parent.ignored {
		return parent.rule, true
	}
	if isDir && s.syntax == DVC && s.exists(path.Join(rel, ".dvc")) {
		return Rule{Pattern: "/" + path.Base(rel) + "/", Source: "in sub_repo:" + path.Base(rel), DirOnly: true}, true
	}
	for i := len(parent.levels) - 1; i >= 0; i-- {
		l := parent.levels[i]
		in := rel
		if l.dir != "" {
			in = rel[len(l.dir)+1:]
		}
		if j := l.last(in, isDir); j >= 0 {
			return s.reported(l.rules, j, in, isDir), !l.rules[j].Negated
		}
	}
	return Rule{}, false
}

// reported gives the rule that is shown for a match of rules[j]. Git shows
// the last one that matches. DVC joins neighbours of one sort into one regular
// expression, and so shows the first of these that matches.
func (s *Set) reported(rules []Rule, j int, rel string, isDir bool) Rule {
	shown := rules[j]
	if s.syntax == Git || shown.Negated {
		return shown
	}
	for i := j - 1; i >= 0 && !rules[i].Negated && rules[i].DirOnly == rules[j].DirOnly; i-- {
		if rules[i].matches(rel, isDir) {
			shown = rules[i]
		}
	}
	return shown
}

// folder reads what applies to the children of dir ("." is the root).
func (s *Set) folder(dir string) *folder {
	if f, ok := s.dirs[dir]; ok {
		return f
	}
	f := &folder{}
	s.dirs[dir] = f
	own := ""
	if dir == "." {
		if len(s.base) > 0 {
			f.levels = []*level{{rules: s.base}}
		}
	} else {
		own = dir
		if f.rule, f.ignored = s.match(dir, true); f.ignored {
			return f
		}
		f.levels = s.folder(path.Dir(dir)).levels
	}
	file := path.Join(dir, s.name)
	if s.syntax == DVC {
		// An ignored .dvcignore does not count. Its own folder's rules are what
		// decides, so they must not be there yet.
		if _, ignored := s.match(file, false); ignored {
			return f
		}
	}
	if rules := s.read(file, dir == "."); len(rules) > 0 {
		f.levels = append(f.levels[:len(f.levels):len(f.levels)], &level{dir: own, rules: rules})
	}
	return f
}

func (s *Set) read(file string, root bool) []Rule {
	data, err := fs.ReadFile(s.fsys, file)
	if err != nil {
		// A missing folder, a file in the place of one, and a folder in the place
		// of the file are all "no ignore file here".
		if info, statErr := fs.Stat(s.fsys, file); statErr == nil && !info.IsDir() {
			s.errs = append(s.errs, err)
		}
		return nil
	}
	return parseRules(file, data, s.syntax, root)
}

func (s *Set) exists(name string) bool {
	_, err := fs.Stat(s.fsys, name)
	return err == nil
}
