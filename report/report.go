// Package report turns the metrics and params of revisions into what
// `metrics show`, `metrics diff`, `params diff`, `exp diff` and `exp show`
// print: JSON, CSV, Markdown tables and plain tables, in DVC's layout to the
// byte (but for the plain table of `exp show`, which is ctrx's own).
//
// It works on plain values. Whoever calls it has read the files already (from
// the work tree or a commit) and says which revision and file each value is
// from; nothing here reads, prints or knows what a pipeline is.
package report

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Revision is the metrics or params files of one commit or of the work tree.
type Revision struct {
	// Name is how the revision is shown: what the user typed, a branch, or
	// "workspace". In `metrics show` without -a, -T, -A it is "".
	Name  string
	Files []File
	Err   error // the whole revision could not be read
}

// File is the content of one file. Its order in a Revision is the order in
// which it is shown.
type File struct {
	Path string // as shown: relative to the current folder
	Rel  string // relative to the project root
	Data dvcfile.Value
	Err  error // the file could not be read; Data is not used
}

// HideWorkspace leaves the work tree out where it holds the same as branch, the
// one that HEAD is on, as DVC does in `metrics show -a`. branch is "" where HEAD
// is on none. What could not be read equals nothing.
func HideWorkspace(revs []Revision, branch string) []Revision {
	at := func(name string) int {
		return slices.IndexFunc(revs, func(r Revision) bool { return r.Name == name })
	}
	work, head := at(Workspace), at(branch)
	if branch == "" || work < 0 || head < 0 || !sameFiles(revs[work], revs[head]) {
		return revs
	}
	return slices.Delete(slices.Clone(revs), work, work+1)
}

// sameFiles tells whether two revisions could be read and hold equal files, in
// whatever order.
func sameFiles(a, b Revision) bool {
	if a.Err != nil || b.Err != nil || len(a.Files) != len(b.Files) {
		return false
	}
	return !slices.ContainsFunc(a.Files, func(f File) bool {
		return !slices.ContainsFunc(b.Files, func(g File) bool {
			return f.Rel == g.Rel && f.Err == nil && g.Err == nil && dvcfile.Equal(f.Data, g.Data)
		})
	})
}

// Metrics reduces the content of a metrics file to what DVC takes for metrics:
// numbers, texts and booleans, and mappings of these at any depth. Lists, nulls
// and empty mappings are dropped. A file without any metric is an empty mapping.
func Metrics(v dvcfile.Value) dvcfile.Value {
	m := extract(v)
	switch x := m.(type) {
	case nil:
		return &dvcfile.Map{}
	case bool:
		if !x {
			return &dvcfile.Map{}
		}
	case string:
		if x == "" {
			return &dvcfile.Map{}
		}
	case dvcfile.Int, dvcfile.Float:
		// In Python a lone 0 is as good as nothing.
		if dvcfile.Equal(x, dvcfile.NewInt(0)) {
			return &dvcfile.Map{}
		}
	}
	return m
}

func extract(v dvcfile.Value) dvcfile.Value {
	switch x := v.(type) {
	case bool, string, dvcfile.Int, dvcfile.Float:
		return x
	case *dvcfile.Map:
		out := &dvcfile.Map{}
		for _, key := range x.Keys() {
			item, _ := x.Get(key)
			m := extract(item)
			if sub, ok := m.(*dvcfile.Map); m == nil || ok && sub.Len() == 0 {
				continue
			}
			out.Set(key, m)
		}
		return out
	}
	return nil
}

// ShowValue is the JSON of `metrics show`: {revision: {"data": {file: {"data":
// ...}}}}, with {"error": {"type", "msg"}} in the place of what failed.
func ShowValue(revs []Revision) *dvcfile.Map {
	out := &dvcfile.Map{}
	for _, r := range revs {
		if r.Err != nil {
			out.Set(r.Name, dvcfile.NewMap("error", ErrorValue(r.Err, "")))
			continue
		}
		out.Set(r.Name, dvcfile.NewMap("data", filesValue(r.Files)))
	}
	return out
}

// filesValue is {file: {"data": ...}} or {file: {"error": ...}}.
func filesValue(files []File) *dvcfile.Map {
	out := &dvcfile.Map{}
	for _, f := range files {
		if f.Err != nil {
			out.Set(f.Path, dvcfile.NewMap("error", ErrorValue(f.Err, f.Rel)))
			continue
		}
		out.Set(f.Path, dvcfile.NewMap("data", f.Data))
	}
	return out
}

// ErrorValue describes an error with the type names that readers of DVC's JSON
// look for. rel is the file that could not be read, "" for a whole revision.
func ErrorValue(err error, rel string) *dvcfile.Map {
	if m, ok := kept(err); ok {
		return m
	}
	kind, text := "DvcException", err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist), errs.KindOf(err) == errs.NotFound, errs.KindOf(err) == errs.DataMissing:
		kind = "FileNotFoundError"
		switch {
		case rel == "":
		case errs.KindOf(err) == errs.DataMissing:
			text = "[Errno 2] No storage files available: " + dvcfile.PyRepr(rel)
		default:
			text = "[Errno 2] No such file or directory: " + dvcfile.PyRepr(rel)
		}
	case errs.KindOf(err) == errs.ProjectFile:
		kind = "YAMLFileCorruptedError"
		switch path.Ext(rel) {
		case ".json":
			kind = "JSONFileCorruptedError"
		case ".toml":
			kind = "TOMLFileCorruptedError"
		case ".py":
			kind = "PythonFileCorruptedError"
		}
	}
	return dvcfile.NewMap("type", kind, "msg", text)
}
