package plots

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctrx/pipeline/dvcfile"
	"ctrx/report/plots/svg"
)

// Picture is a file that shows a plot.
type Picture struct {
	Name string // file name, unique among all pictures of a call
	Data []byte
}

// Pictures draws plots as SVG, without a browser; images come out as they are.
// A template that is not built in is drawn by its mark: points, bars, cells or
// else lines.
func Pictures(ctx context.Context, all []*Plot, t Templates) ([]Picture, error) {
	var pictures []Picture
	used := map[string]bool{}
	add := func(name, suffix string, data []byte) {
		unique := name + suffix
		for n := 2; used[strings.ToLower(unique)]; n++ {
			unique = fmt.Sprintf("%s-%d%s", name, n, suffix)
		}
		used[strings.ToLower(unique)] = true
		pictures = append(pictures, Picture{unique, data})
	}
	for _, p := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, img := range p.Images {
			name := p.FileName()
			if len(p.Images) > 1 {
				name += "_" + fileName(img.Rev)
			}
			add(name, path.Ext(img.File), img.Data)
		}
		if len(p.Points) == 0 {
			continue
		}
		template, err := t.Get(p.Template())
		if err != nil {
			return nil, fmt.Errorf("plot %s: %w", p.ID, err)
		}
		var b bytes.Buffer
		if err := svg.Draw(&b, p.chart(template)); err != nil {
			return nil, err
		}
		add(p.FileName(), ".svg", b.Bytes())
	}
	return pictures, nil
}

func (p *Plot) chart(t Template) svg.Chart {
	c := svg.Chart{Kind: t.kind(), Title: p.text("title"), XLabel: p.text("x_label"), YLabel: p.text("y_label")}
	varied := p.varied()
	for _, rev := range p.Revs {
		for _, line := range p.Lines {
			s := svg.Series{Rev: rev, Source: line.source(varied)}
			for _, point := range p.Points {
				if is(point, "rev", rev) && is(point, "filename", line.File) && is(point, "field", line.Field) {
					s.X = append(s.X, numeric(point, p.X))
					s.Y = append(s.Y, numeric(point, p.Y))
					s.XNames = append(s.XNames, name(point, p.X))
					s.YNames = append(s.YNames, name(point, p.Y))
				}
			}
			c.Series = append(c.Series, s)
		}
	}
	return c
}

func is(point *dvcfile.Map, key, text string) bool {
	v, _ := point.Get(key)
	return v == text
}

// numeric reads a value of a row, which is a text in tables; NaN where it is no
// number.
func numeric(point *dvcfile.Map, key string) float64 {
	switch v, _ := point.Get(key); v := v.(type) {
	case dvcfile.Int:
		return v.Float64()
	case dvcfile.Float:
		return float64(v)
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return f
		}
	}
	return math.NaN()
}

func name(point *dvcfile.Map, key string) string {
	v, _ := point.Get(key)
	if v == nil {
		return ""
	}
	return dvcfile.PyStr(v)
}

// kind is how a template is drawn.
func (t Template) kind() svg.Kind {
	known := map[string]svg.Kind{
		"simple": svg.Line, "linear": svg.Line, "smooth": svg.Smooth, "scatter": svg.Scatter, "scatter_jitter": svg.Scatter,
		"bar_horizontal": svg.Bar, "bar_horizontal_sorted": svg.BarSorted,
		"confusion": svg.Confusion, "confusion_normalized": svg.ConfusionNormalized,
	}
	if k, ok := known[t.Name]; ok && !t.custom {
		return k
	}
	for _, m := range []struct {
		mark string
		kind svg.Kind
	}{{"rect", svg.Confusion}, {"bar", svg.Bar}, {"line", svg.Line}, {"point", svg.Scatter}, {"circle", svg.Scatter}} {
		if marks(t.Spec, m.mark) {
			return m.kind
		}
	}
	return svg.Line
}

// marks tells whether a spec or a layer of it draws with a mark.
func marks(v dvcfile.Value, mark string) bool {
	switch v := v.(type) {
	case []dvcfile.Value:
		return slices.ContainsFunc(v, func(item dvcfile.Value) bool { return marks(item, mark) })
	case *dvcfile.Map:
		m, _ := v.Get("mark")
		if typed, ok := m.(*dvcfile.Map); ok {
			m, _ = typed.Get("type")
		}
		if m == mark {
			return true
		}
		for _, inner := range []string{"layer", "spec", "hconcat", "vconcat", "concat"} {
			if sub, ok := v.Get(inner); ok && marks(sub, mark) {
				return true
			}
		}
	}
	return false
}
