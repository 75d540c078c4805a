package exppage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ctrx/report"
)

func number(x float64) *float64 { return &x }

// table is n experiments of a baseline, with a name that is an attack.
func table(n int) report.ExpTable {
	t := report.ExpTable{Columns: []report.ExpColumn{
		{Title: "Experiment"}, {Title: "auc", Kind: report.Metric}, {Title: "same", Kind: report.Metric},
		{Title: "<script>alert(1)</script>", Kind: report.Param}, {Title: "kind", Kind: report.Param}, {Title: "data", Kind: report.Dep},
	}}
	for i := range n {
		t.Rows = append(t.Rows, report.ExpRow{Baseline: i == 0, Rev: "rev", Name: fmt.Sprintf("x%d\"><b>", i), State: []string{"", "Failed"}[i%2]})
		auc, cell := number(float64(i)/10), fmt.Sprint(float64(i)/10)
		if i == 2 {
			auc, cell = nil, "-"
		}
		for c, made := range []struct {
			cell string
			x    *float64
		}{{fmt.Sprint("row ", i), nil}, {cell, auc}, {"1", number(1)}, {fmt.Sprint(i * i), number(float64(i * i))}, {[]string{"tree", "line"}[i%2], nil}, {"abc", nil}} {
			t.Columns[c].Cells = append(t.Columns[c].Cells, made.cell)
			t.Columns[c].Numbers = append(t.Columns[c].Numbers, made.x)
		}
	}
	return t
}

func written(t *testing.T, title string, table report.ExpTable) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, title, table); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	page := written(t, "Experiments of <me>", table(4))
	for text, want := range map[string]int{
		`class="line"`: 4, `class="axis metric"`: 1, `class="axis param"`: 2, // "same" differs nowhere
		"<script>": 1, "<b>": 0, "<me>": 0, "alert(1)</script>": 0, `<tr class="baseline"`: 1, `failed"`: 2,
		"https://": 0, ">tree</text>": 1, `data-value="9"`: 1,
	} {
		if got := strings.Count(page, text); got != want {
			t.Errorf("%q is there %d times, want %d", text, got, want)
		}
	}
	// The missing value breaks the line of the third row.
	if !regexp.MustCompile(`data-ys="- [0-9.]+ [0-9.]+"`).MatchString(page) {
		t.Error("no line begins behind a missing value")
	}
	if again := written(t, "Experiments of <me>", table(4)); again != page {
		t.Error("the same table gave another page")
	}
}

// TestPolicy is: the browser may run the script of the page and no other.
func TestPolicy(t *testing.T) {
	page := written(t, "x", table(3))
	script := regexp.MustCompile(`(?s)<script>(.*)</script>`).FindStringSubmatch(page)
	if script == nil {
		t.Fatal("no script")
	}
	sum := sha256.Sum256([]byte(script[1]))
	if want := "script-src &#39;sha256-" + strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "+", "&#43;") + "&#39;;"; !strings.Contains(page, want) {
		t.Errorf("the policy has not %s", want)
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") {
		t.Error("the policy allows other things")
	}
}

// TestNothingDiffers gives the table alone.
func TestNothingDiffers(t *testing.T) {
	for _, n := range []int{0, 1} {
		page := written(t, "x", table(n))
		if strings.Contains(page, "<svg") || !strings.Contains(page, "nothing to compare") {
			t.Errorf("with %d rows there is a chart", n)
		}
	}
}
