package plots

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
	"ctrx/report/plots/page"
)

// Saved are the files that images were written to.
type Saved map[savedKey]string

type savedKey struct{ plot, rev string }

// SaveImages writes the images of plots into a folder, which is made when it is
// needed: each as <revision>_<path> with its slashes replaced, which is where
// DVC's readers look. A file that is right already is left as it is. dir is
// absolute.
func SaveImages(dir string, all []*Plot) (Saved, error) {
	saved := Saved{}
	for _, p := range all {
		for _, img := range p.Images {
			name := strings.NewReplacer("/", "_", `\`, "_", string(filepath.Separator), "_").Replace(img.Rev + "_" + img.File)
			file := filepath.Join(dir, name)
			saved[savedKey{p.ID, img.Rev}] = file
			if old, err := os.ReadFile(file); err == nil && string(old) == string(img.Data) {
				continue
			}
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return nil, fmt.Errorf("make the folder for images: %w", err)
			}
			if err := fsx.WriteFile(file, img.Data, 0o666); err != nil {
				return nil, fmt.Errorf("write the image %s: %w", name, err)
			}
		}
	}
	return saved, nil
}

// JSON is what `plots show --json` and `plots diff --json` print: {"errors":
// [...], "data": {id: [...]}}, without what is empty. With split, a spec keeps
// the anchors that an editor fills, and their values stand beside it.
func JSON(revs []Revision, all []*Plot, t Templates, saved Saved, split bool) *dvcfile.Map {
	data := obj()
	var failed []Error
	for _, p := range all {
		entries, errs := p.entries(t, saved, split)
		data.Set(p.ID, entries)
		failed = append(failed, slices.Concat(p.Errors, errs)...)
	}
	for _, r := range revs {
		if r.Err != nil {
			failed = append(failed, Error{Rev: r.Name, Err: r.Err})
		}
	}
	out := obj()
	if len(failed) > 0 {
		var errs []dvcfile.Value
		for _, e := range failed {
			errs = append(errs, e.value())
		}
		out.Set("errors", errs)
	}
	if data.Len() > 0 {
		out.Set("data", data)
	}
	return out
}

func (p *Plot) entries(t Templates, saved Saved, split bool) ([]dvcfile.Value, []Error) {
	var entries []dvcfile.Value
	for _, img := range p.Images {
		entries = append(entries, obj("type", "image", "revisions", list(img.Rev), "url", saved[savedKey{p.ID, img.Rev}]))
	}
	if len(p.Points) == 0 {
		return entries, nil
	}
	template, err := t.Get(p.Template())
	var spec, anchors *dvcfile.Map
	if err == nil && split {
		spec, anchors, err = p.SplitSpec(template)
	} else if err == nil {
		spec, err = p.Spec(template)
	}
	if err != nil {
		var failed []Error
		for _, rev := range p.Revs {
			failed = append(failed, Error{Plot: p.ID, Rev: rev, Err: err})
		}
		return entries, failed
	}
	var revs []dvcfile.Value
	for _, rev := range p.Revs {
		revs = append(revs, rev)
	}
	entry := obj("type", "vega", "revisions", revs, "content", spec)
	if split {
		entry.Set("anchor_definitions", anchors)
	}
	return append(entries, entry), nil
}

// value is the error as DVC's readers know it, with DVC's names of types.
func (e Error) value() *dvcfile.Map {
	m := obj()
	if e.Plot != "" {
		m.Set("name", e.Plot)
	}
	m.Set("rev", e.Rev)
	if e.Source != "" {
		m.Set("source", e.Source)
	}
	described := report.ErrorValue(e.Err, e.Rel)
	var field FieldError
	var template TemplateError
	switch {
	case errors.As(e.Err, &field):
		described.Set("type", "FieldNotFoundError")
	case errors.As(e.Err, &template):
		described.Set("type", "TemplateNotFoundError")
	}
	return with(m, spread(described)...)
}

// Page is the plot for a page.
func (p *Plot) Page(t Templates) (page.Plot, error) {
	out := page.Plot{ID: p.ID}
	for _, img := range p.Images {
		out.Images = append(out.Images, page.Image{Rev: img.Rev, Name: img.File, MediaType: mediaType(img.File), Data: img.Data})
	}
	if len(p.Points) == 0 {
		return out, nil
	}
	template, err := t.Get(p.Template())
	if err != nil {
		return out, fmt.Errorf("plot %s: %w", p.ID, err)
	}
	spec, err := p.Spec(template)
	if err != nil {
		return out, fmt.Errorf("plot %s: %w", p.ID, err)
	}
	out.Spec = dvcfile.JSON(spec)
	return out, nil
}

func mediaType(file string) string {
	switch ext := strings.TrimPrefix(path.Ext(file), "."); ext {
	case "jpg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	default:
		return "image/" + ext
	}
}
