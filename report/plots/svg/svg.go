// Package svg draws plots as SVG without a browser: what `plots` writes as a
// file to look at, and what a Markdown report shows.
//
// A [Chart] is one plot of a dvc.yaml with its rows of data already read: give
// [Draw] one [Series] for each revision and source (the file or field a line
// comes from, where a plot has several). Revisions differ by colour, sources by
// dash or shape, and bars and confusion matrices of different sources stand in
// panels of their own, as DVC's templates have it:
//
//	template                  Kind                 fields of a Series
//	simple, linear            Line                 X, Y
//	smooth                    Smooth               X, Y
//	scatter, scatter_jitter   Scatter              X, Y
//	bar_horizontal            Bar                  X (lengths), YNames
//	bar_horizontal_sorted     BarSorted            X (lengths), YNames
//	confusion                 Confusion            XNames, YNames: one pair a row of data
//	confusion_normalized      ConfusionNormalized  XNames, YNames
//
// The slices of a Series that its kind uses have one element for each row of
// data. A number that is missing is NaN: a line has a gap there.
//
// Equal charts give equal bytes. Text is real text in the font Liberation Sans,
// which has the widths of Arial and Helvetica; long names are shortened in the
// middle, never cut by the border.
package svg

import (
	"bytes"
	"fmt"
	"io"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Kind is how a chart is drawn.
type Kind string

// The kinds.
const (
	Line                Kind = "line"
	Smooth              Kind = "smooth"
	Scatter             Kind = "scatter"
	Bar                 Kind = "bar"
	BarSorted           Kind = "bar_sorted" // longest bar first
	Confusion           Kind = "confusion"
	ConfusionNormalized Kind = "confusion_normalized" // counts as a share of their row
)

// Chart is one plot.
type Chart struct {
	Kind           Kind
	Title          string // may be empty
	XLabel, YLabel string // may be empty
	Series         []Series
	// Bandwidth of Smooth, the share (0 to 1] of a line's points that each of
	// its points is fitted to; 0 is DVC's 0.001, which follows every point.
	Bandwidth float64
}

// Series is the data of one revision and source.
type Series struct {
	Rev    string // revision, as the legend names it
	Source string // file or field; empty where the plot has only one

	X, Y           []float64
	XNames, YNames []string
}

// label is what the legend calls the series.
func (s Series) label() string {
	if s.Source == "" {
		return s.Rev
	}
	if s.Rev == "" {
		return s.Source
	}
	return s.Rev + "  " + s.Source
}

// Draw writes the chart as an SVG document. A chart without data is drawn as
// such; a kind that is not known and slices of different lengths are errors.
func Draw(w io.Writer, c Chart) error {
	f, err := newFigure(c)
	if err != nil {
		return fmt.Errorf("draw the plot %q: %w", c.Title, err)
	}
	width, height := f.size()
	canvas := vgsvg.New(width, height)
	f.draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fmt.Errorf("draw the plot %q: %w", c.Title, err)
	}
	// Where the font is not there another of its widths must be taken. In a text
	// the quotation mark would be escaped: this replaces styles only.
	const font = `style="font-family:Liberation Sans`
	_, err = w.Write(bytes.ReplaceAll(b.Bytes(), []byte(font+";"), []byte(font+",Arial,Helvetica,sans-serif;")))
	return err
}

func newFigure(c Chart) (*figure, error) {
	for _, s := range c.Series {
		if err := s.check(c.Kind); err != nil {
			return nil, err
		}
	}
	f := &figure{title: c.Title}
	var err error
	switch c.Kind {
	case Line, Smooth, Scatter:
		err = f.addXY(c)
	case Bar, BarSorted:
		f.addBars(c)
	case Confusion, ConfusionNormalized:
		f.addConfusion(c)
	default:
		err = fmt.Errorf("no kind of plot is called %q", c.Kind)
	}
	return f, err
}

// check tells whether the slices that a kind uses go together.
func (s Series) check(k Kind) error {
	a, b := len(s.X), len(s.Y)
	switch k {
	case Bar, BarSorted:
		b = len(s.YNames)
	case Confusion, ConfusionNormalized:
		a, b = len(s.XNames), len(s.YNames)
	}
	if a != b {
		return fmt.Errorf("the series %q has %d values for one axis and %d for the other", s.label(), a, b)
	}
	return nil
}

// Sizes in points. A document's width is that of its panels.
const (
	panelWidth  = vg.Length(440)
	panelHeight = vg.Length(260)
	margin      = vg.Length(14)
	gap         = vg.Length(18) // between panels
)
