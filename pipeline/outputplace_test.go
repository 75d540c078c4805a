package pipeline

import (
	"testing"

	"ctrx/internal/errs"
)

func TestCheckDataPath(t *testing.T) {
	for _, rel := range []string{"a", "a/b c", "a..b", ".gitx/f", "x/dvc", "é"} {
		if err := checkDataPath(rel); err != nil {
			t.Errorf("%q: %v", rel, err)
		}
	}
	for _, rel := range []string{".", "..", "../a", "/etc/passwd", ".git/hooks/x", "a/.GIT/x", ".dvc/config", "a/.dvc/config", ".git. /x", "git~1/x", "a\nb", "a\x1b[31m", "a/\x7f", "a\xff"} {
		if err := checkDataPath(rel); errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%q is taken: %v", rel, err)
		}
	}
}

func TestPairRenames(t *testing.T) {
	old, now := newDataTree(), newDataTree()
	old.nodes["d/a"], old.nodes["d/b"], old.nodes["d/c"] = dataNode{digest: "1"}, dataNode{digest: "1"}, dataNode{digest: "2"}
	now.nodes["e/z"], now.nodes["e/y"], now.nodes["f"] = dataNode{digest: "1"}, dataNode{digest: "3"}, dataNode{digest: "1", legacy: true}
	var got []string
	for _, c := range compareTrees(old, now, byDigest) {
		got = append(got, changeWords[c.kind]+" "+c.oldRel+" "+c.rel)
	}
	want := []string{"added e/y e/y", "renamed d/a e/z", "added f f", "deleted d/b d/b", "deleted d/c d/c"}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %q, want %q", i, got[i], want[i])
		}
	}
}
