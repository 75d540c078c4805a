package svg_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ctrx/internal/testbrowser"
	"ctrx/internal/testreq"
	"ctrx/report/plots/svg"
)

// outside lists the texts that are not wholly inside the document, and the
// labels of ticks that run into each other.
const outside = `(() => {
  const box = document.documentElement.getBoundingClientRect();
  const texts = [...document.querySelectorAll("text")].map(e => ({text: e.textContent, r: e.getBoundingClientRect()}));
  const cut = texts.filter(({r}) => r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  const over = texts.filter((a, i) => texts.some((b, k) => k > i && meet(a.r, b.r)));
  return {count: texts.length, cut: cut.map(t => t.text), over: over.map(t => t.text)};
})()`

// A browser that has the font, or one of its widths, cuts no text and draws
// none over another.
func TestTextInBrowser(t *testing.T) {
	tab := testbrowser.Start(t)
	var width float64
	if err := tab.Eval(`(c => { c.font = "100px 'Liberation Sans',Arial,Helvetica"; return c.measureText("Wim").width; })(document.createElement("canvas").getContext("2d"))`, &width); err != nil {
		t.Fatal(err)
	}
	if math.Abs(width-199.9) > 1 {
		const why = "the browser has no font of the widths of Liberation Sans (Debian: fonts-liberation)"
		if testreq.Required(testreq.Browser) {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	for name, c := range charts() {
		var b bytes.Buffer
		if err := svg.Draw(&b, c); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "plot.svg")
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		tab.Open(t, file, `document.readyState === "complete" && document.documentElement.tagName === "svg"`)
		var found struct {
			Count     int
			Cut, Over []string
		}
		if err := tab.Eval(outside, &found); err != nil {
			t.Fatal(err)
		}
		if found.Count == 0 || len(found.Cut) > 0 || len(found.Over) > 0 {
			t.Errorf("%s: of %d texts are cut: %q, over another: %q", name, found.Count, found.Cut, found.Over)
		}
		if len(tab.Problems) > 0 {
			t.Errorf("%s: %q", name, tab.Problems)
		}
	}
}
