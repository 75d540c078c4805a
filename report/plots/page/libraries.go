package page

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// bundled holds the minified builds as gzip: 0.3 instead of 0.8 MB of ctrx.
//
//go:embed vega/*.min.js.gz vega/LICENSES.txt
var bundled embed.FS

// library is one of the packages that vega/update.sh fetches.
type library struct{ name, version string }

// libraries are in the order in which a page must load them.
func libraries() []library {
	return []library{
		{"vega", "5.33.1"},
		{"vega-lite", "5.23.0"},
		{"vega-embed", "6.29.0"},
	}
}

// script is a library as a page holds it.
type script struct {
	Name string // library and version
	Text template.JS
}

func libraryScripts() ([]script, error) {
	var scripts []script
	for _, l := range libraries() {
		packed, err := bundled.ReadFile("vega/" + l.name + ".min.js.gz")
		if err != nil {
			return nil, err
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", l.name, err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", l.name, err)
		}
		scripts = append(scripts, script{Name: l.name + " " + l.version, Text: template.JS(text)})
	}
	return scripts, nil
}

// Licences is the licences of the document's libraries as an HTML comment: they
// go where the code goes.
func (d document) Licences() (template.HTML, error) {
	if len(d.Libraries) == 0 {
		return "", nil
	}
	text, err := bundled.ReadFile("vega/LICENSES.txt")
	return template.HTML("<!--\n" + strings.TrimSpace(string(text)) + "\n-->\n"), err
}
