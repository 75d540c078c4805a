package tracking

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// SyncResult says what a Sync did.
type SyncResult struct {
	Runs   []SyncedRun // sent whole, in order
	Left   int         // runs that are still in the spool: being logged, or failed
	Reaped []ReapedRun // whose processes were killed, see Client.Reap
}

// SyncedRun is a run that the server has now.
type SyncedRun struct {
	Key string // its id while it was in the spool
	ID  string // its id on the server
	URI string // of the server, without secrets
}

// Spooled counts the runs that wait in the spool below a project folder.
func Spooled(dir string) (int, error) {
	names, err := spooledRuns(Config{Dir: dir}.spoolDir())
	return len(names), err
}

// spooledRuns lists the bases of the spooled runs, oldest first.
func spooledRuns(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tracking spool: %w", err)
	}
	type item struct {
		base  string
		start int64
	}
	var items []item
	for _, e := range entries {
		key, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok {
			continue
		}
		i := item{base: filepath.Join(dir, key)}
		if ops, err := readSpool(i.base + ".jsonl"); err == nil && len(ops) > 0 {
			i.start = ops[0].StartTime
		}
		items = append(items, i)
	}
	slices.SortStableFunc(items, func(a, b item) int { return int(min(max(a.start-b.start, -1), 1)) })
	bases := make([]string, len(items))
	for i, it := range items {
		bases[i] = it.base
	}
	return bases, nil
}

// Sync sends the spooled runs to their servers, in the order in which they
// began, each operation once. It can be killed and repeated at any point: what
// a server has acknowledged is noted, and the one operation that may have been
// sent without a note is one that MLflow takes twice without harm, or, for the
// creation of a run, is looked up by its key first.
//
// A run goes to the server of cfg.URI; without one, or when its server has a
// part of it already, to the server it was meant for. Runs that another process
// is logging at the moment are left alone. A run that was cut off by a crash is
// given the status KILLED. A failure does not keep other runs from being sent;
// all failures are returned together. In the end runs without a process get
// their end, see Client.Reap, on all servers that runs went to.
func Sync(ctx context.Context, cfg Config) (SyncResult, error) {
	cfg = cfg.withDefaults()
	s := syncer{cfg: cfg, clients: map[string]*Client{}, dead: map[string]error{}}
	defer s.close()
	result, err := s.spool(ctx)
	var busy *fsx.LockedError
	if ctx.Err() != nil || errors.As(err, &busy) {
		return result, err
	}
	if settleErr := s.settle(ctx); settleErr != nil {
		err = errors.Join(err, settleErr)
	}
	var reapErr error
	result.Reaped, reapErr = reap(ctx, cfg, func(uri string) (*Client, error) { return s.client(operation{URI: uri}, true) })
	if errs.KindOf(reapErr) == errs.Unreachable { // it may be gone for good, with its runs
		cfg.Sink.Send(event.Event{Type: event.Warn, Text: reapErr.Error()})
		reapErr = nil
	}
	return result, errors.Join(err, reapErr)
}

// spool sends what is in the spool.
func (s *syncer) spool(ctx context.Context) (SyncResult, error) {
	cfg := s.cfg
	dir := cfg.spoolDir()
	var result SyncResult
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return result, nil
	}
	lock, err := fsx.TryLock(filepath.Join(dir, "sync.lock"))
	if err != nil {
		var busy *fsx.LockedError
		if errors.As(err, &busy) {
			return result, errs.New(errs.Conflict, "another sync is sending the spool: %w", err)
		}
		return result, err
	}
	defer lock.Unlock() //nolint:errcheck // the kernel lets go at exit in any case
	runs, err := spooledRuns(dir)
	if err != nil || len(runs) == 0 {
		return result, errors.Join(err, sweep(cfg))
	}
	var failures []error
	for i, base := range runs {
		cfg.Sink.Send(event.Event{Type: event.Progress, Text: "sync runs", Done: int64(i), Total: int64(len(runs)), Unit: "runs"})
		done, err := s.run(ctx, base)
		switch {
		case ctx.Err() != nil:
			return result, context.Cause(ctx)
		case err != nil:
			failures = append(failures, err)
			result.Left++
		case done == nil:
			result.Left++
		default:
			result.Runs = append(result.Runs, *done)
		}
	}
	cfg.Sink.Send(event.Event{Type: event.Progress, Text: "sync runs", Done: int64(len(result.Runs)), Total: int64(len(runs)), Unit: "runs", Final: true})
	return result, errors.Join(append(failures, sweep(cfg))...)
}

// sweep removes what a Sync left that was killed while it removed a run. What
// is young is left alone: a run that begins just now makes its lock first.
func sweep(cfg Config) error {
	dir := cfg.spoolDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		base := filepath.Join(dir, strings.TrimSuffix(e.Name(), ext))
		if e.Name() == "sync.lock" || ext != ".ack" && ext != ".files" && ext != ".lock" {
			continue
		}
		if _, err := os.Stat(base + ".jsonl"); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		info, err := e.Info()
		if err != nil || cfg.Now().Sub(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := fsx.TryLock(base + ".lock")
		if err != nil {
			continue
		}
		err = errors.Join(removeSpool(base), lock.Unlock())
		if err == nil {
			err = os.Remove(base + ".lock")
		}
		if err != nil {
			return fmt.Errorf("sweep the tracking spool: %w", err)
		}
	}
	return nil
}

// syncer sends runs; it keeps one client per server.
type syncer struct {
	cfg     Config
	clients map[string]*Client // by URI
	dead    map[string]error   // servers that did not answer, by URI
}

func (s *syncer) close() {
	for _, c := range s.clients {
		_ = c.Close()
	}
}

// client gives the client for a spooled run.
func (s *syncer) client(header operation, known bool) (*Client, error) {
	uri := s.cfg.URI
	if own, err := locate(uri, s.cfg.Dir); err == nil && header.URI != own.display && (uri == "" || known) {
		uri = header.URI
	}
	if err := s.dead[uri]; err != nil {
		return nil, err
	}
	if c, ok := s.clients[uri]; ok {
		return c, nil
	}
	cfg := s.cfg
	cfg.URI = uri
	c, err := open(cfg, whenSyncing())
	if err != nil {
		return nil, err
	}
	s.clients[uri] = c
	return c, nil
}

// run sends one spooled run. It returns nil without an error for a run that
// another process is still logging.
func (s *syncer) run(ctx context.Context, base string) (*SyncedRun, error) {
	lock, err := fsx.TryLock(base + ".lock")
	var busy *fsx.LockedError
	if errors.As(err, &busy) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	done, err := s.locked(ctx, base)
	err = errors.Join(err, lock.Unlock())
	if err == nil {
		// After the unlock, because Windows does not remove an open file. If
		// it stays, the sweep of a later Sync takes it.
		_ = os.Remove(base + ".lock")
	}
	return done, err
}

func (s *syncer) locked(ctx context.Context, base string) (*SyncedRun, error) {
	ops, err := readSpool(base + ".jsonl")
	if err != nil {
		return nil, err
	}
	if len(ops) == 0 { // killed before the first line was whole: nothing was logged
		return &SyncedRun{Key: filepath.Base(base)}, removeSpool(base)
	}
	a, err := openAcks(base + ".ack")
	if err != nil {
		return nil, err
	}
	sent, err := s.send(ctx, base, ops, a)
	if err = errors.Join(err, a.f.Close()); err != nil {
		return nil, fmt.Errorf("sync run %s: %w", first(ops[0].Name, ops[0].Key), err)
	}
	err = removeSpool(base)
	if detached := func(op operation) bool { return op.Detached || op.Op == opDetached }; slices.ContainsFunc(ops, detached) {
		err = errors.Join(err, dropLease(s.cfg, ops[0].Key)) // the run has its end, wherever it was sent
	}
	return sent, err
}

// send replays the operations that are not acknowledged. An artifact that its
// store refuses does not keep back what comes after it.
func (s *syncer) send(ctx context.Context, base string, ops []operation, a *acks) (*SyncedRun, error) {
	header := ops[0]
	if header.RunID != "" {
		a.runID = header.RunID
	}
	c, err := s.client(header, a.runID != "")
	if err != nil {
		return nil, err
	}
	t, err := c.place(ctx, header, a)
	if err != nil {
		return nil, s.mark(c, err)
	}
	var failures []error
	detached, finished := header.Detached, false
	for i, op := range ops[1:] {
		n := i + 1
		detached = detached || op.Op == opDetached
		finished = finished || op.Op == opUpdate && op.Status != string(Running)
		if a.done[n] || op.Op == opDetached {
			continue
		}
		err := s.one(ctx, c, t, base, op)
		var store *storeError
		switch {
		case err == nil:
			err = a.ack(n)
		case errors.As(err, &store) && ctx.Err() == nil:
			failures = append(failures, err)
			continue
		}
		if err != nil {
			return nil, s.mark(c, err)
		}
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	if header.RunID == "" { // it had its key for an id so far
		if err := c.renameParent(ctx, header, t.id); err != nil {
			return nil, s.mark(c, err)
		}
	}
	if detached && !finished && !header.Shared {
		end := operation{Op: opUpdate, Status: string(Killed), EndTime: lastWrite(base, header).UnixMilli()}
		if err := c.apply(ctx, t, end); err != nil {
			return nil, s.mark(c, err)
		}
	}
	return &SyncedRun{Key: header.Key, ID: t.id, URI: c.URI()}, nil
}

// mark remembers a server that is down, so that the other runs for it do not
// wait for it too.
func (s *syncer) mark(c *Client, err error) error {
	var refused *ServerError
	if isNetwork(err) || errors.As(err, &refused) && refused.passing() {
		for uri, known := range s.clients {
			if known == c {
				s.dead[uri] = err
			}
		}
	}
	return err
}

// place finds the run on the server, or creates it there.
func (c *Client) place(ctx context.Context, header operation, a *acks) (target, error) {
	if a.runID != "" {
		if header.ArtifactURI != "" {
			return target{a.runID, header.ArtifactURI}, nil
		}
		run, err := c.rest.getRun(ctx, a.runID)
		return target{a.runID, run.Info.ArtifactURI}, err
	}
	e, err := c.ensureExperiment(ctx, header.Experiment)
	if err != nil {
		return target{}, err
	}
	// The attempt that led to the spool may have reached the server.
	info, found, err := c.findByKey(ctx, e.ID, header.Key, false)
	if err == nil && !found {
		if header, err = c.withParent(ctx, e.ID, header); err == nil {
			info, err = c.createRun(ctx, e.ID, header)
		}
		if err == nil && header.Sent { // the attempt before the spool may take place after this
			c.noteDoubt(e.ID, header.Key, info.RunID)
		}
	}
	if err != nil {
		return target{}, err
	}
	if info.LifecycleStage == "deleted" {
		return target{}, c.deletedRun(info.RunID)
	}
	return target{info.RunID, info.ArtifactURI}, a.setRun(info.RunID)
}

// withParent names the parent of a run by its id, where the run knew it by its
// key only, because the parent began in the spool, too.
func (c *Client) withParent(ctx context.Context, experimentID string, header operation) (operation, error) {
	header.Tags = slices.Clone(header.Tags)
	for i, t := range header.Tags {
		if t.Key != parentTag {
			continue
		}
		info, found, err := c.findByKey(ctx, experimentID, t.Value, false)
		if err != nil {
			return header, err
		}
		if found {
			header.Tags[i].Value = first(info.RunID, info.RunUUID)
		}
	}
	return header, nil
}

// renameParent does the same for children that reached the server before their
// parent did.
func (c *Client) renameParent(ctx context.Context, header operation, id string) error {
	e, err := c.ensureExperiment(ctx, header.Experiment)
	if err != nil {
		return err
	}
	q := RunQuery{Experiments: []string{e.ID}, Filter: fmt.Sprintf("tags.`%s` = '%s'", parentTag, header.Key)}
	for {
		page, err := c.SearchRuns(ctx, q)
		if err != nil {
			return err
		}
		for _, child := range page.Runs {
			op := operation{Op: opBatch, Tags: []wire.Tag{{Key: parentTag, Value: id}}}
			if err := c.apply(ctx, target{child.ID, child.ArtifactURI}, op); err != nil {
				return err
			}
		}
		if len(page.Runs) == 0 || page.Next == "" {
			return nil
		}
	}
}

// one sends an operation; an artifact is read from the spool.
func (s *syncer) one(ctx context.Context, c *Client, t target, base string, op operation) error {
	if op.Op != opArtifact {
		return c.apply(ctx, t, op)
	}
	if _, err := strconv.Atoi(op.File); err != nil {
		return errs.New(errs.DataCorrupt, "%s.jsonl names the artifact file %q", base, op.File)
	}
	if err := checkArtifactPath(op.Path); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(base+".files", op.File))
	if err != nil {
		return fmt.Errorf("read spooled artifact %s: %w", op.Path, err)
	}
	defer f.Close()
	op.source = f
	return c.apply(ctx, t, op)
}

// lastWrite is when the run last said something.
func lastWrite(base string, header operation) time.Time {
	if info, err := os.Stat(base + ".jsonl"); err == nil {
		return info.ModTime()
	}
	return time.UnixMilli(header.StartTime)
}
