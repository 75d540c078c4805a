package pipeline

import (
	"path"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Stage is one node of the graph: a stage of a dvc.yaml, or a whole .dvc file
// (a data source). Paths named "rel" are slash-separated and relative to the
// project root.
type Stage struct {
	File          string        // rel path of the dvc.yaml or .dvc file
	Name          string        // name in the dvc.yaml; "" for a .dvc file
	Cmd           dvcfile.Value // as compared and recorded: string or []Value; nil for a .dvc file
	CmdPos        errs.Pos
	Commands      []string // as run, one shell invocation each; none where `cmd` is empty
	WDir          string   // rel folder in which the commands run; paths are relative to it
	Deps          []*Dependency
	Params        []*ParamsDependency
	Outs          []*Output
	Frozen        bool
	AlwaysChanged bool
	Desc          string
	Meta          dvcfile.Value
	Vars          *dvcfile.Map       // values of files that templates of the stage use: rel path -> dotted key -> value
	Data          *dvcfile.DataFile  // the parsed .dvc file, nil for a stage of a dvc.yaml
	Lock          *dvcfile.StageLock // what dvc.lock (or the .dvc file) recorded, nil when nothing
	Pos           errs.Pos
}

// Dependency is a file, folder or URL that a stage reads.
type Dependency struct {
	Path     string         // as written
	Rel      string         // rel path; "" for a URL
	Recorded *dvcfile.Entry // nil when nothing was recorded
	Pos      errs.Pos
}

// ParamsDependency is the part of a parameters file that a stage reads.
type ParamsDependency struct {
	dvcfile.ParamsDep
	Rel      string       // rel path of the file
	Recorded *dvcfile.Map // key -> value; nil when nothing was recorded
}

// Output is a file or folder that a stage makes.
type Output struct {
	dvcfile.Output
	Rel      string // rel path, or an absolute path outside the project
	Recorded *dvcfile.Entry
}

// IsData tells whether the stage is a .dvc file.
func (s *Stage) IsData() bool { return s.Data != nil }

// IsCallback tells whether the stage has a command but neither dependencies
// nor outputs: DVC runs such a stage every time.
func (s *Stage) IsCallback() bool {
	return s.hasCommand() && len(s.Deps) == 0 && len(s.Params) == 0 && len(s.Outs) == 0
}

// hasCommand tells whether there is something to run: not in a .dvc file, and
// not where `cmd` is an empty string or list.
func (s *Stage) hasCommand() bool { return len(s.Commands) > 0 }

// recordable is an error for a stage whose `cmd` is empty: dvc.lock has no form
// for it, so it can be neither run nor committed. Its file is as usable as with DVC
// for everything else.
func (s *Stage) recordable() error {
	if s.IsData() || s.hasCommand() {
		return nil
	}
	return errs.Hint(errs.At(s.CmdPos, "stage '%s': 'cmd' is empty", s.Name), "give the command behind `cmd:`")
}

// Address is how the stage is named from the rel folder dir: "train" for a
// stage of dir/dvc.yaml, "sub/dvc.yaml:train" elsewhere, "x.dvc" for data.
func (s *Stage) Address(dir string) string {
	file := relFrom(dir, s.File)
	switch {
	case s.IsData():
		return file
	case file == "dvc.yaml":
		return s.Name
	}
	return file + ":" + s.Name
}

// LockFile is the rel path of the dvc.lock that records the stage.
func (s *Stage) LockFile() string { return path.Join(path.Dir(s.File), "dvc.lock") }

// relFrom expresses the rel path p relative to the rel folder dir.
func relFrom(dir, p string) string {
	if path.IsAbs(p) || filepath.IsAbs(p) {
		return p
	}
	r, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(p))
	if err != nil {
		return p
	}
	return filepath.ToSlash(r)
}

// isURL tells whether a path as written names a remote object.
func isURL(p string) bool { return strings.Contains(p, "://") }

// resolveRel gives the rel path of p, written in a stage whose folder is wdir.
// A path outside the project stays absolute or begins with "..".
func resolveRel(wdir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.ToSlash(filepath.Clean(p))
	}
	return path.Join(wdir, filepath.ToSlash(p))
}

// overlaps tells whether two rel paths are equal or one contains the other.
func overlaps(a, b string) bool { return inside(a, b) || inside(b, a) }

// inside tells whether p equals dir or lies below it.
func inside(p, dir string) bool {
	return p == dir || dir == "." || strings.HasPrefix(p, dir+"/")
}
