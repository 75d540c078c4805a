package ignore

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ctrx/internal/testreq"
)

func TestMatch(t *testing.T) {
	type want map[string]bool // a path that ends in / is a folder
	tests := []struct {
		name  string
		files map[string]string
		want  want
	}{
		{"name anywhere", map[string]string{"": "*.o\nbuild\n"},
			want{"a.o": true, "x/y/a.o": true, "build": true, "x/build/": true, "x/build/f": true, "a.oo": false}},
		{"anchored", map[string]string{"": "/a\nb/c\n"},
			want{"a": true, "x/a": false, "b/c": true, "x/b/c": false}},
		{"folders only", map[string]string{"": "d/\n"},
			want{"d": false, "d/": true, "d/x": true, "x/d/y": true}},
		{"stars", map[string]string{"": "**/foo/x\na/**\nb/**/c\n/p*q\n"},
			want{"foo/x": true, "z/foo/x": true, "zfoo/x": false, "a/": false, "a/1/2": true, "b/c": true, "b/1/2/c": true, "bc": false, "pq": true, "p/q": false}},
		{"negation", map[string]string{"": "*.log\n!keep.log\nd/\n!d/keep.log\n"},
			want{"a.log": true, "keep.log": false, "x/keep.log": false, "d/keep.log": true}},
		{"nested file wins", map[string]string{"": "*.log\n", "sub": "!a.log\n/only\n"},
			want{"sub/a.log": false, "sub/x/a.log": false, "a.log": true, "sub/only": true, "sub/x/only": false, "only": false}},
		{"classes", map[string]string{"": "[a-c]1\n[!x]2\n[]]3\n[[:digit:]]4\n[b-]5\n[\\]]6\n[x\n"},
			want{"a1": true, "d1": false, "a2": true, "x2": false, "]3": true, "94": true, "a4": false, "-5": true, "]6": true, "[x": false}},
		{"escapes", map[string]string{"": "\\!bang\n\\#hash\na\\*b\nsp\\ \ntrail   \nback\\\n"},
			want{"!bang": true, "#hash": true, "a*b": true, "axb": false, "sp ": true, "trail": true, "back": false, "back\\": false}},
		{"comments, blanks, CRLF, BOM", map[string]string{"": "\ufeff# c\r\n\r\nx\r\n#y\n"},
			want{"x": true, "#y": false, "y": false}},
		{"root slash", map[string]string{"": "/\n!\n//\n"}, want{"a": false}},
		{"a question mark is no slash", map[string]string{"": "a?b\n"}, want{"a/b": false, "axb": true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := NewGit(ignoreFiles(".gitignore", tt.files))
			for p, want := range tt.want {
				if got := set.Ignored(strings.TrimSuffix(p, "/"), strings.HasSuffix(p, "/")); got != want {
					t.Errorf("Ignored(%q) = %v, want %v", p, got, want)
				}
			}
			if err := set.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func ignoreFiles(name string, files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for dir, content := range files {
		fsys[strings.TrimPrefix(dir+"/"+name, "/")] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

func TestExtraFilesAreWeakest(t *testing.T) {
	fsys := fstest.MapFS{".gitignore": {Data: []byte("!b\n")}}
	set := NewGit(fsys, File{"user", []byte("a\nb\nc\n")}, File{"exclude", []byte("!c\n")})
	for p, want := range map[string]bool{"a": true, "b": false, "c": false} {
		if got := set.Ignored(p, false); got != want {
			t.Errorf("Ignored(%q) = %v, want %v", p, got, want)
		}
	}
	if r, _ := set.Match("a", false); r.Source != "user" || r.Line != 1 {
		t.Errorf("Match(a) = %+v", r)
	}
}

func TestOutsideIsNotIgnored(t *testing.T) {
	set := NewGit(fstest.MapFS{".gitignore": {Data: []byte("*\n")}})
	for _, p := range []string{".", "", "..", "../a", "/a", "a/../.."} {
		if set.Ignored(p, false) {
			t.Errorf("Ignored(%q)", p)
		}
	}
}

func TestDVC(t *testing.T) {
	fsys := ignoreFiles(".dvcignore", map[string]string{
		"":        "*/\n*.tmp\n  spaced  \nfoo/**\n!/un\nun.tmp\n!un\nq[0-9]\n",
		"nested":  "*/x\n/here\n!a.tmp\n",
		"hidden":  "!deep.tmp\n",
		"sub/dir": "keep\n",
	})
	fsys["repo/.dvc/config"] = &fstest.MapFile{}
	fsys["hidden2/.dvcignore"] = &fstest.MapFile{Data: []byte("!b.tmp\n")}
	fsys[".dvcignore"].Data = append(fsys[".dvcignore"].Data, "/hidden2/.dvcignore\n"...)
	set := NewDVC(fsys)
	tests := map[string]bool{
		".git/": true, ".git": true, ".git/config": true, ".hg/": true, ".hg": false, ".dvc/": true, ".dvc/tmp/x": true,
		"x/.git/": true, "repo/": true, "repo/data": true, "plain/": false,
		"a.tmp": true, "nested/a.tmp": false, "nested/b/a.tmp": false, "nested/b.tmp": true, "nested/here": true, "nested/z/here": false,
		"nested/y/x": true, "nested/x": false, "spaced": true,
		"foo/": true, "foo/a": true, "foo": false, "un/a.tmp": false, "un/a": false, "hidden2/b.tmp": true, "q7": true, "sub/dir/keep": true, "sub/keep": false,
	}
	for p, want := range tests {
		if got := set.Ignored(strings.TrimSuffix(p, "/"), strings.HasSuffix(p, "/")); got != want {
			t.Errorf("Ignored(%q) = %v, want %v", p, got, want)
		}
	}
}

func TestRuleThatDVCReports(t *testing.T) {
	set := NewDVC(fstest.MapFS{".dvcignore": {Data: []byte("*.a\nx.*\n!y.a\ny*\n")}})
	for p, want := range map[string]string{"x.a": "*.a", "y.a": "y*"} {
		r, ignored := set.Match(p, false)
		if r.Pattern != want || !ignored || r.Source != ".dvcignore" {
			t.Errorf("Match(%q) = %+v, want pattern %q", p, r, want)
		}
	}
	if r, ignored := set.Match("b", false); ignored || r.Pattern != "" {
		t.Errorf("Match(b) = %+v, %v", r, ignored)
	}
}

func TestManyStarsAreFast(t *testing.T) {
	g := compileGlob(strings.Repeat("*a", 40)+"**/"+strings.Repeat("*b", 40), false, false)
	if g.match(strings.Repeat("ab", 2000)) {
		t.Error("matched")
	}
}

// The alphabet is small on purpose: patterns must meet paths.
func TestAsGitCheckIgnore(t *testing.T) {
	seed := int64(20240817)
	r := rand.New(rand.NewSource(seed))
	root := t.TempDir()
	git(t, root, "init", "-q")
	names := []string{"a", "b", "ab", "a.b", "a b", "-", "[a", "ba", "c!", "#c"}
	var paths []string
	for _, x := range names {
		for _, y := range append(names[:4:4], "") {
			for _, z := range append(names[:3:3], "") {
				if y == "" && z != "" {
					continue
				}
				p := strings.TrimRight(x+"/"+y+"/"+z, "/")
				paths = append(paths, p)
			}
		}
	}
	for round := range 60 {
		write := func(dir string) {
			var lines []string
			for range 1 + r.Intn(6) {
				lines = append(lines, randomPattern(r))
			}
			file := filepath.Join(root, dir, ".gitignore")
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write("")
		write("a")
		write("ab/b")
		want := checkIgnore(t, root, paths)
		set := NewGit(os.DirFS(root))
		for _, p := range paths {
			info, err := os.Stat(filepath.Join(root, p))
			rule, got := set.Match(p, err == nil && info.IsDir())
			rule2 := fmt.Sprintf("%s:%d:%s", rule.Source, rule.Line, rule.Pattern)
			if rule.Line == 0 {
				rule2 = "::"
			}
			if w := want[p]; w != rule2 {
				root, _ := os.ReadFile(filepath.Join(root, ".gitignore"))
				t.Errorf("round %d: %q: got %s (%v), git says %s; root file:\n%s", round, p, rule2, got, w, root)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func randomPattern(r *rand.Rand) string {
	parts := []string{"a", "b", "*", "**", "/", "?", "[ab]", "[!a]", "[a-b]", "\\a", ".", "a", "/", "[", "]", "!", " ", "\\", "#", "[[:alpha:]]", "[]a]", "[^b-]"}
	var b strings.Builder
	if r.Intn(4) == 0 {
		b.WriteString("!")
	}
	for range 1 + r.Intn(5) {
		b.WriteString(parts[r.Intn(len(parts))])
	}
	if r.Intn(4) == 0 {
		b.WriteString("/")
	}
	return b.String()
}

// checkIgnore gives the deciding rule that Git reports for each path.
func checkIgnore(t *testing.T, root string, paths []string) map[string]string {
	cmd := exec.CommandContext(t.Context(), "git", "check-ignore", "-v", "-n", "-z", "--no-index", "--stdin")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "XDG_CONFIG_HOME="+root)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatal(err)
	}
	fields := strings.Split(string(out), "\x00")
	result := map[string]string{}
	for i := 0; i+3 < len(fields); i += 4 {
		result[fields[i+3]] = fields[i] + ":" + fields[i+1] + ":" + fields[i+2]
	}
	if len(result) != len(paths) {
		t.Fatalf("git answered %d of %d paths", len(result), len(paths))
	}
	return result
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func FuzzIgnore(f *testing.F) {
	f.Add("*.o\n!a/**/b\n[a-z", "a/b/c.o")
	f.Add("\\", "\\")
	f.Add("[[:alpha:]\n**/", "x/y")
	f.Fuzz(func(t *testing.T, content, p string) {
		for _, syntax := range []Syntax{Git, DVC} {
			for _, r := range ParseRules("f", []byte(content), syntax) {
				r.matches(p, true)
				r.matches(p, false)
			}
		}
		if !fsPath(p) {
			return
		}
		// What is below an ignored folder is ignored.
		set := NewGit(fstest.MapFS{".gitignore": {Data: []byte(content)}})
		if set.Ignored(p, true) && !set.Ignored(p+"/below", false) {
			t.Errorf("%q is ignored but not what is below", p)
		}
	})
}

func fsPath(p string) bool {
	return p != "" && p == filepath.ToSlash(filepath.Clean(p)) && !strings.HasPrefix(p, ".") && !strings.HasPrefix(p, "/")
}

func TestAsDVCCheckIgnore(t *testing.T) {
	testreq.Need(t, testreq.DVC)
	r := rand.New(rand.NewSource(7))
	root := t.TempDir()
	git(t, root, "init", "-q")
	dvc := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "dvc", args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1")
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
			t.Fatalf("dvc %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	dvc("", "init", "-q")
	var paths []string
	for _, x := range []string{"a", "b", "ab", "a.b", "-"} {
		for _, y := range []string{"a", "b", "ab"} {
			for _, z := range []string{"a", "b", "b.a"} {
				dir := filepath.Join(root, x, y)
				if err := os.MkdirAll(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, z), nil, 0o666); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, x+"/"+y+"/"+z)
			}
			paths = append(paths, x+"/"+y)
		}
		paths = append(paths, x)
	}
	for round := range 6 {
		for _, dir := range []string{"", "a", "ab/b"} {
			var lines []string
			for range 1 + r.Intn(5) {
				lines = append(lines, dvcPattern(r))
			}
			if err := os.WriteFile(filepath.Join(root, dir, ".dvcignore"), []byte(strings.Join(lines, "\n")), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		ignored := map[string]bool{}
		for line := range strings.Lines(dvc(strings.Join(paths, "\n")+"\n", "check-ignore", "--stdin")) {
			ignored[strings.TrimSuffix(line, "\n")] = true
		}
		set := NewDVC(os.DirFS(root))
		for _, p := range paths {
			info, err := os.Stat(filepath.Join(root, p))
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Ignored(p, info.IsDir()); got != ignored[p] {
				var files string
				for _, dir := range []string{"", "a", "ab/b"} {
					data, _ := os.ReadFile(filepath.Join(root, dir, ".dvcignore"))
					files += fmt.Sprintf("%s/.dvcignore: %q\n", dir, data)
				}
				t.Errorf("round %d: Ignored(%q) = %v, dvc says %v\n%s", round, p, got, ignored[p], files)
				break
			}
		}
	}
}

// dvcPattern leaves out what DVC fails on or re-bases wrongly from a nested
// file: escapes, `[a/b]`, several slashes in a row, an empty pattern.
func dvcPattern(r *rand.Rand) string {
	elements := []string{"a", "b", "*", "**", "?", "[ab]", "[!a]", "a*", "*b", "*.a", "ab", "**", "a.b"}
	var parts []string
	for range 1 + r.Intn(3) {
		parts = append(parts, elements[r.Intn(len(elements))])
	}
	p := strings.Join(parts, "/")
	if r.Intn(4) == 0 {
		p = "/" + p
	}
	if r.Intn(4) == 0 {
		p += "/"
	}
	if r.Intn(3) == 0 {
		p = "!" + p
	}
	return p
}
