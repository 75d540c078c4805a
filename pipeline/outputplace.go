package pipeline

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
)

// checkOutputPlace refuses a rel path that data must not be put at, whoever asks:
// outside of the project, in the administration of Git or DVC, behind a symbolic
// link, under a name that only some systems can have.
func (p *Project) checkOutputPlace(rel string) error {
	if err := checkDataPath(rel); err != nil {
		return err
	}
	if name := path.Base(rel); isStageFile(name) || name == "dvc.lock" {
		return errs.New(errs.Usage, "'%s' is the name of a stage file, not of data", p.Show(rel))
	}
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if info, err := os.Lstat(p.Abs(dir)); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return errs.Hint(errs.New(errs.Conflict, "'%s' lies behind the symbolic link '%s'", p.Show(rel), p.Show(dir)),
				"name a path without links")
		}
	}
	return nil
}

// checkDataPath refuses a rel path by its text alone.
func checkDataPath(rel string) error {
	refuse := func(why string) error {
		return errs.New(errs.ProjectFile, "%q cannot be a place for data: %s", rel, why)
	}
	if rel == "." || !insideProject(rel) || filepath.IsAbs(rel) {
		return refuse("it lies outside the project")
	}
	for _, r := range rel {
		if r < 0x20 || r == 0x7f {
			return refuse("its name has a control character")
		}
	}
	for part := range strings.SplitSeq(rel, "/") {
		switch admin := strings.ToLower(strings.TrimRight(part, ". ")); admin {
		case ".git", "git~1", ".dvc":
			return refuse("it is inside a " + admin + " folder")
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(rel)) { // drives and device names, where the system has them
		return refuse("the system gives that name another meaning")
	}
	return nil
}
