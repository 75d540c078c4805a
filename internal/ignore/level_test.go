package ignore

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManyRules: the index gives what looking at every rule gives.
func TestManyRules(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 20 {
		var lines []string
		for range manyRules + r.Intn(40) {
			lines = append(lines, randomPattern(r))
		}
		l := &level{rules: ParseRules("f", []byte(strings.Join(lines, "\n")), Git)}
		for _, p := range []string{"a", "b", "ab", "a/b", "a b", "[a", "a/a/b", "b/a", "aa"} {
			for _, isDir := range []bool{false, true} {
				if got, want := l.last(p, isDir), l.before(len(l.rules), p, isDir); got != want {
					t.Errorf("%s (folder: %v): rule %d, want %d of\n%s", p, isDir, got, want, strings.Join(lines, "\n"))
				}
			}
		}
	}
}

// TestAddToMany: what is remembered while lines are added is what is read anew.
func TestAddToMany(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"sub/dir", "new"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "sub/.gitignore"), []byte("*.log\n\n# c\n/x/\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	set := NewGit(os.DirFS(root))
	var paths []string
	for i := range 2 * manyRules {
		paths = append(paths, fmt.Sprintf("out%d", i), fmt.Sprintf("sub/out%d", i), fmt.Sprintf("sub/dir/[%d]", i), fmt.Sprintf("new/%d.log", i))
	}
	for _, p := range append(paths, "sub/dir", "sub/x") {
		set.Ignored(p+"/below", false) // so that it is remembered
		if file, err := Add(root, p, false, set); err != nil || file == "" {
			t.Fatalf("add %s: %q, %v", p, file, err)
		}
	}
	fresh := NewGit(os.DirFS(root))
	for _, p := range append(paths, "sub/dir", "sub/x", "sub/a.log", "new", "other") {
		for _, below := range []string{p, p + "/below"} {
			rule, got := set.Match(below, false)
			wantRule, want := fresh.Match(below, false)
			if got != want || rule.Source != wantRule.Source || rule.Line != wantRule.Line {
				t.Errorf("%s: %v by %s:%d, want %v by %s:%d", below, got, rule.Source, rule.Line, want, wantRule.Source, wantRule.Line)
			}
		}
	}
}
