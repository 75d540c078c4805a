package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

func (l layout) slotLock(slot int) string {
	return filepath.Join(l.slots(), fmt.Sprintf("%d.lock", slot))
}

func (l layout) slotInfo(slot int) string {
	return filepath.Join(l.slots(), fmt.Sprintf("%d.json", slot))
}

// slotWait is the lock of the worker that waits for a slot: one whose worker
// was killed is held by the run that goes on.
func (l layout) slotWait(slot int) string {
	return filepath.Join(l.slots(), fmt.Sprintf("%d.wait", slot))
}

// slotStop asks the worker of a slot to take no other task.
func (l layout) slotStop(slot int) string {
	return filepath.Join(l.slots(), fmt.Sprintf("%d.stop", slot))
}

func (l layout) workerLog(slot int) string {
	return filepath.Join(l.slots(), fmt.Sprintf("%d.out", slot))
}

// slotState is what a worker tells of itself.
type slotState struct {
	Worker   process.ID `json:"worker"`
	Task     string     `json:"task,omitempty"` // that it runs
	GPUs     []string   `json:"gpus,omitempty"`
	FailFast bool       `json:"fail_fast,omitempty"`
}

// slot is a place for a worker that has one.
type slot struct {
	number int
	state  slotState
}

// slotsAtWork lists the slots that are held: by a worker, by a run that
// outlived its worker, or by a worker that waits for the end of that.
func (q *Queue) slotsAtWork() ([]slot, error) {
	names, err := listDir(q.layout.slots())
	if err != nil {
		return nil, err
	}
	numbers := map[int]bool{}
	for _, name := range names {
		number, kind, _ := strings.Cut(name, ".")
		if n, err := strconv.Atoi(number); err == nil && (kind == "lock" || kind == "wait") {
			numbers[n] = true
		}
	}
	var slots []slot
	for n := range numbers {
		// Who waits has the slot before it lets go of its place in the queue.
		waits, err := fsx.Held(q.layout.slotWait(n))
		if err != nil {
			return nil, err
		}
		held, err := fsx.Held(q.layout.slotLock(n))
		if err != nil {
			return nil, err
		}
		if !held && !waits {
			continue
		}
		s := slot{number: n}
		if _, err := readJSON(q.layout.slotInfo(n), &s.state); err != nil {
			s.state = slotState{}
		}
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(a, b slot) int { return a.number - b.number })
	return slots, nil
}

// Worker is a worker that is there.
type Worker struct {
	Slot int
	PID  int
	Task string // id of the task that it runs; "" when it waits
	GPUs []string
	Log  string
}

// Workers lists the workers of ctrx. Those of dvc are not known here.
func (q *Queue) Workers() ([]Worker, error) {
	slots, err := q.slotsAtWork()
	if err != nil {
		return nil, fmt.Errorf("list the workers: %w", err)
	}
	workers := make([]Worker, len(slots))
	for i, s := range slots {
		workers[i] = Worker{Slot: s.number, PID: s.state.Worker.PID, Task: s.state.Task, GPUs: s.state.GPUs, Log: q.layout.workerLog(s.number)}
	}
	return workers, nil
}

// Paused tells whether workers take no tasks for now.
func (q *Queue) Paused() bool {
	_, err := os.Lstat(q.layout.pausedFile())
	return err == nil
}

// Pause lets workers take no more tasks; what runs goes on.
func (q *Queue) Pause() error {
	if err := os.MkdirAll(q.layout.own(), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	return fsx.FullDisk(os.WriteFile(q.layout.pausedFile(), nil, 0o666))
}

// Resume ends a pause, and tells whether there was one.
func (q *Queue) Resume() (bool, error) {
	err := os.Remove(q.layout.pausedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
