package page

import (
	"bytes"
	"io"
	"strings"
)

// The placeholders of DVC's HTML templates. Only that of the plots must be
// there.
const (
	plotsPlaceholder   = "{plot_divs}"
	scriptsPlaceholder = "{scripts}"
	refreshPlaceholder = "{refresh_tag}"
)

// PlaceholderError is the error of a template without {plot_divs}.
type PlaceholderError struct{}

func (PlaceholderError) Error() string {
	return "HTML template has to contain '" + plotsPlaceholder + "'."
}

// WriteTemplate writes the user's page with the plots in place of {plot_divs}.
// The libraries stand in place of {scripts}, or before the first plot where the
// template has no such place: the plots need no network either way. {refresh_tag}
// becomes nothing. The page's style and policy are the user's.
//
// A template without {plot_divs} is a [PlaceholderError].
func WriteTemplate(w io.Writer, page []byte, plots []Plot) error {
	if !bytes.Contains(page, []byte(plotsPlaceholder)) {
		return PlaceholderError{}
	}
	doc, err := newDocument(plots)
	if err != nil {
		return err
	}
	var parts [3]string
	for i, name := range []string{"libraries", "plots", "draw"} {
		if parts[i], err = doc.render(name); err != nil {
			return err
		}
	}
	scripts, divs := parts[0], parts[1]+parts[2]
	if !bytes.Contains(page, []byte(scriptsPlaceholder)) {
		divs = scripts + divs
	}
	_, err = strings.NewReplacer(plotsPlaceholder, divs, scriptsPlaceholder, scripts, refreshPlaceholder, "").WriteString(w, string(page))
	return err
}
