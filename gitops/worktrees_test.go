package gitops

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every work tree knows the others: the main one, linked ones, not one whose
// folder is gone.
func TestWorkTrees(t *testing.T) {
	s := newSandbox(t)
	s.write("f", "1")
	s.commit("base")
	root, err := filepath.EvalSymlinks(s.root)
	check(t, err)
	beside, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	a, b, gone := filepath.Join(beside, "a"), filepath.Join(beside, "b"), filepath.Join(beside, "gone")
	for _, w := range []string{a, b, gone} {
		s.git("worktree", "add", "-q", "--detach", w)
	}
	check(t, os.Rename(gone, gone+"-elsewhere"))
	for from, want := range map[string][]string{root: {a, b}, a: {root, b}, b: {root, a}} {
		got, err := s.openAt(from).WorkTrees()
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("from %s: %v, %v, want %v", from, got, err, want)
		}
	}
}
