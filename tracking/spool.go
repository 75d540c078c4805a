package tracking

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// The spool keeps what a run could not send. For a run with the key K it has
//
//	K.jsonl   one operation per line, the first creates the run; only appended to
//	K.files/  the artifacts that the operations name, 1, 2, ...
//	K.lock    locked by the process that logs the run, so that nobody sends half of it
//	K.ack     what Sync has sent: "run ID" and the numbers of operations, one per line
//
// and sync.lock, held by a Sync. Every line is flushed to the disk before the
// operation counts as kept. A line without a newline at its end was cut off by
// a crash and never happened.
const (
	spoolVersion = 1
	opDetached   = "detached" // a mark: from here on the whole run is in the spool
)

func (cfg Config) spoolDir() string { return filepath.Join(cfg.Dir, ".dvc", "tmp", "ctrx", "spool") }

// spoolFile is the spool of one run that is being logged.
type spoolFile struct {
	base     string // path without suffix
	f        *os.File
	size     int64 // of the complete lines
	lock     *fsx.FileLock
	files    int
	detached bool
}

// createSpool starts the spool of a run with the operation that creates it.
func createSpool(ctx context.Context, cfg Config, key string, header operation) (*spoolFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	base := filepath.Join(cfg.spoolDir(), key)
	lock, err := fsx.TryLock(base + ".lock")
	if err != nil {
		return nil, fmt.Errorf("spool run: %w", err)
	}
	s := &spoolFile{base: base, lock: lock, detached: header.Detached}
	s.f, err = os.OpenFile(base+".jsonl", os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err == nil {
		if err = s.appendLine(header); err != nil { // an empty file would be in the way of the next try
			err = errors.Join(err, os.Remove(base+".jsonl"))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool run: %w", fsx.FullDisk(err)), s.close())
	}
	return s, nil
}

// setDetached notes once that the rest of the run will be here.
func (s *spoolFile) setDetached(detached bool) error {
	if !detached || s.detached {
		return nil
	}
	s.detached = true
	return s.append(operation{Op: opDetached})
}

// append keeps an operation; the content of an artifact is copied first.
func (s *spoolFile) append(op operation) error {
	err := s.keepSource(&op)
	if err == nil {
		err = s.appendLine(op)
	}
	if err != nil {
		return fmt.Errorf("spool run: %w", fsx.FullDisk(err))
	}
	return nil
}

func (s *spoolFile) keepSource(op *operation) error {
	if op.source == nil {
		return nil
	}
	dir := s.base + ".files"
	root, err := openArtifactRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := op.source.Seek(op.from, io.SeekStart); err != nil {
		return err
	}
	s.files++
	op.File = strconv.Itoa(s.files)
	return publish(root, op.File, io.LimitReader(op.source, op.Size))
}

func (s *spoolFile) appendLine(op operation) error {
	line, err := wire.Marshal(op)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	n, err := s.f.Write(line)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		if n > 0 { // a part of a line would spoil the next one
			err = errors.Join(err, s.f.Truncate(s.size))
		}
		return err
	}
	s.size += int64(len(line))
	return nil
}

// close lets other processes send the run.
func (s *spoolFile) close() error {
	var err error
	if s.f != nil {
		err = s.f.Close()
	}
	return errors.Join(err, s.lock.Unlock())
}

// readSpool reads the operations of a spool file.
func readSpool(path string) ([]operation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var ops []operation
	for n := 1; len(data) > 0; n++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		data = rest
		var op operation
		if err := json.Unmarshal(line, &op); err != nil {
			return nil, errs.New(errs.DataCorrupt, "%s:%d: %w", path, n, err)
		}
		ops = append(ops, op)
	}
	if len(ops) > 0 && (ops[0].Op != opCreate || ops[0].Key == "") {
		return nil, errs.New(errs.DataCorrupt, "%s:1: the first line does not create a run", path)
	}
	if len(ops) > 0 && ops[0].Version != spoolVersion {
		return nil, errs.New(errs.Failed, "%s was written by another version of ctrx (format %d, this one knows %d)", path, ops[0].Version, spoolVersion)
	}
	return ops, nil
}

// acks is the progress of a Sync on one run.
type acks struct {
	f     *os.File
	runID string
	done  map[int]bool // operations by their position, the create is 0
}

// openAcks reads what was sent before and opens the file for more.
func openAcks(path string) (*acks, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fsx.FullDisk(err)
	}
	a := &acks{f: f, done: map[int]bool{}}
	r := bufio.NewReader(f)
	var size int64
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			// Cut a line that a crash left unfinished, or the next one
			// would be glued to it.
			if line != "" {
				err = f.Truncate(size)
			} else {
				err = nil
			}
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return a, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		size += int64(len(line))
		line = strings.TrimSpace(line)
		if id, ok := strings.CutPrefix(line, "run "); ok {
			a.runID = id
		} else if n, err := strconv.Atoi(line); err == nil {
			a.done[n] = true
		}
	}
}

func (a *acks) add(line string) error {
	if _, err := a.f.WriteString(line + "\n"); err != nil {
		return fsx.FullDisk(err)
	}
	return a.f.Sync()
}

func (a *acks) ack(n int) error {
	if err := a.add(strconv.Itoa(n)); err != nil {
		return err
	}
	a.done[n] = true
	return nil
}

func (a *acks) setRun(id string) error {
	if err := a.add("run " + id); err != nil {
		return err
	}
	a.runID = id
	return nil
}

// removeSpool deletes a run's spool but for its lock. The operations go first:
// without them the rest means nothing, and a later Sync sweeps it up.
func removeSpool(base string) error {
	if err := remove(base + ".jsonl"); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(base+".files"), remove(base+".ack"))
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
