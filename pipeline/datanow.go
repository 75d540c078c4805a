package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// DataNow puts changed data of .dvc files into the cache, and gives what those
// files would hold if the data were added as it is, by rel path. The files
// themselves stay as they are: a copy of the work tree takes the new ones. Data
// that is not here, and imported data, is left as recorded.
func (p *Project) DataNow(ctx context.Context) (map[string][]byte, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, s := range ix.Stages {
		if !s.IsData() || len(s.Deps) > 0 || p.lacksOutput(s) {
			continue
		}
		changes, err := p.Check(ctx, s)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == OutputChanged }) {
			continue
		}
		if _, err := p.settled(ctx, s, commitMode{noRelink: true}); err != nil {
			return nil, fmt.Errorf("put the data of %s into the cache: %w", p.Show(s.File), err)
		}
		files[s.File] = s.Data.Encode()
	}
	return files, nil
}

func (p *Project) lacksOutput(s *Stage) bool {
	return slices.ContainsFunc(s.Outs, func(o *Output) bool {
		_, err := os.Lstat(p.Abs(o.Rel))
		return errors.Is(err, fs.ErrNotExist)
	})
}
