package ctr

import (
	"math"
	"strings"
	"testing"
)

func TestMeanEncoding(t *testing.T) {
	for _, test := range []struct {
		name       string
		categories string // separated by spaces
		clicks     string
		encode     string
		want       []float64
	}{
		// A has clicks only, so it gets the mean of 2/3 and 1/2.
		{"one class", "A B C C B B", "100111", "A B C C B B", []float64{7. / 12, 2. / 3, .5, .5, 2. / 3, 2. / 3}},
		{"unseen", "B B B C C", "11010", "B C Z", []float64{2. / 3, .5, 7. / 12}},
		{"never clicked", "A A B B", "0001", "A B", []float64{.5, .5}},
		{"nothing to encode", "A B C D", "1000", "A Z", []float64{.25, .25}},
		{"categories count once", "A A A A A A A A B B", "0111111101", "Z", []float64{(.875 + .5) / 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var counter MeanCounter
			for i, category := range strings.Fields(test.categories) {
				counter.Add(category, test.clicks[i] == '1')
			}
			encoding := counter.Encoding()
			for i, category := range strings.Fields(test.encode) {
				if got := encoding.Value(category); math.Abs(got-test.want[i]) > 1e-15 {
					t.Errorf("%s is %v, want %v", category, got, test.want[i])
				}
			}
		})
	}
	var nothing MeanCounter
	if v := nothing.Encoding().Value("A"); v != 0 {
		t.Errorf("an encoding of no rows gives %v, want 0", v)
	}
}
