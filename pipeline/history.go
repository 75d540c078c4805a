package pipeline

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
)

// StageRun is one run of a stage's commands on this machine.
type StageRun struct {
	Stage      string    `json:"stage"` // address from the project root
	Began      time.Time `json:"began"`
	Seconds    float64   `json:"seconds"` // how long the commands took
	Failed     string    `json:"failed,omitempty"`
	Experiment string    `json:"experiment,omitempty"`
	RunID      string    `json:"run_id,omitempty"` // the MLflow run
	Entry      string    `json:"entry,omitempty"`  // digest of what dvc.lock recorded; "" when it failed
}

// Took is how long the commands ran.
func (r StageRun) Took() time.Duration { return time.Duration(r.Seconds * float64(time.Second)) }

// History is the record of the stages that ran here, a JSON object a line
// (.dvc/tmp/ctrx/history.jsonl). Losing it costs estimates only, so it is
// neither synced nor locked: a line is one write at the end of the file.
type History struct {
	path string
	file *os.File
}

// A history above historyLimit bytes is cut to the last historyKeep runs of
// each stage.
const (
	historyLimit = 8 << 20
	historyKeep  = 3
)

func (p *Project) history() *History {
	return &History{path: filepath.Join(p.shared, "history.jsonl")}
}

// entryDigest names what dvc.lock records of a stage.
func entryDigest(e *dvcfile.StageLock) string {
	if e == nil {
		return ""
	}
	sum := md5.Sum(dvcfile.CanonicalJSON(e.Value()))
	return hex.EncodeToString(sum[:])
}

// add records what became of a stage's commands.
func (h *History) add(p *Project, s *Stage, out outcome, o ExecuteOptions) {
	if out.began.IsZero() {
		return // it did not get as far as its commands
	}
	run := StageRun{
		Stage: s.Address("."), Began: out.began.UTC().Truncate(time.Second), Seconds: out.took.Seconds(),
		Experiment: o.Experiment, RunID: lookup(o.Env)("MLFLOW_RUN_ID"),
	}
	switch kind := errs.KindOf(out.err); {
	case out.err == nil:
		run.Entry = entryDigest(out.entry)
	case kind == errs.Interrupted || kind == errs.Terminated:
		run.Failed = "interrupted"
	default:
		run.Failed = out.err.Error()
	}
	if err := h.append(run); err != nil {
		p.Warn("the duration of stage '%s' is not recorded: %v", s.Name, err)
	}
}

func (h *History) append(run StageRun) error {
	if h.file == nil {
		if err := h.open(); err != nil {
			return err
		}
	}
	line, err := json.Marshal(run)
	if err != nil {
		return err
	}
	_, err = h.file.Write(append(line, '\n'))
	return err
}

func (h *History) open() error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o777); err != nil {
		return err
	}
	if info, err := os.Stat(h.path); err == nil && info.Size() > historyLimit {
		if err := h.shorten(); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(h.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	h.file = f
	return err
}

func (h *History) close() {
	if h.file != nil {
		_ = h.file.Close()
		h.file = nil
	}
}

func (h *History) shorten() error {
	runs, err := h.read()
	if err != nil {
		return err
	}
	var kept bytes.Buffer
	enc := json.NewEncoder(&kept)
	for _, rs := range runs {
		for _, r := range rs[max(0, len(rs)-historyKeep):] {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
	}
	return fsx.WriteFile(h.path, kept.Bytes(), 0o666)
}

// read gives the runs of each stage by its address from the project root, the
// last one last. A line that is not whole was left by a crash and says nothing.
func (h *History) read() (map[string][]StageRun, error) {
	data, err := os.ReadFile(h.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the history of stages: %w", err)
	}
	runs := map[string][]StageRun{}
	for line := range bytes.Lines(data) {
		var r StageRun
		if json.Unmarshal(line, &r) == nil && r.Stage != "" {
			runs[r.Stage] = append(runs[r.Stage], r)
		}
	}
	return runs, nil
}
