package svg

import (
	"math"
	"slices"

	"gonum.org/v1/plot/plotter"
)

// loess smooths points, which are in the order of X, by Cleveland's locally
// weighted regression: each point gets the value of a straight line through its
// nearest neighbours (the given share of all points, two at least), where near
// ones and, from the second pass on, ones that lie close to the curve weigh
// more. It gives what Vega's transform of that name gives, with its three
// passes; points of the same X become one.
func loess(points plotter.XYs, bandwidth float64) plotter.XYs {
	neighbours := max(2, int(bandwidth*float64(len(points))))
	if neighbours > len(points) {
		return points
	}
	trust := make([]float64, len(points))
	for i := range trust {
		trust[i] = 1
	}
	const passes, tiny = 3, 1e-12
	fitted := make([]float64, len(points))
	residuals := make([]float64, len(points))
	for pass := range passes {
		lo, hi := 0, neighbours-1
		for i, p := range points {
			for hi+1 < len(points) && points[hi+1].X-p.X < p.X-points[lo].X {
				lo, hi = lo+1, hi+1
			}
			fitted[i] = fitAt(p.X, points[lo:hi+1], trust[lo:hi+1])
			residuals[i] = math.Abs(p.Y - fitted[i])
		}
		middle := median(residuals)
		if pass == passes-1 || middle < tiny {
			break
		}
		for i, r := range residuals {
			trust[i] = tiny
			if share := r / (6 * middle); share < 1 {
				trust[i] = (1 - share*share) * (1 - share*share)
			}
		}
	}
	return joined(points, fitted)
}

// fitAt is the value at x of the straight line through the points, of which the
// far ones weigh little.
func fitAt(x float64, near plotter.XYs, trust []float64) float64 {
	reach := max(x-near[0].X, near[len(near)-1].X-x)
	if reach == 0 {
		reach = 1
	}
	var w, wx, wy, wxx, wxy float64
	for k, p := range near {
		d := math.Abs(p.X-x) / reach
		cube := 1 - d*d*d
		weight := cube * cube * cube * trust[k]
		dx := p.X - x // from x, so that a large X loses no digits
		w += weight
		wx += weight * dx
		wy += weight * p.Y
		wxx += weight * dx * dx
		wxy += weight * dx * p.Y
	}
	if w == 0 {
		return near[len(near)/2].Y
	}
	meanX, meanY := wx/w, wy/w
	spread := wxx/w - meanX*meanX
	if math.Sqrt(math.Abs(spread)) < 1e-12 {
		return meanY
	}
	return meanY - meanX*(wxy/w-meanX*meanY)/spread
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// joined makes one point, the mean, of the fitted ones of equal X.
func joined(points plotter.XYs, fitted []float64) plotter.XYs {
	var out plotter.XYs
	var sum float64
	n := 0
	for i, p := range points {
		sum, n = sum+fitted[i], n+1
		if i+1 == len(points) || points[i+1].X != p.X {
			out = append(out, plotter.XY{X: p.X, Y: sum / float64(n)})
			sum, n = 0, 0
		}
	}
	return out
}
