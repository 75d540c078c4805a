package tracking

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// The form of an export (docs/tracking-export.md):
//
//	export.json                what this is, moveVersion
//	experiments.jsonl          one experiment per line, as experiments/get gives it
//	runs/ID/run.json           the run as runs/get gives it
//	runs/ID/metrics.jsonl      every point of every metric, by metric and time
//	runs/ID/artifacts/...      its artifacts
//	logged-models/ID/          model.json and artifacts/ of a logged model
//	traces/ID/                 trace.json and artifacts/traces.json, the spans
//	registry.jsonl             one registered model per line, with its versions
//
// A folder of a run, model or trace appears when it is whole.
const (
	moveVersion = 1
	moveFormat  = "ctrx tracking export"
	// moveJobs is how many runs are moved at a time.
	moveJobs = 4
)

// MoveOptions say what moves between a server and a folder.
type MoveOptions struct {
	Dir         string
	Experiments []string // names; none means all
	Deleted     bool     // deleted experiments and runs, too
}

// Moved counts what was moved.
type Moved struct {
	Experiments int
	Runs        int   // written now
	Unchanged   int   // runs that were there already
	Artifacts   int   // files
	Bytes       int64 // of artifacts

	LoggedModels     int // written now, like those that follow
	Traces           int
	RegisteredModels int
	ModelVersions    int
	NotMoved         []NotMoved
}

// NotMoved is something that stayed behind, because the server refused it or
// what it belongs to is not in the export.
type NotMoved struct {
	What string // "version 2 of model ctr"
	Why  string
}

type exportHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Source  string `json:"source"` // tracking URI without secrets
}

// mover is an export or import under way.
type mover struct {
	c     *Client
	o     MoveOptions
	root  *os.Root
	mu    sync.Mutex
	moved Moved
	seen  atomic.Int64
	total int64
	what  string
}

// leave notes what stays behind.
func (m *mover) leave(what, why string) {
	m.count(func(n *Moved) { n.NotMoved = append(n.NotMoved, NotMoved{what, why}) })
}

// leaveRefused takes it that a server refuses a thing: the thing is noted, and
// the rest goes on. Other failures end the move.
func (m *mover) leaveRefused(what string, err error) error {
	var page *webPageError
	refused, ok := errors.AsType[*ServerError](err)
	switch {
	case errors.As(err, &page):
		m.leave(what, "the server does not know such things")
	case ok && refused.Kind() != errs.Auth && !refused.passing() && (refused.Status < 500 || refused.Status == http.StatusNotImplemented):
		m.leave(what, refused.Message)
	default:
		return err
	}
	return nil
}

func (m *mover) count(f func(*Moved)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.moved)
}

func (m *mover) progress(final bool) {
	m.c.cfg.Sink.Send(event.Event{Type: event.Progress, Text: m.what + " runs", Done: m.seen.Load(), Total: m.total, Unit: "runs", Final: final})
}

// openMover opens a client that waits for its server as a user does.
func openMover(cfg Config, o MoveOptions, what string) (*mover, error) {
	c, err := open(cfg.withDefaults(), whenSyncing())
	if err != nil {
		return nil, err
	}
	return &mover{c: c, o: o, what: what}, nil
}

// Export writes experiments with their runs into a folder: parameters, tags,
// whole histories of metrics, dataset inputs, artifacts. It can be repeated: runs
// that are there and have not changed are left as they are.
func Export(ctx context.Context, cfg Config, o MoveOptions) (Moved, error) {
	m, err := openMover(cfg, o, "export")
	if err != nil {
		return Moved{}, err
	}
	err = m.export(ctx)
	return m.moved, errors.Join(err, m.c.Close())
}

func (m *mover) export(ctx context.Context) error {
	experiments, err := m.experiments(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(m.o.Dir, "runs"), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	if m.root, err = os.OpenRoot(m.o.Dir); err != nil {
		return err
	}
	defer m.root.Close()
	if err := m.checkHeader(true); err != nil {
		return err
	}
	if err := m.writeExperiments(experiments); err != nil {
		return err
	}
	var runs []wire.Run
	for _, e := range experiments {
		of, err := m.runsOf(ctx, e.ID)
		if err != nil {
			return err
		}
		runs = append(runs, of...)
	}
	m.total = int64(len(runs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moveJobs)
	for _, r := range runs {
		g.Go(func() error {
			err := m.exportRun(gctx, r)
			m.seen.Add(1)
			m.progress(false)
			return err
		})
	}
	err = g.Wait()
	m.progress(true)
	if err == nil {
		err = m.exportRest(ctx, experiments, runs)
	}
	return err
}

// exportRest writes what belongs to the experiments besides their runs.
func (m *mover) exportRest(ctx context.Context, experiments []wire.Experiment, runs []wire.Run) error {
	known := map[string]bool{} // ids of runs and logged models
	for _, r := range runs {
		known[first(r.Info.RunID, r.Info.RunUUID)] = true
	}
	for _, e := range experiments {
		models, err := m.exportModels(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, id := range models {
			known[id] = true
		}
		if err := m.exportTraces(ctx, e.ID); err != nil {
			return err
		}
	}
	return m.exportRegistry(ctx, known)
}

// checkHeader makes sure that a folder holds an export, or for a new export
// nothing that another tool would miss.
func (m *mover) checkHeader(create bool) error {
	data, err := m.root.ReadFile("export.json")
	if errors.Is(err, fs.ErrNotExist) && create {
		data, err = json.Marshal(exportHeader{moveFormat, moveVersion, m.c.URI()})
		if err == nil {
			// The dvc.yaml files among the artifacts are no stages of a project
			// that the folder lies in: DVC skips what Git ignores.
			err = publish(m.root, ".gitignore", strings.NewReader("*\n"))
		}
		if err == nil {
			err = publish(m.root, "export.json", bytes.NewReader(append(data, '\n')))
		}
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errs.Hint(errs.New(errs.NotFound, "%s holds no export of runs", m.o.Dir), "make one with: ctrx tracking export %s", m.o.Dir)
	}
	if err != nil {
		return err
	}
	var h exportHeader
	if err := json.Unmarshal(data, &h); err != nil || h.Format != moveFormat {
		return errs.New(errs.DataCorrupt, "%s is not the head of an export of runs", filepath.Join(m.o.Dir, "export.json"))
	}
	if h.Version != moveVersion {
		return errs.New(errs.Failed, "%s was written by another version of ctrx (format %d, this one knows %d)", m.o.Dir, h.Version, moveVersion)
	}
	return nil
}

// experiments lists those that were asked for.
func (m *mover) experiments(ctx context.Context) ([]wire.Experiment, error) {
	view := "ACTIVE_ONLY"
	if m.o.Deleted {
		view = "ALL"
	}
	var all []wire.Experiment
	for token := ""; ; {
		in := struct {
			Max   int    `json:"max_results"`
			View  string `json:"view_type"`
			Token string `json:"page_token,omitempty"`
		}{wire.DefaultSearchResults, view, token}
		var out struct {
			Experiments []wire.Experiment `json:"experiments"`
			Next        string            `json:"next_page_token"`
		}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "experiments/search", in: in, what: "list experiments"}, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Experiments...)
		if token = out.Next; token == "" {
			break
		}
	}
	return m.wanted(all)
}

// wanted chooses the experiments that were named.
func (m *mover) wanted(all []wire.Experiment) ([]wire.Experiment, error) {
	slices.SortFunc(all, func(a, b wire.Experiment) int {
		x, _ := strconv.ParseInt(a.ID, 10, 64)
		y, _ := strconv.ParseInt(b.ID, 10, 64)
		return int(min(max(x-y, -1), 1))
	})
	if len(m.o.Experiments) == 0 {
		return all, nil
	}
	var chosen []wire.Experiment
	for _, name := range m.o.Experiments {
		i := slices.IndexFunc(all, func(e wire.Experiment) bool { return e.Name == name })
		if i < 0 {
			names := make([]string, 0, len(all))
			for i, e := range all {
				if i == 10 {
					names = append(names, "...")
					break
				}
				names = append(names, "'"+e.Name+"'")
			}
			return nil, errs.Hint(errs.New(errs.NotFound, "there is no experiment '%s'", name), "--experiment NAME, of %s; deleted ones need --deleted", strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// writeExperiments adds to the list those that are not in it.
func (m *mover) writeExperiments(experiments []wire.Experiment) error {
	known, err := m.readExperiments()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var lines bytes.Buffer
	for _, e := range known {
		if slices.ContainsFunc(experiments, func(n wire.Experiment) bool { return n.ID == e.ID }) {
			continue
		}
		experiments = append(experiments, e)
	}
	for _, e := range experiments {
		line, err := wire.Marshal(e)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	m.moved.Experiments = len(experiments)
	return publish(m.root, "experiments.jsonl", &lines)
}

func (m *mover) readExperiments() ([]wire.Experiment, error) {
	data, err := m.root.ReadFile("experiments.jsonl")
	if err != nil {
		return nil, err
	}
	var all []wire.Experiment
	for n, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e wire.Experiment
		if len(line) == 0 {
			continue
		}
		if err := json.Unmarshal(line, &e); err != nil || e.ID == "" {
			return nil, errs.New(errs.DataCorrupt, "%s:%d: no experiment", filepath.Join(m.o.Dir, "experiments.jsonl"), n+1)
		}
		all = append(all, e)
	}
	return all, nil
}

// runsOf reads all runs of an experiment.
func (m *mover) runsOf(ctx context.Context, experiment string) ([]wire.Run, error) {
	view := "ACTIVE_ONLY"
	if m.o.Deleted {
		view = "ALL"
	}
	var all []wire.Run
	for token := ""; ; {
		in := struct {
			Experiments []string `json:"experiment_ids"`
			View        string   `json:"run_view_type"`
			Max         int      `json:"max_results"`
			Page        string   `json:"page_token,omitempty"`
		}{[]string{experiment}, view, wire.DefaultSearchResults, token}
		var out struct {
			Runs []wire.Run `json:"runs"`
			Next string     `json:"next_page_token"`
		}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/search", in: in, what: "list runs"}, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Runs...)
		if token = out.Next; token == "" {
			return all, nil
		}
	}
}

// exportRun writes the folder of a run, unless it is there as it is now.
func (m *mover) exportRun(ctx context.Context, run wire.Run) error {
	id := first(run.Info.RunID, run.Info.RunUUID)
	if !runID.MatchString(id) {
		return errs.New(errs.Failed, "%s has a run with the id %q", m.c.URI(), id)
	}
	record, err := wire.Marshal(run)
	if err != nil {
		return err
	}
	changed, err := m.publishFolder("runs/"+id, "run.json", record, func(part string) error {
		if err := m.exportMetrics(ctx, run, part+"/metrics.jsonl"); err != nil {
			return err
		}
		list := func(dir string) ([]Artifact, error) { return m.c.ListArtifacts(ctx, id, dir) }
		return m.exportArtifacts(ctx, list, run.Info.ArtifactURI, "", part+"/artifacts")
	})
	if err != nil {
		return fmt.Errorf("export run %s: %w", id, err)
	}
	m.count(func(n *Moved) {
		if changed {
			n.Runs++
		} else {
			n.Unchanged++
		}
	})
	return nil
}

// publishFolder writes a folder with a record of what it holds, which appears
// when it is whole. One whose record would come out the same is left as it is.
func (m *mover) publishFolder(final, name string, record []byte, fill func(part string) error) (changed bool, err error) {
	record = append(record, '\n')
	part := final + ".part"
	if old, err := m.root.ReadFile(final + "/" + name); err == nil && bytes.Equal(old, record) {
		return false, nil
	}
	err = m.root.RemoveAll(part)
	if err == nil {
		err = m.root.MkdirAll(part, 0o777)
	}
	if err == nil {
		err = fill(part)
	}
	if err == nil {
		err = publish(m.root, part+"/"+name, bytes.NewReader(record))
	}
	if err == nil {
		err = m.root.RemoveAll(final)
	}
	if err == nil {
		err = m.root.Rename(part, final)
	}
	return err == nil, fsx.FullDisk(err)
}

// exportMetrics writes the histories page by page.
func (m *mover) exportMetrics(ctx context.Context, run wire.Run, name string) error {
	f, err := m.root.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, latest := range run.Data.Metrics {
		q := url.Values{"run_id": {first(run.Info.RunID, run.Info.RunUUID)}, "metric_key": {latest.Key}, "max_results": {strconv.Itoa(historyPage)}}
		err = m.c.rest.history(ctx, q, func(points []wire.Metric) error {
			for _, p := range points {
				line, err := wire.Marshal(p)
				if err != nil {
					return err
				}
				if _, err := w.Write(append(line, '\n')); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
