package gitops

import (
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// A patch leads from a commit to exactly the tree that it was made for,
// whatever changed, and whatever the user set for his own diffs.
func TestDiffAndApply(t *testing.T) {
	r, dir := sampleRepo(t)
	shell(t, dir, `git config diff.noprefix true; git config diff.external false; git config diff.renames copies; git config apply.whitespace fix
		printf 'no newline, trailing blank ' >a; printf '\000\377binary\n' >d/b; rm d/e/c; ln -sf d/b link; chmod -x run.sh
		printf 'x\r\n' >crlf; printf 'n' >"od d
"; cp run.sh "ünï"; mkdir deep; : >deep/empty; printf '\000new' >bin; git add -A -f`)
	tree, err := r.WriteTree(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Diff(t.Context(), PatchSpec{From: "HEAD", To: tree, Limit: 1 << 20})
	if err != nil || len(p.LeftOut) > 0 {
		t.Fatal(p.LeftOut, err)
	}
	index := shell(t, dir, "git ls-files -s | md5sum; git status --porcelain | md5sum")
	got, err := r.Apply(t.Context(), "HEAD", p.Text)
	if err != nil || got != tree {
		t.Errorf("applied: %s, %v; want %s\n%s", got, err, tree, p.Text)
	}
	if now := shell(t, dir, "git ls-files -s | md5sum; git status --porcelain | md5sum"); now != index {
		t.Error("the user's index or files changed")
	}
	if !r.WholeTree(got) || r.WholeTree(strings.Repeat("1", 40)) {
		t.Error("WholeTree is wrong")
	}
	whole, err := r.Diff(t.Context(), PatchSpec{To: tree, Limit: 1 << 20}) // before the first commit
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Apply(t.Context(), "", whole.Text); err != nil || got != tree {
		t.Errorf("from nothing: %s, %v", got, err)
	}
	if same, err := r.Diff(t.Context(), PatchSpec{From: "HEAD", To: strings.TrimSpace(shell(t, dir, "git rev-parse HEAD^{tree}")), Limit: 0}); err != nil || len(same.Text)+len(same.LeftOut) > 0 {
		t.Errorf("no change makes %q, %v", same.Text, err)
	}
	if _, err := r.Apply(t.Context(), "", p.Text); errs.KindOf(err) != errs.DataCorrupt {
		t.Errorf("a patch for another commit: %v", err)
	}
}

// What is too large, and what is refused, is left out and named.
func TestDiffLeavesOut(t *testing.T) {
	r, dir := sampleRepo(t)
	shell(t, dir, `for i in 1 2 3; do head -c ${i}000 /dev/zero | tr '\0' x >f$i; done; echo secret >d/b; rm a; git add -A`)
	tree, err := r.WriteTree(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Diff(t.Context(), PatchSpec{From: "HEAD", To: tree, Limit: 3500, Refuse: func(path string, content []byte) bool {
		return path == "d/b" && string(content) == "secret\n"
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.LeftOut) != 2 || p.LeftOut[0] != (PatchOmission{"d/b", 7, true}) || p.LeftOut[1] != (PatchOmission{"f3", 3000, false}) {
		t.Errorf("left out: %+v", p.LeftOut)
	}
	got, err := r.Apply(t.Context(), "HEAD", p.Text)
	if err != nil {
		t.Fatal(err)
	}
	if names := shell(t, dir, "git ls-tree -r --name-only "+got); names != "d/b\nd/e/c\nf1\nf2\nlink\nrun.sh\n" {
		t.Errorf("the patch leads to %q", names)
	}
	if strings.Contains(string(p.Text), "secret") {
		t.Error("what was refused is in the patch")
	}
}
