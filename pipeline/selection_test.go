package pipeline

import (
	"slices"
	"testing"

	"ctrx/pipeline/dvcfile"
)

func TestInputs(t *testing.T) {
	a, b, c := node("a", "raw data.csv", "dir"), node("b", "raw dir/x ../above", "b"), node("c", "dir2 b", "c")
	data := node("", "", "data.csv")
	data.Data = &dvcfile.DataFile{}
	for _, s := range []*Stage{a, b, c} {
		for _, d := range s.Deps {
			d.Recorded = &dvcfile.Entry{Path: d.Path, Digest: "0123456789abcdef0123456789abcdef"}
		}
	}
	c.Deps[0].Recorded = nil // never recorded
	ix := &Index{Stages: []*Stage{a, b, c, data}}
	var got []string
	for _, in := range ix.Inputs() {
		got = append(got, in.Rel)
	}
	if want := []string{"raw", "data.csv", "../above"}; !slices.Equal(got, want) {
		t.Errorf("inputs %q, want %q", got, want)
	}
}
