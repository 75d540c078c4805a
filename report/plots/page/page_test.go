package page_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"ctrx/report/plots/page"
)

func written(t *testing.T, plots ...page.Plot) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, "T & t", plots); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	spec := json.RawMessage(`{"title": "</script><b>\u2028&"}`)
	image := page.Image{Rev: "a<b", Name: "x.png", MediaType: "image/png", Data: []byte("PNG")}
	other := page.Image{Rev: "main", Name: "y.png", MediaType: "image/png", Data: []byte("PNG")}
	got := written(t, page.Plot{ID: "a", Spec: spec}, page.Plot{ID: "b", Title: `"><i>`, Images: []page.Image{image, other}})
	for _, want := range []string{
		"<title>T &amp; t</title>",
		`>{"title":"\u003c/script\u003e\u003cb\u003e\u2028\u0026"}</script>`,
		"<h2>a</h2>",
		"<h2>&#34;&gt;&lt;i&gt;</h2>",
		`<th scope="col">a&lt;b</th>`,
		`src="data:image/png;base64,UE5H"`,
		"Content-Security-Policy",
		"University of Washington", // the licences of what is inside
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(got, `<span class="none">none</span>`); n != 2 {
		t.Errorf("%d cells without an image, want 2", n)
	}
	if fetched := regexp.MustCompile(`<(script|img|link|iframe)[^>]*(src|href)="?(http|//)`).FindString(got); fetched != "" {
		t.Errorf("the page fetches %s", fetched)
	}
	if got != written(t, page.Plot{ID: "a", Spec: spec}, page.Plot{ID: "b", Title: `"><i>`, Images: []page.Image{image, other}}) {
		t.Error("two pages of the same plots differ")
	}
}

func TestWriteImagesOnly(t *testing.T) {
	got := written(t, page.Plot{ID: "a", Images: []page.Image{{Rev: "r", Name: "n", MediaType: "image/gif"}}})
	if strings.Contains(got, "<script") || !strings.Contains(got, "script-src &#39;none&#39;") {
		t.Error("a page of images has scripts")
	}
}

func TestWriteNothing(t *testing.T) {
	if got := written(t); !strings.Contains(got, "nothing to plot") {
		t.Error("an empty page does not say that it is empty")
	}
}

func TestWriteErrors(t *testing.T) {
	for name, plot := range map[string]page.Plot{
		"no JSON":      {ID: "p", Spec: json.RawMessage(`{"a": NaNa}`)},
		"open string":  {ID: "p", Spec: json.RawMessage(`{"a": "\`)},
		"no object":    {ID: "p", Spec: json.RawMessage(`[1]`)},
		"empty":        {ID: "p"},
		"empty spec":   {ID: "p", Spec: json.RawMessage{}},
		"no image":     {ID: "p", Images: []page.Image{{Rev: "r", Name: "n", MediaType: "text/html"}}},
		"no type":      {ID: "p", Images: []page.Image{{Rev: "r", Name: "n"}}},
		"type and url": {ID: "p", Images: []page.Image{{Rev: "r", Name: "n", MediaType: `image/png,x" onerror="alert(1)`}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			err := page.Write(&b, "t", []page.Plot{plot})
			if err == nil || !strings.HasPrefix(err.Error(), "plot p") {
				t.Errorf("the error is %v", err)
			}
			if b.Len() > 0 {
				t.Error("something was written")
			}
		})
	}
}

// DVC's JSON has numbers that JSON has not.
func TestWriteNaN(t *testing.T) {
	got := written(t, page.Plot{ID: "p", Spec: json.RawMessage(`{"NaN": [NaN, -Infinity,Infinity, "NaN \" Infinity \\", NaN]}`)})
	if want := `>{"NaN":[null,null,null,"NaN \" Infinity \\",null]}</script>`; !strings.Contains(got, want) {
		t.Errorf("the page lacks %s", want)
	}
}

func TestWriteTemplate(t *testing.T) {
	plots := []page.Plot{{ID: "{scripts}", Spec: json.RawMessage(`{"title": "{refresh_tag}"}`)}}
	for name, c := range map[string]struct{ template, want string }{
		"all":     {"<head>{refresh_tag}{scripts}</head>{plot_divs}<p>end", `^<head><script data-library="vega [^\x00]*</head><section [^\x00]*<p>end$`},
		"no head": {"<body>{plot_divs}</body>", `^<body><script data-library="vega [^\x00]*<section [^\x00]*</body>$`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := page.WriteTemplate(&b, []byte(c.template), plots); err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(c.want).MatchString(b.String()) {
				t.Errorf("the page is not as the template wants it: %.200s", b.String())
			}
			// Text of a plot is no place for anything.
			if !strings.Contains(b.String(), "<h2>{scripts}</h2>") || !strings.Contains(b.String(), `"{refresh_tag}"`) {
				t.Error("a plot's text was taken for a placeholder")
			}
			if n := strings.Count(b.String(), `data-library="vega `); n != 1 {
				t.Errorf("the libraries are in the page %d times", n)
			}
		})
	}
	var missing page.PlaceholderError
	if err := page.WriteTemplate(&bytes.Buffer{}, []byte("<html></html>"), plots); !errors.As(err, &missing) {
		t.Errorf("a template without a place for the plots: %v", err)
	}
}

// The script that fetches the libraries, the table that names them and the
// bytes that are there agree.
func TestLibraries(t *testing.T) {
	script, err := os.ReadFile("vega/update.sh")
	if err != nil {
		t.Fatal(err)
	}
	licences, err := os.ReadFile("vega/LICENSES.txt")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(licences, []byte("-->")) {
		t.Error("the licences end the comment that they stand in")
	}
	got := written(t, page.Plot{ID: "a", Spec: json.RawMessage(`{}`)})
	found := regexp.MustCompile(`<script data-library="([a-z-]+) ([0-9.]+)">`).FindAllStringSubmatch(got, -1)
	if len(found) != 3 {
		t.Fatalf("%d libraries", len(found))
	}
	for _, f := range found {
		name, version := f[1], f[2]
		if !bytes.Contains(script, []byte("\n"+strings.ReplaceAll(name, "-", "_")+"="+version+"\n")) {
			t.Errorf("update.sh fetches another %s than %s", name, version)
		}
		if !bytes.Contains(licences, []byte(name+" "+version+" (")) {
			t.Errorf("LICENSES.txt is not of %s %s", name, version)
		}
		if !strings.Contains(got, `"`+version+`"`) {
			t.Errorf("the code of %s does not say that it is %s", name, version)
		}
	}
}
