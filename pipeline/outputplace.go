package pipeline

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"unicode/utf8"

	"ctrx/internal/errs"
	"ctrx/storage"
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
	return p.checkNotBehindLink(rel)
}

// checkNotBehindLink refuses a rel path that has a symbolic link above it.
func (p *Project) checkNotBehindLink(rel string) error {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if info, err := os.Lstat(p.Abs(dir)); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return errs.Hint(errs.New(errs.Conflict, "'%s' lies behind the symbolic link '%s'", p.Show(rel), p.Show(dir)),
				"name a path without links")
		}
	}
	return nil
}

// checkPlace refuses an output that is kept in the cache where no data may be:
// nothing is written there, and nothing taken from there. Outputs that are not
// kept may lie outside of the project, as in DVC, but not behind a URL.
func (o *Output) checkPlace() error {
	if isURL(o.Path) {
		return errs.Hint(errs.NewAt(errs.ProjectFile, o.Pos, "output '%s': a URL is no place for an output", o.Path),
			"let the command upload it, or write a file and `ctrx push`; a URL can be a dependency")
	}
	if !o.Cache {
		return nil
	}
	if err := checkDataPath(o.Rel); err != nil {
		return errs.At(o.Pos, "output '%s': %w", o.Path, err)
	}
	return nil
}

// checkPlaces is checkPlace for all outputs of stages, before the first of them
// is touched.
func checkPlaces(stages []*Stage) error {
	for _, s := range stages {
		for _, o := range s.Outs {
			if err := o.checkPlace(); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckPlaces refuses a source, such as a commit that is to be put into the work
// tree, with an output where no data may be. One whose stage files cannot be read
// passes: nothing is put anywhere for it.
func (p *Project) CheckPlaces(ctx context.Context, src Source) error {
	ix, err := p.LoadIndex(ctx, src)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return nil
	}
	return checkPlaces(ix.Stages)
}

// checkDataPath refuses a rel path by its text alone.
func checkDataPath(rel string) error {
	refuse := func(why string) error {
		return errs.New(errs.ProjectFile, "%q cannot be a place for data: %s", rel, why)
	}
	if rel == "." || !insideProject(rel) || filepath.IsAbs(rel) {
		return refuse("it lies outside the project")
	}
	if why := storage.BadName(rel); why != "" {
		return refuse(why)
	}
	if !utf8.ValidString(path.Base(rel)) { // the folders above it are not named there
		return refuse("no .dvc or dvc.yaml file can name it, as it is not UTF-8")
	}
	if !filepath.IsLocal(filepath.FromSlash(rel)) { // drives and device names, where the system has them
		return refuse("the system gives that name another meaning")
	}
	return nil
}
