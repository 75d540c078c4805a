package svg

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"gonum.org/v1/plot/plotter"
)

// The vectors were made by Vega itself with testdata/make_loess.js.
func TestLoess(t *testing.T) {
	b, err := os.ReadFile("testdata/loess.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Bandwidth      float64
		Points, Fitted [][2]float64
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		var points plotter.XYs
		for _, p := range c.Points {
			points = append(points, plotter.XY{X: p[0], Y: p[1]})
		}
		got := loess(points, c.Bandwidth)
		if len(got) != len(c.Fitted) {
			t.Errorf("case %d: %d points, Vega has %d", i, len(got), len(c.Fitted))
			continue
		}
		for k, want := range c.Fitted {
			if got[k].X != want[0] || math.Abs(got[k].Y-want[1]) > 1e-6 {
				t.Errorf("case %d: point %d is %v, Vega's is %v", i, k, got[k], want)
			}
		}
	}
}
