package gitops

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"ctrx/internal/errs"
)

func TestTree(t *testing.T) {
	s := newSandbox(t)
	s.write("a", "1", "d/b", "22", "d/e/c", "333", "d.x", "4")
	first := s.commit("one")
	s.write("a", "changed")
	s.commit("two")
	s.git("gc", "-q")
	s.write("a", "work tree")
	r := s.open()
	tree := mustTree(t, r, first)
	if err := fstest.TestFS(tree, "a", "d/b", "d/e/c", "d.x"); err != nil {
		t.Error(err)
	}
	if data, err := tree.ReadFile("a"); err != nil || string(data) != "1" {
		t.Errorf("a: %q, %v", data, err)
	}
	if _, err := tree.ReadFile("d/nope"); !isNotExist(err) {
		t.Errorf("d/nope: %v", err)
	}
	if _, err := tree.ReadFile("a/below"); !isNotExist(err) {
		t.Errorf("a/below: %v", err)
	}
	if info, err := tree.Stat("d/e/c"); err != nil || info.Size() != 3 || info.IsDir() {
		t.Errorf("d/e/c: %v, %v", info, err)
	}
	if info, err := tree.Stat("d"); err != nil || !info.IsDir() {
		t.Errorf("d: %v, %v", info, err)
	}
	list, err := tree.List("d")
	if err != nil || strings.Join(list, " ") != "d/b d/e/c" {
		t.Errorf("List(d): %q, %v", list, err)
	}
	var walked []string
	check(t, tree.Walk(func(name string, e fs.DirEntry, err error) error {
		walked = append(walked, name)
		return err
	}))
	if strings.Join(walked, " ") != ". a d d/b d/e d/e/c d.x" {
		t.Errorf("walked %q", walked)
	}
	if tree.Hash() != s.git("rev-parse", first+"^{tree}") || tree.Commit() != first {
		t.Errorf("hashes %s %s", tree.Hash(), tree.Commit())
	}
	if _, err := r.Tree("nope"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown revision: %v", err)
	}
}

func isNotExist(err error) bool {
	return err != nil && strings.Contains(err.Error(), fs.ErrNotExist.Error())
}
