package pipeline

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"

	"ctrx/internal/errs"
)

// lockedFolder is a work tree with a folder that may not be read.
type lockedFolder struct {
	Source
	path string
}

func (l lockedFolder) StageFiles(context.Context) ([]string, error) {
	return nil, &fs.PathError{Op: "open", Path: l.path, Err: fs.ErrPermission}
}

// A folder that cannot be read is named, with the line that leaves it out.
func TestUnreadableFolder(t *testing.T) {
	root := t.TempDir()
	p := &Project{Root: root, Dir: "."}
	_, err := p.LoadIndex(t.Context(), lockedFolder{path: filepath.Join(root, "pg data")})
	want := "make 'pg data' readable, or where it has no data of the project: echo '/pg data/' >> .dvcignore"
	if got := errs.HintOf(err); got != want {
		t.Errorf("hint %q, want %q", got, want)
	}
}
