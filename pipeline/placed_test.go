package pipeline

import "testing"

func TestPlacesOverlap(t *testing.T) {
	all := placesOf(&Index{Stages: []*Stage{{Outs: []*Output{{Rel: "a/b/c"}, {Rel: "top"}, {Rel: "../out"}}}}})
	for rel, want := range map[string]bool{
		"a/b/c": true, "a/b": true, "a": true, "a/b/c/d/e": true, "top": true, "top/x": true,
		"a/b/d": false, "a/bc": false, "tops": false, "other/x": false,
	} {
		if got := all.overlaps(rel); got != want {
			t.Errorf("%s: %v", rel, got)
		}
	}
	if !placesOf(&Index{Stages: []*Stage{{Outs: []*Output{{Rel: "."}}}}}).overlaps("x/y") {
		t.Error("the whole project is an output")
	}
}
