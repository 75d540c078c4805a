package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
)

// journalVersion is the version of the format of sweep files.
const journalVersion = 1

// plan is what a sweep was asked for: the first line of its file.
type plan struct {
	Version   int       `json:"version"`
	Name      string    `json:"name"`
	Method    string    `json:"method"`
	Params    []string  `json:"params"` // -S arguments as typed
	Metric    string    `json:"metric"` // rel path and key
	Direction Direction `json:"direction"`
	Seed      uint64    `json:"seed"`
	Trials    int       `json:"trials,omitempty"` // 0: all of a grid
	Baseline  string    `json:"baseline"`         // commit that all trials start from
	Snapshot  string    `json:"snapshot"`         // commit with the work tree as it was when the sweep began
	Targets   []string  `json:"targets,omitempty"`
	Dir       string    `json:"dir"` // rel folder that the user stood in
	CopyPaths []string  `json:"copy_paths,omitempty"`
	Began     time.Time `json:"began"`
}

// State is how a trial stands.
type State string

// The states of a trial.
const (
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Trial is one experiment of a sweep.
type Trial struct {
	Number     int       `json:"number"`
	Experiment string    `json:"experiment"` // NAME-1, ...
	Params     []string  `json:"params"`     // -S arguments with the values, in canonical text
	State      State     `json:"state"`
	Value      *float64  `json:"value,omitempty"` // of the metric; Done
	Reason     string    `json:"reason,omitempty"`
	Commit     string    `json:"commit,omitempty"`
	RunID      string    `json:"run_id,omitempty"` // of MLflow
	Began      time.Time `json:"began"`
	Seconds    float64   `json:"seconds,omitempty"`
}

// line is one line of a sweep file: one of its fields is set. Of several lines
// about one trial the last counts.
type line struct {
	Sweep  *plan   `json:"sweep,omitempty"`
	Trial  *Trial  `json:"trial,omitempty"`
	Parent *parent `json:"parent,omitempty"`
	More   *more   `json:"more,omitempty"`
}

// parent is the MLflow run of the sweep.
type parent struct {
	RunID string `json:"run_id"`
}

// more is a resume that changes the number of trials.
type more struct {
	Trials int `json:"trials"`
}

// journal is the file of a sweep, open for this process alone.
type journal struct {
	file   *os.File
	lock   *fsx.FileLock
	plan   plan
	trials []*Trial // by number, from 1
	parent string   // MLflow run id, or ""
}

func sweepsDir(p *pipeline.Project) string { return filepath.Join(p.TmpDir(), "ctrx", "sweeps") }

func journalPath(p *pipeline.Project, name string) string {
	return filepath.Join(sweepsDir(p), name+".jsonl")
}

// createJournal begins the file of a sweep. A name that is taken is
// errs.Conflict.
func createJournal(p *pipeline.Project, first plan) (*journal, error) {
	file := journalPath(p, first.Name)
	lock, err := lockSweep(p, first.Name)
	if err != nil {
		return nil, err
	}
	j := &journal{lock: lock, plan: first}
	if err := checkUnused(p, first.Name); err != nil {
		return nil, errors.Join(err, j.close())
	}
	data, err := json.Marshal(line{Sweep: &first})
	if err == nil {
		err = fsx.WriteFile(file, append(data, '\n'), 0o666)
	}
	if err == nil {
		j.file, err = os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin the sweep: %w", err), j.close())
	}
	return j, nil
}

// checkUnused makes sure that there is no sweep of a name.
func checkUnused(p *pipeline.Project, name string) error {
	if _, err := os.Lstat(journalPath(p, name)); err != nil {
		return nil
	}
	return errs.Hint(errs.New(errs.Conflict, "there is a sweep of the name '%s'", name), "ctrx exp sweep --resume %s, or another --name", name)
}

// lockSweep makes sure that no other process works on a sweep.
func lockSweep(p *pipeline.Project, name string) (*fsx.FileLock, error) {
	lock, err := fsx.TryLock(filepath.Join(sweepsDir(p), name+".lock"))
	if locked, ok := errors.AsType[*fsx.LockedError](err); ok {
		return nil, errs.Hint(errs.New(errs.Conflict, "sweep '%s' is under way in process %d", name, locked.PID), "wait until it ends, or stop it with Ctrl-C there")
	}
	return lock, err
}

// openJournal reads the file of a sweep and opens it to go on. What a crash
// left of a last line is cut off.
func openJournal(p *pipeline.Project, name string) (*journal, error) {
	file := journalPath(p, name)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || filepath.Base(name) != name {
		return nil, unknownSweep(p, name)
	}
	lock, err := lockSweep(p, name)
	if err != nil {
		return nil, err
	}
	j := &journal{lock: lock}
	data, err := os.ReadFile(file)
	if err == nil {
		data = data[:bytes.LastIndexByte(data, '\n')+1]
		err = j.read(file, data)
	}
	if err == nil {
		j.file, err = os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err == nil {
		err = j.file.Truncate(int64(len(data)))
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

func unknownSweep(p *pipeline.Project, name string) error {
	err := errs.New(errs.NotFound, "there is no sweep '%s' in this project", name)
	files, _ := filepath.Glob(filepath.Join(sweepsDir(p), "*.jsonl"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".jsonl"))
	}
	if len(names) == 0 {
		return errs.Hint(err, "begin one: ctrx exp sweep --method random --n 20 --metric metrics.json:KEY -S ...")
	}
	return errs.Hint(err, "there is: %s", strings.Join(names, ", "))
}

func (j *journal) read(file string, data []byte) error {
	number := 0
	for text := range bytes.Lines(data) {
		number++
		var l line
		bad := func(why string) error {
			return errs.At(errs.Pos{File: file, Line: number, Col: 1}, "the record of the sweep is damaged: %s", why)
		}
		if err := json.Unmarshal(text, &l); err != nil {
			return bad(err.Error())
		}
		switch {
		case number == 1 && (l.Sweep == nil || l.Sweep.Version != journalVersion):
			return bad("it does not begin with a sweep of a version that this ctrx knows")
		case number == 1:
			j.plan = *l.Sweep
		case l.Trial != nil && l.Trial.Number >= 1 && l.Trial.Number <= len(j.trials):
			j.trials[l.Trial.Number-1] = l.Trial
		case l.Trial != nil && l.Trial.Number == len(j.trials)+1:
			j.trials = append(j.trials, l.Trial)
		case l.Trial != nil:
			return bad(fmt.Sprintf("trial %d comes after trial %d", l.Trial.Number, len(j.trials)))
		case l.Parent != nil:
			j.parent = l.Parent.RunID
		case l.More != nil:
			j.plan.Trials = l.More.Trials
		}
	}
	if number == 0 {
		return errs.New(errs.ProjectFile, "%s is empty", file)
	}
	return nil
}

// add writes a line and waits until it is on the disk.
func (j *journal) add(l line) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(data, '\n'))
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write down the state of the sweep: %w", fsx.FullDisk(err))
	}
	return nil
}

// put records how a trial stands.
func (j *journal) put(t *Trial) error {
	if t.Number == len(j.trials)+1 {
		j.trials = append(j.trials, t)
	}
	return j.add(line{Trial: t})
}

func (j *journal) close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	return errors.Join(err, j.lock.Unlock())
}
