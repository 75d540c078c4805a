package tracking

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
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/process"
)

// A process that logs a run holds a lease on it until the run has its end: below
// <Dir>/.dvc/tmp/ctrx/mlflow, for a run with the key K,
//
//	K.lock  locked by the process; the kernel lets go when it dies, however it dies
//	K.json  which run it is; written before the server is asked to create it.
//	        Its time of change is when the run last said something.
//
// A run whose lease nobody holds has lost its process, and Reap ends it.
const leaseVersion = 1

func (cfg Config) leaseDir() string { return filepath.Join(cfg.Dir, ".dvc", "tmp", "ctrx", "mlflow") }

// leaseBeat is how often a run that logs shows that it is alive.
const leaseBeat = 5 * time.Second

// leaseRecord is the content of K.json.
type leaseRecord struct {
	Version    int        `json:"version"`
	Key        string     `json:"key"`
	URI        string     `json:"uri"` // without secrets
	Experiment string     `json:"experiment"`
	RunID      string     `json:"run_id,omitempty"` // empty until the server has answered
	Process    process.ID `json:"process"`
	// What Finish was about to say, when it was cut off.
	Status  string `json:"status,omitempty"`
	EndTime int64  `json:"end_time,omitempty"` // ms
}

// lease is held by the process that logs a run. A nil lease does nothing.
type lease struct {
	base   string
	lock   *fsx.FileLock
	record leaseRecord
	beaten time.Time
}

// takeLease begins the lease of a run. A run is not lost for want of it, as on a
// full disk: then there is none.
func (c *Client) takeLease(header operation) *lease {
	base := filepath.Join(c.cfg.leaseDir(), header.Key)
	lock, err := fsx.TryLock(base + ".lock")
	if err != nil {
		c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf("the MLflow run would stay RUNNING if this process were killed: %v", err)})
		return nil
	}
	l := &lease{base: base, lock: lock, beaten: c.cfg.Now(), record: leaseRecord{
		Version: leaseVersion, Key: header.Key, URI: header.URI, Experiment: header.Experiment, RunID: header.RunID, Process: process.Self(),
	}}
	durability := fsx.Flushed
	if c.embedded != nil { // a power cut takes the newest of the store along
		durability = fsx.Fast
	}
	l.write(durability)
	return l
}

// write publishes the record. That it fails shows only in a run that is killed.
func (l *lease) write(d fsx.Durability) {
	if data, err := json.Marshal(l.record); err == nil {
		_ = fsx.WriteFileAs(l.base+".json", data, 0o666, d)
	}
}

// created notes the id that the server gave.
func (l *lease) created(id string) {
	if l != nil {
		l.record.RunID = id
		l.write(fsx.Fast)
	}
}

// beat shows that the run goes on.
func (l *lease) beat(now time.Time) {
	if l != nil && now.Sub(l.beaten) >= leaseBeat {
		l.beaten = now
		_ = os.Chtimes(l.base+".json", now, now)
	}
}

// ending notes how the run ends, before the server is told.
func (l *lease) ending(status Status, end time.Time) {
	if l != nil {
		l.record.Status, l.record.EndTime = string(status), end.UnixMilli()
		l.write(fsx.Fast)
	}
}

// release ends the lease: the run has its end, on the server or in the spool.
func (l *lease) release() error {
	if l == nil {
		return nil
	}
	return endLease(l.base, l.lock)
}

// endLease removes a lease. The record goes first: without it the lock means
// nothing. The lock goes last, as Windows does not remove a file that is open.
func endLease(base string, lock *fsx.FileLock) error {
	err := errors.Join(remove(base+".json"), lock.Unlock())
	if err == nil {
		_ = os.Remove(base + ".lock")
	}
	return err
}

// dropLease removes the lease of a run that has its end, where a killed process
// has left it.
func dropLease(cfg Config, key string) error {
	base := filepath.Join(cfg.leaseDir(), key)
	if _, err := os.Stat(base + ".json"); err != nil {
		return nil
	}
	lock, err := fsx.TryLock(base + ".lock")
	if err != nil {
		return nil // its process lives, and ends the lease itself
	}
	return endLease(base, lock)
}

// ReapedRun is a run that was found without its process.
type ReapedRun struct {
	ID     string
	URI    string
	Status Status // KILLED, or what the run was about to say
}

// Reap ends the runs of this client's store whose processes were killed: they
// get the status KILLED, and as their end the time at which they last said
// something. Runs on a server that does not answer are left for the next time.
func (c *Client) Reap(ctx context.Context) ([]ReapedRun, error) {
	return reap(ctx, c.cfg, func(uri string) (*Client, error) {
		if uri != c.URI() {
			return nil, nil
		}
		return c, nil
	})
}

// clearOld removes a file that a process was writing when it was killed.
func clearOld(cfg Config, name string) {
	info, err := os.Stat(name)
	if err == nil && strings.HasSuffix(name, ".tmp") && cfg.Now().Sub(info.ModTime()) > time.Hour {
		_ = os.Remove(name)
	}
}

// reap ends dead runs. client gives the client for a tracking URI, or nil for
// one that is not to be looked at.
func reap(ctx context.Context, cfg Config, client func(uri string) (*Client, error)) ([]ReapedRun, error) {
	entries, err := os.ReadDir(cfg.leaseDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for MLflow runs without a process: %w", err)
	}
	var reaped []ReapedRun
	var failures []error
	down := map[string]bool{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			clearOld(cfg, filepath.Join(cfg.leaseDir(), e.Name()))
			continue
		}
		run, uri, err := reapOne(ctx, cfg, filepath.Join(cfg.leaseDir(), name), down, client)
		if err != nil {
			if ctx.Err() != nil {
				return reaped, context.Cause(ctx)
			}
			failures = append(failures, err)
			down[uri] = down[uri] || errs.KindOf(err) == errs.Unreachable
		}
		if run != nil {
			cfg.Sink.Send(event.Event{Type: event.Info, Text: fmt.Sprintf("MLflow run %s lost its process: it is %s now", run.ID, run.Status)})
			reaped = append(reaped, *run)
		}
	}
	return reaped, errors.Join(failures...)
}

func reapOne(ctx context.Context, cfg Config, base string, down map[string]bool, client func(uri string) (*Client, error)) (*ReapedRun, string, error) {
	lock, err := fsx.TryLock(base + ".lock")
	if err != nil { // its process lives
		return nil, "", nil
	}
	record, seen, err := readLease(base + ".json")
	keep := func(err error) (*ReapedRun, string, error) {
		return nil, record.URI, errors.Join(err, lock.Unlock())
	}
	switch {
	case err != nil: // it ended just now, or was cut off by a power cut and leads to nothing
		return nil, "", endLease(base, lock)
	case !record.Process.Here(): // flock may not reach to another machine
		return keep(nil)
	case down[record.URI]:
		return keep(nil)
	}
	if _, err := os.Stat(filepath.Join(cfg.spoolDir(), record.Key+".jsonl")); err == nil {
		return keep(nil) // Sync ends the run, after what it still has to say
	}
	c, err := client(record.URI)
	if err != nil || c == nil {
		return keep(err)
	}
	run, err := c.endDead(ctx, record, seen)
	if err != nil {
		return keep(fmt.Errorf("end the MLflow run of a killed process: %w", err))
	}
	return run, record.URI, endLease(base, lock)
}

func readLease(path string) (leaseRecord, time.Time, error) {
	var record leaseRecord
	data, err := os.ReadFile(path)
	if err != nil {
		return record, time.Time{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return record, time.Time{}, err
	}
	if err := json.Unmarshal(data, &record); err != nil || record.Version != leaseVersion || record.Key == "" {
		return record, time.Time{}, errs.New(errs.DataCorrupt, "%s is no lease", path)
	}
	return record, info.ModTime(), nil
}

// endDead gives a run its end. It is nil where the server has no such run.
func (c *Client) endDead(ctx context.Context, record leaseRecord, seen time.Time) (*ReapedRun, error) {
	if record.RunID == "" { // killed while it was being created
		e, err := c.rest.experimentByName(ctx, record.Experiment)
		if err == nil {
			info, found, findErr := c.findByKey(ctx, e.ID, record.Key, false)
			err = findErr
			if found {
				record.RunID = first(info.RunID, info.RunUUID)
			}
		}
		if errs.KindOf(err) == errs.NotFound || err == nil && record.RunID == "" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	end := operation{Op: opUpdate, Status: string(Killed), EndTime: seen.UnixMilli()}
	if record.Status != "" {
		end.Status, end.EndTime = record.Status, record.EndTime
	}
	err := c.apply(ctx, target{id: record.RunID}, end)
	if kind := errs.KindOf(err); err != nil && slices.Contains([]errs.Kind{errs.NotFound, errs.Conflict}, kind) {
		return nil, nil // purged or deleted: nobody looks at its status
	}
	if err != nil {
		return nil, err
	}
	return &ReapedRun{ID: record.RunID, URI: c.URI(), Status: Status(end.Status)}, nil
}
