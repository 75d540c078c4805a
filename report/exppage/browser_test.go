package exppage

import (
	"os"
	"path/filepath"
	"testing"

	"ctrx/internal/testbrowser"
)

// TestInABrowser sorts the table by a click and picks lines by dragging along
// an axis.
func TestInABrowser(t *testing.T) {
	tab := testbrowser.Start(t)
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(written(t, "x", table(5))), 0o644); err != nil {
		t.Fatal(err)
	}
	tab.Open(t, file, `document.querySelectorAll(".line").length === 5`)
	order := `[...document.querySelectorAll("tbody tr")].map(r => r.cells[0].textContent).join()`
	for _, want := range []string{"row 0,row 1,row 3,row 4,row 2", "row 4,row 3,row 1,row 0,row 2"} {
		var got string
		if err := tab.Eval(`(document.querySelectorAll("th")[1].click(), `+order+`)`, &got); err != nil || got != want {
			t.Errorf("after a click on the head: %q, %v, want %q", got, err, want)
		}
	}
	const drag = `(() => {
  const h = document.querySelector(".handle"), top = document.getElementById("chart").getBoundingClientRect().top;
  h.setPointerCapture = () => {};
  const at = (type, y) => h.dispatchEvent(new PointerEvent(type, {clientY: top + y, pointerId: 1}));
  at("pointerdown", 40); at("pointermove", 140); at("pointerup", 140);
  return [...document.querySelectorAll("tr.out")].map(r => r.cells[0].textContent).sort().join();
})()`
	var out string
	if err := tab.Eval(drag, &out); err != nil || out != "row 0,row 1,row 2" {
		t.Errorf("picked the upper third of auc; out are %q, %v", out, err)
	}
	if len(tab.Requests) != 1 || len(tab.Problems) > 0 {
		t.Errorf("the page asked for %q; the browser says %.500q", tab.Requests, tab.Problems)
	}
}
