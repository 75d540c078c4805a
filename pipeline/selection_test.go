package pipeline

import (
	"slices"
	"testing"

	"ctrx/pipeline/dvcfile"
)

func TestRecordedInputs(t *testing.T) {
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
	for _, in := range (&Project{}).RecordedInputs(ix, ix.Stages) {
		text := in.Rel
		if in.Made != nil {
			text += " made by " + in.Made.Name
		}
		for _, r := range in.Readers {
			text += " for " + r.Name
		}
		got = append(got, text)
	}
	if want := []string{"../above for b", "data.csv for a", "raw for a for b", "b made by b for c", "dir/x made by a for b"}; !slices.Equal(got, want) {
		t.Errorf("inputs %q, want %q", got, want)
	}
}
