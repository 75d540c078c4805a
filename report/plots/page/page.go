// Package page writes plots as one HTML page that needs nothing else: the
// libraries that draw (Vega, Vega-Lite, vega-embed), the data and the images
// are all inside, so the page opens from a disk, a mail or a build's artifacts
// without a network, and it asks for none.
//
// [Write] makes ctrx's own page, [WriteTemplate] fills a page of the user's as
// `dvc plots show --html-template` does.
//
// What is shown comes from a repository that may be a stranger's. Titles and
// names are escaped, a spec cannot leave its element, images are only shown as
// images, and the browser is told by a Content-Security-Policy to run no script
// but those written here (by their SHA-256) and to open no connection. Vega's
// expressions are interpreted instead of compiled, so that this policy holds.
//
// The folder vega holds the libraries, their licences and the script that
// fetches them; a licence must travel with the code, so it is in the page too.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Plot is one plot of the page: a Vega-Lite spec, or images.
type Plot struct {
	ID    string          // what the plot is called in dvc.yaml; kept as the attribute data-plot
	Title string          // the heading over it; the ID where it is empty
	Spec  json.RawMessage // a Vega-Lite 5 (or Vega 5) spec with its data inline, NaN allowed; nil for images
	// Images of one plot, in the order of their columns (revisions) and rows
	// (names).
	Images []Image
}

// Image is an image plot's file at one revision.
type Image struct {
	Rev       string // revision, as the user named it
	Name      string // file name
	MediaType string // image/png, image/svg+xml, ...
	Data      []byte // the file's bytes
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed draw.js
	drawJS string
)

// document is what the templates of page.html are given.
type document struct {
	Title     string
	Style     template.CSS
	Sections  []section
	Libraries []script
	Draw      template.JS // draws the sections; empty where none has a spec
}

// Write writes the page. Equal input gives equal bytes. The error of a plot
// that cannot be shown (a spec that is no JSON object, an image that is none) names it,
// and nothing has been written then.
func Write(w io.Writer, title string, plots []Plot) error {
	doc, err := newDocument(plots)
	if err != nil {
		return err
	}
	doc.Title, doc.Style = title, template.CSS(pageCSS)
	text, err := doc.render("page")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func newDocument(plots []Plot) (document, error) {
	var doc document
	var err error
	if doc.Sections, err = sectionsOf(plots); err != nil {
		return doc, err
	}
	// No plot is drawn on a page of images: it does without the libraries.
	if slices.ContainsFunc(plots, func(p Plot) bool { return p.Spec != nil }) {
		doc.Draw = template.JS(drawJS)
		doc.Libraries, err = libraryScripts()
	}
	return doc, err
}

func (d document) render(name string) (string, error) {
	parts, err := template.New("").Parse(pageHTML)
	if err != nil {
		return "", fmt.Errorf("page of plots: %w", err)
	}
	var b strings.Builder
	if err := parts.ExecuteTemplate(&b, name, d); err != nil {
		return "", fmt.Errorf("page of plots: %w", err)
	}
	return b.String(), nil
}

// Policy lets a browser run the document's scripts and nothing else, and fetch
// nothing.
func (d document) Policy() string {
	var scripts []string
	for _, l := range d.Libraries {
		scripts = append(scripts, source(l.Text))
	}
	if d.Draw != "" {
		scripts = append(scripts, source(d.Draw))
	}
	if len(scripts) == 0 {
		scripts = []string{"'none'"}
	}
	return "default-src 'none'; script-src " + strings.Join(scripts, " ") +
		"; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
}

func source(text template.JS) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// section is a plot as the page's template wants it.
type section struct {
	Anchor string // made here: an ID of the user's may be any text
	ID     string
	Title  string
	Spec   template.JS // escaped so that it cannot end its script element
	Revs   []string
	Rows   []imageRow
}

type imageRow struct {
	Name  string
	Cells []imageCell // one for each of the section's Revs
}

type imageCell struct {
	Rev, Alt string
	Source   template.URL // data:..., empty where the revision lacks the image
}

func sectionsOf(plots []Plot) ([]section, error) {
	var sections []section
	for i, p := range plots {
		s := section{Anchor: fmt.Sprintf("plot-%d", i+1), ID: p.ID, Title: p.Title}
		if s.Title == "" {
			s.Title = p.ID
		}
		if p.Spec != nil {
			spec, err := inlineJSON(p.Spec)
			if err != nil {
				return nil, fmt.Errorf("plot %s: its spec is no Vega-Lite: %w", p.ID, err)
			}
			s.Spec = spec
		}
		if err := s.addImages(p.Images); err != nil {
			return nil, fmt.Errorf("plot %s: %w", p.ID, err)
		}
		if s.Spec == "" && len(s.Rows) == 0 {
			return nil, fmt.Errorf("plot %s has neither a spec nor images", p.ID)
		}
		sections = append(sections, s)
	}
	return sections, nil
}

// inlineJSON makes JSON that may stand inside a script element: <, > and & and
// the two line separators are written as \u escapes.
func inlineJSON(raw json.RawMessage) (template.JS, error) {
	var compact, escaped bytes.Buffer
	if err := json.Compact(&compact, withNulls(raw)); err != nil {
		return "", err
	}
	if compact.Bytes()[0] != '{' {
		return "", errors.New("it is no object")
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return template.JS(escaped.String()), nil
}

// withNulls writes null for the numbers that DVC's JSON has and JSON has not:
// NaN, Infinity and -Infinity. To Vega both are a missing value.
func withNulls(raw []byte) []byte {
	var out []byte
	quoted := false
	for i := 0; i < len(raw); i++ {
		if !quoted && strings.IndexByte("NI-", raw[i]) >= 0 {
			if word := notNumber.Find(raw[i:]); word != nil {
				out = append(out, "null"...)
				i += len(word) - 1
				continue
			}
		}
		switch {
		case raw[i] == '"':
			quoted = !quoted
		case quoted && raw[i] == '\\' && i+1 < len(raw):
			out = append(out, raw[i])
			i++
		}
		out = append(out, raw[i])
	}
	return out
}

var notNumber = regexp.MustCompile(`^(?:NaN|-?Infinity)`)

// addImages lays images out with a column for each revision and a row for each
// name, both in the order in which they come.
func (s *section) addImages(images []Image) error {
	for _, img := range images {
		source, err := imageURL(img)
		if err != nil {
			return err
		}
		if !slices.Contains(s.Revs, img.Rev) {
			s.Revs = append(s.Revs, img.Rev)
			for r := range s.Rows {
				s.Rows[r].Cells = append(s.Rows[r].Cells, imageCell{Rev: img.Rev})
			}
		}
		row := slices.IndexFunc(s.Rows, func(r imageRow) bool { return r.Name == img.Name })
		if row < 0 {
			row = len(s.Rows)
			cells := make([]imageCell, len(s.Revs))
			for c := range cells {
				cells[c].Rev = s.Revs[c]
			}
			s.Rows = append(s.Rows, imageRow{Name: img.Name, Cells: cells})
		}
		cell := &s.Rows[row].Cells[slices.Index(s.Revs, img.Rev)]
		cell.Source, cell.Alt = source, img.Name+" at "+img.Rev
	}
	return nil
}

// A data: URL of any other type could be a page.
var imageType = regexp.MustCompile(`^image/[a-z0-9.+-]+$`)

func imageURL(img Image) (template.URL, error) {
	if !imageType.MatchString(img.MediaType) {
		return "", fmt.Errorf("%s has the media type %q, which is no image's", img.Name, img.MediaType)
	}
	return template.URL("data:" + img.MediaType + ";base64," + base64.StdEncoding.EncodeToString(img.Data)), nil
}
