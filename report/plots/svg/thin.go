package svg

import (
	"gonum.org/v1/plot/plotter"
)

// A plot has fewer places than a long log has lines. Beyond manyPoints a series
// is thinned to what would be seen, so that a file of a million rows is no SVG
// of a hundred megabytes.
const (
	manyPoints  = 4000
	lineColumns = 1000 // twice the width of a panel in points
	dotPlaces   = 150  // along an axis; a dot covers two of them
)

// thinLine keeps, of the points of each column, the first, the lowest, the
// highest and the last: the line through them covers what the whole one does.
// The points are in the order of X.
func thinLine(run plotter.XYs) plotter.XYs {
	if len(run) <= manyPoints {
		return run
	}
	column := scaled(run[0].X, run[len(run)-1].X, lineColumns)
	var out plotter.XYs
	for from := 0; from < len(run); {
		to, low, high := from, from, from
		for ; to < len(run) && column(run[to].X) == column(run[from].X); to++ {
			if run[to].Y < run[low].Y {
				low = to
			}
			if run[to].Y > run[high].Y {
				high = to
			}
		}
		last := -1
		for _, i := range []int{from, min(low, high), max(low, high), to - 1} {
			if i > last {
				out, last = append(out, run[i]), i
			}
		}
		from = to
	}
	return out
}

// thinPoints keeps one of the points that would be drawn over each other.
func thinPoints(run plotter.XYs) plotter.XYs {
	if len(run) <= manyPoints {
		return run
	}
	xmin, xmax, ymin, ymax := plotter.XYRange(run)
	column, row := scaled(xmin, xmax, dotPlaces), scaled(ymin, ymax, dotPlaces)
	seen := map[[2]int]bool{}
	var out plotter.XYs
	for _, p := range run {
		if place := [2]int{column(p.X), row(p.Y)}; !seen[place] {
			seen[place] = true
			out = append(out, p)
		}
	}
	return out
}

// scaled numbers the places between two values.
func scaled(low, high float64, places int) func(float64) int {
	return func(v float64) int {
		if high <= low {
			return 0
		}
		return int((v - low) / (high - low) * float64(places))
	}
}
