package testbrowser

import (
	"path/filepath"
	"strings"
	"testing"
)

// drawnPlots counts, for each plot of a page that package report/plots/page
// wrote, the pixels that the browser has drawn on.
const drawnPlots = `[...document.querySelectorAll(".plot")].map(p => {
  const c = p.querySelector("canvas");
  if (!c || !c.width || !c.height) return {id: p.parentNode.dataset.plot, state: p.dataset.state, text: p.querySelector(".canvas").textContent, pixels: 0};
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let pixels = 0;
  for (let i = 3; i < d.length; i += 4) if (d[i]) pixels++;
  return {id: p.parentNode.dataset.plot, state: p.dataset.state, text: "", pixels};
})`

// Plot is what has become of a plot on a page of plots.
type Plot struct {
	ID     string
	State  string // "drawn" or "failed"
	Text   string // what stands in its place, where it is not drawn
	Pixels int    // pixels that are not empty
}

// Plots tells of each plot of the open page that is drawn from data.
func (c *Tab) Plots(t testing.TB) []Plot {
	t.Helper()
	var plots []Plot
	if err := c.Eval(drawnPlots, &plots); err != nil {
		t.Fatal(err)
	}
	return plots
}

// CheckPlots checks that the open page, read from file, shows so many plots:
// each has something drawn, every image is shown, there was no error, and
// nothing but the page itself was asked for.
func (c *Tab) CheckPlots(t testing.TB, file string, want int) {
	t.Helper()
	plots := c.Plots(t)
	if len(plots) != want {
		t.Errorf("%d plots on the page, want %d", len(plots), want)
	}
	for _, p := range plots {
		if p.State != "drawn" || p.Pixels < 1000 {
			t.Errorf("plot %s: %s, %d pixels drawn %s", p.ID, p.State, p.Pixels, p.Text)
		}
	}
	var broken int
	if err := c.Eval(`[...document.images].filter(i => !i.complete || !i.naturalWidth).length`, &broken); err != nil || broken > 0 {
		t.Errorf("%d images are not shown (%v)", broken, err)
	}
	if len(c.Requests) != 1 || !strings.HasSuffix(c.Requests[0], filepath.Base(file)) {
		t.Errorf("the page asked for %q", c.Requests)
	}
	for _, p := range c.Problems {
		t.Errorf("the browser says: %.500s", p)
	}
}
