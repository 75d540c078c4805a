package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/report"
)

// markRun tells other processes of a run in the work tree by the files that DVC
// writes for it (dvc-compat 11.5), so that `exp show`, `exp watch` and the
// editor plugin see it. The returned function takes them away; after a crash
// the process id in them leads to nobody.
func markRun(p *pipeline.Project, name, baseline string) (done func() error, err error) {
	dir := filepath.Join(p.TmpDir(), "exps", "run", report.Workspace)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("mark the run: %w", err)
	}
	prefix, err := filepath.Rel(p.Git.Root(), p.Root)
	if err != nil {
		return nil, err
	}
	const running = 2
	info := map[string]any{
		"git_url": "file://" + filepath.ToSlash(p.Git.Root()), "baseline_rev": baseline, "location": report.Workspace, "root_dir": p.Git.Root(),
		"dvc_dir": filepath.Join(prefix, ".dvc"), "name": name, "wdir": p.GitPath(p.Dir), "result_hash": nil, "result_ref": nil, "result_force": false, "status": running,
	}
	process := map[string]any{"pid": os.Getpid(), "stdin": nil, "stdout": nil, "stderr": nil, "returncode": nil}
	var files []string
	done = func() error {
		var all error
		for _, f := range files {
			if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				all = errors.Join(all, err)
			}
		}
		return all
	}
	for _, f := range []struct {
		name  string
		value any
	}{{"workspace.run", info}, {"workspace.json", process}} {
		data, err := json.Marshal(f.value)
		if err == nil {
			files = append(files, filepath.Join(dir, f.name))
			err = fsx.WriteFileAs(files[len(files)-1], data, 0o666, fsx.Fast)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mark the run: %w", err), done())
		}
	}
	return done, nil
}
