package queue

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// Status of a run in DVC's infofile.
type infoStatus int

// The values, as DVC numbers them.
const (
	infoPending infoStatus = iota
	infoPreparing
	infoRunning
	infoSuccess
	infoFailed
	infoCancelled
	infoFinished
)

// runInfo is DVC's infofile of a run (REV.run).
type runInfo struct {
	GitURL      string     `json:"git_url"`
	Baseline    string     `json:"baseline_rev"`
	Location    string     `json:"location"` // workspace, tempdir, dvc-task
	RootDir     string     `json:"root_dir"` // of the repository that it runs in
	DVCDir      string     `json:"dvc_dir"`  // folder of the project below RootDir
	Name        *string    `json:"name"`
	WDir        *string    `json:"wdir"`
	ResultHash  *string    `json:"result_hash"`
	ResultRef   *string    `json:"result_ref"`
	ResultForce bool       `json:"result_force"`
	Status      infoStatus `json:"status"`
}

// processInfo is DVC's file about the process of a run (REV.json).
type processInfo struct {
	PID        int     `json:"pid"`
	Stdin      *string `json:"stdin"`
	Stdout     *string `json:"stdout"`
	Stderr     *string `json:"stderr"`
	ReturnCode *int    `json:"returncode"`
}

// taskResult is the result file of a task. Its status is SUCCESS for failed
// runs too; what became of the run is in the infofile.
type taskResult struct {
	Status    string  `json:"status"`
	Result    any     `json:"result"`
	Traceback *string `json:"traceback"`
	Children  []any   `json:"children"`
	DateDone  string  `json:"date_done"`
	TaskID    string  `json:"task_id"`
}

// done tells whether the status is an end.
func (r taskResult) done() bool {
	return r.Status == "SUCCESS" || r.Status == "FAILURE" || r.Status == "REVOKED"
}

// readJSON reads a file into v; ok is false where there is none.
func readJSON(name string, v any) (ok bool, err error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, errs.New(errs.ProjectFile, "%s: %w", name, err)
	}
	return true, nil
}

// writeJSON publishes v as a file, and makes its folder.
func writeJSON(name string, v any, d fsx.Durability) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	err = fsx.WriteFileAs(name, data, 0o666, d)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return fsx.FullDisk(err)
		}
		err = fsx.WriteFileAs(name, data, 0o666, d)
	}
	return err
}
