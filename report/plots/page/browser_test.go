package page_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testbrowser"
	"ctrx/report/plots/page"
)

// recorded are the plots of testdata/plots.json: every template of DVC, as the
// real one writes them (testdata/make_plots.py), of two revisions.
func recorded(t *testing.T) []page.Plot {
	t.Helper()
	b, err := os.ReadFile("testdata/plots.json")
	if err != nil {
		t.Fatal(err)
	}
	var specs []struct {
		ID   string
		Spec json.RawMessage
	}
	if err := json.Unmarshal(b, &specs); err != nil {
		t.Fatal(err)
	}
	var plots []page.Plot
	for _, s := range specs {
		plots = append(plots, page.Plot{ID: s.ID, Spec: s.Spec})
	}
	pixel := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82")
	square := []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><rect width="300" height="200" fill="teal"/></svg>`)
	return append(plots, page.Plot{ID: "images", Title: "Images", Images: []page.Image{
		{Rev: "workspace", Name: "1.png", MediaType: "image/png", Data: pixel},
		{Rev: "main", Name: "1.png", MediaType: "image/png", Data: pixel},
		{Rev: "main", Name: "2.svg", MediaType: "image/svg+xml", Data: square},
	}})
}

func writeFile(t *testing.T, name string, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInBrowser(t *testing.T) {
	c := testbrowser.Start(t)
	plots := recorded(t)
	t.Run("page", func(t *testing.T) {
		file := writeFile(t, "page.html", func(b *bytes.Buffer) error { return page.Write(b, "Plots of <main>", plots) })
		c.Open(t, file, `document.documentElement.dataset.plots`)
		c.CheckPlots(t, file, len(plots)-1)
		keep(t, c, "page")
		testControls(t, c)
	})
	t.Run("hostile", func(t *testing.T) { testHostile(t, c) })
	for name, template := range map[string]string{
		"template":        "<!DOCTYPE html><html><head>{refresh_tag}<title>mine</title>{scripts}</head><body><h1>Mine</h1>{plot_divs}</body></html>",
		"template, short": "{plot_divs}",
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "mine.html", func(b *bytes.Buffer) error { return page.WriteTemplate(b, []byte(template), plots) })
			c.Open(t, file, `document.documentElement.dataset.plots`)
			c.CheckPlots(t, file, len(plots)-1)
			keep(t, c, strings.ReplaceAll(name, ", ", "-"))
		})
	}
}

// testControls is: the slider of the smooth template smooths, the menu makes an
// image, and the plots follow a change to dark colours; the policy forbids none
// of it.
func testControls(t *testing.T, c *testbrowser.Tab) {
	const picture = `document.querySelector("[data-plot=smooth] canvas").toDataURL()`
	changes := func(what string, change func() error) {
		t.Helper()
		var at string
		if err := c.Eval(`window.before = `+picture, &at); err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		c.Wait(t, picture+` !== window.before`)
	}
	changes("slider", func() error {
		var moved bool
		return c.Eval(`(s => { s.value = 0.9; return s.dispatchEvent(new Event("input", {bubbles: true})); })(document.querySelector("[data-plot=smooth] input[type=range]"))`, &moved)
	})
	changes("dark", func() error { c.Look(t, 1280, true); return nil })
	changes("narrow", func() error { c.Look(t, 390, true); return nil })
	c.Look(t, 1280, false)
	var link string
	err := c.Eval(`(async () => { const a = document.querySelector("[data-plot=smooth] .vega-actions a"); a.dispatchEvent(new Event("mousedown"));
		for (let i = 0; i < 100 && a.href.endsWith("#"); i++) await new Promise(r => setTimeout(r, 50)); return a.href.slice(0, 30); })()`, &link)
	if err != nil || !strings.HasPrefix(link, "data:image/") && !strings.HasPrefix(link, "blob:") {
		t.Errorf("the menu gives no image but %q (%v)", link, err)
	}
	for _, p := range c.Problems {
		t.Errorf("the browser says: %.500s", p)
	}
}

// testHostile is: a hostile plot may spoil itself and nothing else.
func testHostile(t *testing.T, c *testbrowser.Tab) {
	attack := `</script></title><script>window.owned = 1</script><img src=x onerror="window.owned = 1">`
	quoted, err := json.Marshal(attack)
	if err != nil {
		t.Fatal(err)
	}
	spec := func(data string, mark string) json.RawMessage {
		return json.RawMessage(`{"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "title": ` + string(quoted) + `,
			"data": ` + data + `, "mark": ` + mark + `, "encoding": {"x": {"field": "a", "type": "quantitative"}, "y": {"field": "b", "type": "nominal"},
			"tooltip": {"field": "b"}}, "usermeta": {"embedOptions": {"ast": false, "actions": true, "defaultStyle": ` + string(quoted) + `}}}`)
	}
	plots := []page.Plot{
		{ID: attack, Title: attack, Spec: spec(`{"values": [{"a": 1, "b": `+string(quoted)+`}]}`, `"bar"`)},
		{ID: "far", Spec: spec(`{"url": "http://127.0.0.1:9/data.json"}`, `"bar"`)},
		{ID: "code", Spec: json.RawMessage(`{"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": {"values": [{"a": 1}]},
			"transform": [{"calculate": "window.owned = 1", "as": "c"}], "mark": "point", "encoding": {"x": {"field": "c"}}}`)},
		{ID: "broken", Spec: json.RawMessage(`{"mark": 7}`)},
		{ID: "images", Images: []page.Image{{Rev: attack, Name: attack, MediaType: "image/svg+xml",
			Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.owned = 1"><script>parent.owned = 1</script></svg>`)}}},
		{ID: "good", Spec: recorded(t)[0].Spec},
	}
	file := writeFile(t, "page.html", func(b *bytes.Buffer) error { return page.Write(b, attack, plots) })
	c.Open(t, file, `document.documentElement.dataset.plots`)
	var owned bool
	if err := c.Eval(`"owned" in window`, &owned); err != nil || owned {
		t.Errorf("a plot ran code of its own (%v)", err)
	}
	if len(c.Requests) != 1 {
		t.Errorf("the page asked for %q", c.Requests)
	}
	for _, p := range c.Plots(t) {
		want := map[string]string{attack: "drawn", "good": "drawn"}[p.ID]
		if want == "" {
			want = "failed"
		}
		if p.State != want {
			t.Errorf("plot %s: %s (%s), want %s", p.ID, p.State, p.Text, want)
		}
	}
	keep(t, c, "hostile")
}

// keep leaves pictures of the open page in the folder of CTRX_KEEP_PLOTS, to be
// looked at.
func keep(t *testing.T, c *testbrowser.Tab, name string) {
	t.Helper()
	dir := os.Getenv("CTRX_KEEP_PLOTS")
	if dir == "" {
		return
	}
	for suffix, look := range map[string]func(){
		"":        func() { c.Look(t, 1280, false) },
		"-dark":   func() { c.Look(t, 1280, true) },
		"-narrow": func() { c.Look(t, 390, false) },
	} {
		look()
		time.Sleep(time.Second) // the plots follow
		if err := os.WriteFile(filepath.Join(dir, name+suffix+".png"), c.Screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
