package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// rwLock is DVC's table of paths that running processes read and write
// (.dvc/tmp/rwlock, dvc-compat section 10). The file is only touched under the
// flock on rwlock.lock, for moments; its entries live as long as their work.
type rwLock struct {
	dir    string // .dvc/tmp
	holder lockHolder
}

type lockHolder struct {
	PID int    `json:"pid"`
	Cmd string `json:"cmd"`
}

type lockTable struct {
	Read  map[string][]lockHolder `json:"read,omitempty"`
	Write map[string]lockHolder   `json:"write,omitempty"`
}

// acquire enters the absolute paths read and written, or fails with Conflict
// when a living process holds one of them in a way that excludes ours. The
// returned function takes the entries out again.
func (l *rwLock) acquire(ctx context.Context, reads, writes []string) (release func() error, err error) {
	err = l.update(ctx, func(t *lockTable) error {
		t.dropDead()
		if err := t.blocked(l.holder, reads, writes); err != nil {
			return err
		}
		t.enter(l.holder, reads, writes)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return l.update(ctx, func(t *lockTable) error { t.leave(l.holder, reads, writes); return nil })
	}, nil
}

// update changes the table under its own flock.
func (l *rwLock) update(ctx context.Context, change func(*lockTable) error) error {
	guard, err := fsx.Lock(ctx, filepath.Join(l.dir, "rwlock.lock"), 30*time.Second)
	if err != nil {
		return fmt.Errorf("lock the table of paths in use: %w", err)
	}
	defer guard.Unlock()
	name := filepath.Join(l.dir, "rwlock")
	t := &lockTable{}
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, t); err != nil {
			return errs.Hint(errs.New(errs.ProjectFile, "%s: unable to read the table of paths in use: %w", name, err),
				"no dvc or ctrx running? then: rm %s", name)
		}
	}
	if err := change(t); err != nil {
		return err
	}
	out, err := json.Marshal(t)
	if err != nil {
		return err
	}
	// No process outlives a power cut, so neither need the table.
	return fsx.WriteFileAs(name, out, 0o666, fsx.Fast)
}

func (t *lockTable) dropDead() {
	for p, hs := range t.Read {
		hs = slices.DeleteFunc(hs, func(h lockHolder) bool { return !processAlive(h.PID) })
		if t.Read[p] = hs; len(hs) == 0 {
			delete(t.Read, p)
		}
	}
	for p, h := range t.Write {
		if !processAlive(h.PID) {
			delete(t.Write, p)
		}
	}
}

// blocked reports another process's write that overlaps any of our paths, or
// another process's read that overlaps our writes. Stages of one process are
// kept apart by the order in which it runs them.
func (t *lockTable) blocked(me lockHolder, reads, writes []string) error {
	for p, h := range t.Write {
		for _, mine := range slices.Concat(reads, writes) {
			if h.PID != me.PID && overlaps(mine, p) {
				return busy(mine, h)
			}
		}
	}
	for p, hs := range t.Read {
		for _, h := range hs {
			for _, mine := range writes {
				if h.PID != me.PID && overlaps(mine, p) {
					return busy(mine, h)
				}
			}
		}
	}
	return nil
}

func busy(path string, h lockHolder) error {
	return errs.Hint(errs.New(errs.Conflict, "'%s' is busy, it is being blocked by:\n  (PID %d): %s", path, h.PID, h.Cmd),
		"wait until that process has ended, then repeat the command")
}

func (t *lockTable) enter(me lockHolder, reads, writes []string) {
	if t.Read == nil {
		t.Read = map[string][]lockHolder{}
	}
	if t.Write == nil {
		t.Write = map[string]lockHolder{}
	}
	for _, p := range reads {
		if !slices.Contains(t.Read[p], me) {
			t.Read[p] = append(t.Read[p], me)
		}
	}
	for _, p := range writes {
		t.Write[p] = me
	}
}

func (t *lockTable) leave(me lockHolder, reads, writes []string) {
	for _, p := range reads {
		rest := slices.DeleteFunc(t.Read[p], func(h lockHolder) bool { return h == me })
		if len(rest) == 0 {
			delete(t.Read, p)
			continue
		}
		t.Read[p] = rest
	}
	for _, p := range writes {
		if t.Write[p] == me {
			delete(t.Write, p)
		}
	}
}

// lockCommand is how this process names itself in the table.
func lockCommand(args []string) string {
	if len(args) == 0 {
		return "ctrx"
	}
	return "ctrx " + strings.Join(args, " ")
}

// LockExperiments keeps other processes from working on the named experiment
// refs, or on the "workspace", until the returned function is called. It is
// DVC's own table for this (.dvc/tmp/exps/rwlock).
func (p *Project) LockExperiments(ctx context.Context, names ...string) (release func() error, err error) {
	dir := filepath.Join(p.TmpDir(), "exps")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("lock experiments: %w", err)
	}
	l := p.rwLock()
	l.dir = dir
	return l.acquire(ctx, nil, names)
}
