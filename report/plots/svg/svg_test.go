package svg_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ctrx/report/plots/svg"
)

// charts has one of each kind, with hostile and with long names.
func charts() map[string]svg.Chart {
	curve := func(rev, source string, from float64) svg.Series {
		s := svg.Series{Rev: rev, Source: source}
		for i := range 60 {
			s.X = append(s.X, float64(i))
			s.Y = append(s.Y, from/(1+float64(i)/8)+0.03*math.Sin(float64(i)*1.7))
		}
		return s
	}
	pairs := func(rev string, classes, off int) svg.Series {
		s := svg.Series{Rev: rev}
		for i := range 40 * classes {
			y := i % classes
			x := y
			if (i*7+off)%5 == 0 {
				x = (y + i/classes) % classes
			}
			s.XNames, s.YNames = append(s.XNames, strconv.Itoa(x)), append(s.YNames, strconv.Itoa(y))
		}
		return s
	}
	animals := func(rev string) svg.Series {
		s := pairs(rev, 3, 1)
		names := []string{"a very long class name indeed", "dog", "übermäßig & <lang>"}
		for _, side := range [][]string{s.XNames, s.YNames} {
			for i, n := range side {
				k, _ := strconv.Atoi(n)
				side[i] = names[k]
			}
		}
		return s
	}
	gap := curve("workspace", "", 1)
	gap.Y[20], gap.Y[21] = math.NaN(), math.Inf(1)
	importance := func(rev, source string, scale float64) svg.Series {
		return svg.Series{Rev: rev, Source: source, X: []float64{0.31 * scale, 0.22, 0.09, 0.4 * scale},
			YNames: []string{"site_category", "device_model_with_a_rather_long_name_that_goes_on", "hour", "C14"}}
	}
	long := strings.Repeat("a plot whose title does not fit in a line ", 4)
	return map[string]svg.Chart{
		"line": {Kind: svg.Line, Title: "dvc.yaml::loss", XLabel: "step", YLabel: "loss",
			Series: []svg.Series{curve("workspace", "", 1), curve("main", "", 0.8)}},
		"sources": {Kind: svg.Line, Title: long, XLabel: "step", YLabel: "loss",
			Series: []svg.Series{
				curve("workspace", "train.json::loss", 1), curve("workspace", "test.json::loss", 1.2),
				curve("main", "train.json::loss", 0.8), curve("main", "test.json::loss", 0.9),
				curve(strings.Repeat("very-long-branch-name/", 8), "test.json::loss", 0.7)}},
		"gap":     {Kind: svg.Line, Title: "a gap", XLabel: "x", YLabel: "y", Series: []svg.Series{gap}},
		"smooth":  {Kind: svg.Smooth, Title: "smooth", XLabel: "step", YLabel: "acc", Bandwidth: 0.3, Series: []svg.Series{curve("workspace", "", 1), curve("main", "", 0.5)}},
		"scatter": {Kind: svg.Scatter, Title: "scatter", XLabel: "x", YLabel: "y", Series: []svg.Series{curve("a", "s1", 1), curve("a", "s2", 0.7), curve("b", "s1", 0.9)}},
		"bar": {Kind: svg.Bar, Title: "importance", XLabel: "gain", YLabel: "feature",
			Series: []svg.Series{importance("workspace", "", 1), importance("main", "", 1.5)}},
		"bar_sorted": {Kind: svg.BarSorted, Title: "importance", XLabel: "gain", YLabel: "feature",
			Series: []svg.Series{importance("workspace", "one.csv", 1), importance("workspace", "two.csv", -1)}},
		"confusion":            {Kind: svg.Confusion, Title: "confusion", XLabel: "predicted", YLabel: "actual", Series: []svg.Series{pairs("workspace", 10, 0), pairs("main", 10, 3)}},
		"confusion_normalized": {Kind: svg.ConfusionNormalized, Title: "", XLabel: "predicted", YLabel: "actual", Series: []svg.Series{animals("main")}},
		"hostile": {Kind: svg.Line, Title: "</svg><script>alert(1)</script>\x00\x1b[31m", XLabel: "a\nb", YLabel: "\xff",
			Series: []svg.Series{{Rev: "<b>&", X: []float64{1}, Y: []float64{2}}}},
		"one bar twice": {Kind: svg.Bar, Series: []svg.Series{{X: []float64{1, 2}, YNames: []string{"a", "a"}}}},
		"matrices of two sources": {Kind: svg.Confusion, Title: "two by two", Series: []svg.Series{
			{Rev: "workspace", Source: "a.csv", XNames: []string{"1", "2"}, YNames: []string{"1", "1"}},
			{Rev: "main", Source: "b.csv", XNames: []string{"10", "9"}, YNames: []string{"1", "1"}}}},
		"many classes": {Kind: svg.Confusion, XLabel: "predicted", YLabel: "actual", Series: []svg.Series{pairs("main", 120, 1)}},
		"long":         {Kind: svg.Line, Title: "100000 rows", Series: []svg.Series{longSeries(100000)}},
		"cloud":        {Kind: svg.Scatter, Title: "100000 points", Series: []svg.Series{longSeries(100000)}},
		"large":        {Kind: svg.Line, Series: []svg.Series{{X: []float64{1, 2, 3}, Y: []float64{-1e300, 1e300, math.MaxFloat64}}}},
		"tiny":         {Kind: svg.Line, Series: []svg.Series{{X: []float64{1e-300, 2e-300}, Y: []float64{5e-324, 1e-323}}}},
		"time":         {Kind: svg.Line, XLabel: "timestamp", Series: []svg.Series{{X: []float64{1735689600, 1735693200}, Y: []float64{-123456, 654321}}}},
		"level":        {Kind: svg.Line, Series: []svg.Series{{X: []float64{1e15, 1e15 + 1}, Y: []float64{0.1, 0.1}}}},
		"only gaps":    {Kind: svg.Smooth, Series: []svg.Series{{Rev: "main", X: []float64{1}, Y: []float64{math.NaN()}}}},
		"empty":        {Kind: svg.Line},
		"empty bar":    {Kind: svg.Bar},
		"empty heat":   {Kind: svg.Confusion},
	}
}

func longSeries(n int) svg.Series {
	s := svg.Series{Rev: "main"}
	for i := range n {
		s.X, s.Y = append(s.X, float64(i)), append(s.Y, math.Sin(float64(i)/9000)+0.2*math.Sin(float64(i)*1.7))
	}
	return s
}

func TestDraw(t *testing.T) {
	dir := os.Getenv("CTRX_KEEP_PLOTS") // where to leave the plots to be looked at
	for name, c := range charts() {
		t.Run(name, func(t *testing.T) {
			var first, second bytes.Buffer
			if err := svg.Draw(&first, c); err != nil {
				t.Fatal(err)
			}
			if err := svg.Draw(&second, c); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Error("two drawings of one chart differ")
			}
			for dec := xml.NewDecoder(&second); ; {
				tok, err := dec.Token()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "script" {
					t.Error("a title became an element")
				}
			}
			if first.Len() > 2_000_000 {
				t.Errorf("the document has %d bytes", first.Len())
			}
			if dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".svg"), first.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestDrawErrors(t *testing.T) {
	for name, c := range map[string]svg.Chart{
		"kind":      {Kind: "pie"},
		"no kind":   {},
		"line":      {Kind: svg.Line, Series: []svg.Series{{X: []float64{1}}}},
		"bar":       {Kind: svg.Bar, Series: []svg.Series{{X: []float64{1}, Y: []float64{1}}}},
		"confusion": {Kind: svg.Confusion, Series: []svg.Series{{XNames: []string{"a"}}}},
	} {
		var b bytes.Buffer
		if err := svg.Draw(&b, c); err == nil || b.Len() > 0 {
			t.Errorf("%s: the error is %v, %d bytes were written", name, err, b.Len())
		}
	}
}

// texts are the texts of a document, in order.
func texts(t *testing.T, c svg.Chart) []string {
	t.Helper()
	var b bytes.Buffer
	if err := svg.Draw(&b, c); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Text []string `xml:"g>text"`
	}
	if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Text
}

func TestText(t *testing.T) {
	names := func(s ...string) []string { return s }
	for name, c := range map[string]struct {
		chart svg.Chart
		want  string
	}{
		"line": {svg.Chart{Kind: svg.Line, Title: "t", XLabel: "x", YLabel: "y",
			Series: []svg.Series{{Rev: "main", X: []float64{0, 10}, Y: []float64{0.2, 0.41}}, {Rev: "HEAD", Source: "a.csv"}}},
			"t x 0 2 4 6 8 10 0.20 0.25 0.30 0.35 0.40 0.45 main HEAD  a.csv"},
		"sorted": {svg.Chart{Kind: svg.BarSorted, Series: []svg.Series{{Rev: "main", X: []float64{1, 3, 2}, YNames: names("a", "b", "c")}}},
			"0 1 2 3 b c a main"},
		"bars": {svg.Chart{Kind: svg.Bar, Series: []svg.Series{{X: []float64{1, 3, 2}, YNames: names("b", "c", "a")}}},
			"0 1 2 3 a b c"},
		"confusion": {svg.Chart{Kind: svg.Confusion, Series: []svg.Series{{XNames: names("10", "9", "9", "9"), YNames: names("9", "9", "9", "10")}}},
			"9 10 9 10 2 1 1 0"},
		"shares": {svg.Chart{Kind: svg.ConfusionNormalized, Series: []svg.Series{{XNames: names("a", "b", "b", "b"), YNames: names("a", "a", "a", "b")}}},
			"a b a b 0.33 0.67 0.00 1.00"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(texts(t, c.chart), " "); got != c.want {
				t.Errorf("the texts are\n%s, want\n%s", got, c.want)
			}
		})
	}
}
