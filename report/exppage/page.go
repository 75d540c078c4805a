// Package exppage writes experiments as one HTML page that needs nothing else:
// a table that can be sorted, and the parallel coordinates of what differs,
// where experiments are picked by dragging along an axis. It opens from a disk
// or a mail, and it asks for nothing.
//
// What is shown comes from a repository that may be a stranger's: everything is
// escaped, and the browser is told by a Content-Security-Policy to run no script
// but the page's own (by its SHA-256) and to open no connection.
package exppage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"ctrx/report"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// document is what the template is given.
type document struct {
	Title  string
	Style  template.CSS
	Script template.JS
	Chart  chart
	Heads  []head
	Rows   []row
}

type head struct{ Title, Class string }

type row struct {
	Class string
	Line  int // of the chart; -1 for none
	Cells []cell
}

type cell struct {
	Text, Class string
	Value       string // the number that it is sorted by, "" for a text
}

// Write writes the page. Equal input gives equal bytes.
func Write(w io.Writer, title string, t report.ExpTable) error {
	parsed, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("page of experiments: %w", err)
	}
	doc := document{Title: title, Style: template.CSS(pageCSS), Script: template.JS(pageJS), Chart: newChart(t)}
	for _, c := range t.Columns {
		doc.Heads = append(doc.Heads, head{c.Title, className(c.Kind)})
	}
	for i, r := range t.Rows {
		out := row{Line: doc.Chart.lineOf(i), Class: "experiment"}
		if r.Baseline {
			out.Class = "baseline"
		}
		if r.State != "" {
			out.Class += " " + strings.ToLower(r.State)
		}
		for _, c := range t.Columns {
			made := cell{Text: c.Cells[i], Class: className(c.Kind)}
			if x := c.Numbers[i]; x != nil {
				made.Value = fmt.Sprint(*x)
			}
			out.Cells = append(out.Cells, made)
		}
		doc.Rows = append(doc.Rows, out)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, doc); err != nil {
		return fmt.Errorf("page of experiments: %w", err)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func className(k report.ColumnKind) string {
	return map[report.ColumnKind]string{report.Label: "label", report.Metric: "metric", report.Param: "param", report.Dep: "dep"}[k]
}

// Policy lets a browser run the page's script and nothing else, and fetch
// nothing.
func (d document) Policy() string {
	sum := sha256.Sum256([]byte(d.Script))
	return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
}
