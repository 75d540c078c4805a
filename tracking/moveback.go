package tracking

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/tracking/wire"
)

const (
	// movedFromTag is the id that an imported run had where it came from.
	movedFromTag = "ctrx.moved_from"
	// movedTag is set when an imported run is whole: the hash of its run.json.
	movedTag  = "ctrx.moved"
	parentTag = "mlflow.parentRunId"
)

// Import brings an export to a server. Experiments are found by name or made,
// runs get new ids, and children name their parents by the new ones. It can be
// repeated and goes on where it was cut off: a run is known by its run key, or
// by the id that it had.
func Import(ctx context.Context, cfg Config, o MoveOptions) (Moved, error) {
	m, err := openMover(cfg, o, "import")
	if err != nil {
		return Moved{}, err
	}
	err = m.importAll(ctx)
	return m.moved, errors.Join(err, m.c.Close())
}

// movedRun is a run of an export.
type movedRun struct {
	id     string
	parent string // in the export, or ""
	run    wire.Run
	digest string // of run.json
}

func (m *mover) importAll(ctx context.Context) error {
	var err error
	if m.root, err = os.OpenRoot(m.o.Dir); err != nil {
		return errs.Hint(errs.New(errs.NotFound, "%w", err), "name the folder of an export: ctrx tracking export DIR makes one")
	}
	defer m.root.Close()
	if err := m.checkHeader(false); err != nil {
		return err
	}
	experiments, err := m.readExperiments()
	if err == nil {
		experiments, err = m.wanted(experiments)
	}
	if err != nil {
		return err
	}
	generations, err := m.readRuns(experiments)
	if err != nil {
		return err
	}
	targets := map[string]string{}
	for _, e := range experiments {
		if e.LifecycleStage == "deleted" && !m.o.Deleted {
			continue
		}
		if targets[e.ID], err = m.importExperiment(ctx, e); err != nil {
			return err
		}
		m.moved.Experiments++
	}
	for _, g := range generations {
		m.total += int64(len(g))
	}
	ids := map[string]string{} // old -> new
	for _, runs := range generations {
		if err := m.importRuns(ctx, runs, targets, ids); err != nil {
			return err
		}
	}
	m.progress(true)
	if err := m.importRest(ctx, generations, targets, ids); err != nil {
		return err
	}
	return m.deleteExperiments(ctx, experiments, targets)
}

// importRest brings what belongs to the experiments besides their runs. Runs
// that are deleted there are so by now: what is left of them is refused.
func (m *mover) importRest(ctx context.Context, generations [][]movedRun, targets, runs map[string]string) error {
	models, err := m.importModels(ctx, targets, runs)
	if err != nil {
		return err
	}
	for _, g := range generations {
		for _, r := range g {
			if err := m.linkModels(ctx, r, runs[r.id], models); err != nil {
				return fmt.Errorf("import run %s: %w", r.id, err)
			}
		}
	}
	if err := m.importTraces(ctx, targets, runs); err != nil {
		return err
	}
	return m.importRegistry(ctx, places{runs: runs, models: models, experiments: targets})
}

// readRuns gives the runs of some experiments, those without a parent first,
// then their children, and so on.
func (m *mover) readRuns(experiments []wire.Experiment) ([][]movedRun, error) {
	entries, err := os.ReadDir(filepath.Join(m.o.Dir, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]movedRun{}
	for _, e := range entries {
		if !runID.MatchString(e.Name()) {
			continue // one that is not whole
		}
		data, err := m.root.ReadFile("runs/" + e.Name() + "/run.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		r := movedRun{id: e.Name()}
		if err == nil {
			err = json.Unmarshal(data, &r.run)
		}
		if err != nil {
			return nil, errs.Hint(errs.New(errs.DataCorrupt, "%s: %w", filepath.Join(m.o.Dir, "runs", e.Name(), "run.json"), err),
				"where the runs are, this writes it again: ctrx tracking export %s", m.o.Dir)
		}
		sum := sha256.Sum256(data)
		r.digest = hex.EncodeToString(sum[:8])
		wanted := slices.ContainsFunc(experiments, func(x wire.Experiment) bool { return x.ID == r.run.Info.ExperimentID })
		if wanted && (m.o.Deleted || r.run.Info.LifecycleStage != "deleted") {
			all[r.id] = r
		}
	}
	var generations [][]movedRun
	placed := map[string]bool{}
	for len(placed) < len(all) {
		var next []movedRun
		for _, r := range all {
			record := recordOf(r.run)
			r.parent = record.Tag(parentTag)
			_, there := all[r.parent]
			if !placed[r.id] && (!there || placed[r.parent]) {
				next = append(next, r)
			}
		}
		if len(next) == 0 { // parents in a circle
			for _, r := range all {
				if !placed[r.id] {
					next = append(next, r)
				}
			}
		}
		slices.SortFunc(next, func(a, b movedRun) int {
			return cmp.Or(cmp.Compare(value(a.run.Info.StartTime), value(b.run.Info.StartTime)), cmp.Compare(a.id, b.id))
		})
		for _, r := range next {
			placed[r.id] = true
		}
		generations = append(generations, next)
	}
	return generations, nil
}

func value(n *wire.Int) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}

// importExperiment finds or makes an experiment, and sets its tags.
func (m *mover) importExperiment(ctx context.Context, e wire.Experiment) (string, error) {
	to, err := m.c.ensureExperiment(ctx, e.Name)
	if err != nil {
		if e.LifecycleStage == "deleted" && to.ID != "" && errs.KindOf(err) == errs.Conflict {
			return "", nil // it came here before, and was deleted again
		}
		return "", err
	}
	for _, t := range e.Tags {
		in := map[string]string{"experiment_id": to.ID, "key": t.Key, "value": t.Value}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "experiments/set-experiment-tag", in: in, what: "set a tag of experiment " + e.Name}, nil); err != nil {
			return "", err
		}
	}
	return to.ID, nil
}

func (m *mover) deleteExperiments(ctx context.Context, experiments []wire.Experiment, targets map[string]string) error {
	for _, e := range experiments {
		if e.LifecycleStage != "deleted" || targets[e.ID] == "" {
			continue
		}
		in := map[string]string{"experiment_id": targets[e.ID]}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "experiments/delete", in: in, what: "delete experiment " + e.Name}, nil); err != nil {
			return err
		}
	}
	return nil
}

// importRuns brings one generation, and notes the new ids.
func (m *mover) importRuns(ctx context.Context, runs []movedRun, experiments, ids map[string]string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moveJobs)
	known := map[string]string{}
	for k, v := range ids {
		known[k] = v
	}
	for _, r := range runs {
		experiment := experiments[r.run.Info.ExperimentID]
		g.Go(func() error {
			defer m.progress(false)
			defer m.seen.Add(1)
			if experiment == "" {
				m.count(func(n *Moved) { n.Unchanged++ })
				return nil
			}
			id, err := m.importRun(gctx, r, experiment, known)
			if err != nil {
				return fmt.Errorf("import run %s: %w", r.id, err)
			}
			m.count(func(*Moved) { ids[r.id] = id })
			return nil
		})
	}
	return g.Wait()
}

// importRun brings one run, and gives its id.
func (m *mover) importRun(ctx context.Context, r movedRun, experiment string, ids map[string]string) (string, error) {
	// On the server that it came from it is there already.
	if own, err := m.c.rest.getRun(ctx, r.id); err == nil && value(own.Info.StartTime) == value(r.run.Info.StartTime) {
		m.count(func(n *Moved) { n.Unchanged++ })
		return r.id, nil
	} else if err != nil && errs.KindOf(err) != errs.NotFound {
		return "", err
	}
	header, tags := m.header(r, ids)
	info, found, err := m.c.findByKey(ctx, experiment, header.Key, false)
	if err != nil {
		return "", err
	}
	if found {
		there, err := m.c.rest.getRun(ctx, first(info.RunID, info.RunUUID))
		if err != nil {
			return "", err
		}
		record := recordOf(there)
		if record.Tag(movedTag) == r.digest {
			m.count(func(n *Moved) { n.Unchanged++ })
			return record.ID, m.deleteLike(ctx, r, record.ID, record.Deleted)
		}
		if record.Deleted {
			return "", m.c.deletedRun(record.ID)
		}
	} else if info, err = m.c.createRun(ctx, experiment, header); err != nil {
		return "", err
	}
	t := target{first(info.RunID, info.RunUUID), info.ArtifactURI}
	if err := m.fill(ctx, t, r, tags); err != nil {
		return "", err
	}
	m.count(func(n *Moved) { n.Runs++ })
	return t.id, nil
}

// header is what creates a run, and tags are all that it shall have.
func (m *mover) header(r movedRun, ids map[string]string) (operation, []wire.Tag) {
	record := recordOf(r.run)
	key := record.Tag(RunKeyTag)
	if key == "" { // not begun by ctrx
		key = "moved-" + r.id
	}
	var tags []wire.Tag
	for _, t := range r.run.Data.Tags {
		switch t.Key {
		case movedTag, movedFromTag, RunKeyTag:
			continue
		case parentTag:
			if to := ids[t.Value]; to != "" {
				t.Value = to
			} else {
				m.c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf("run %s is the child of %s, which is not in the export: it is kept as it is", r.id, t.Value)})
			}
		}
		tags = append(tags, t)
	}
	return operation{Op: opCreate, Key: key, Name: record.Name, User: record.User, StartTime: value(r.run.Info.StartTime),
		Tags: []wire.Tag{{Key: RunKeyTag, Value: key}, {Key: movedFromTag, Value: r.id}}}, tags
}

// fill logs all that a run has. Every part of it can be sent again.
func (m *mover) fill(ctx context.Context, t target, r movedRun, tags []wire.Tag) error {
	var ops []operation
	ops = append(ops, splitBatch(operation{Params: r.run.Data.Params, Tags: tags})...)
	ops = append(ops, splitInputs(r.run.Inputs.DatasetInputs)...)
	for _, op := range ops {
		if err := m.c.apply(ctx, t, op); err != nil {
			return err
		}
	}
	if err := m.importMetrics(ctx, t, r.id); err != nil {
		return err
	}
	if err := m.importArtifacts(ctx, t.artifactURI, "runs/"+r.id+"/artifacts"); err != nil {
		return err
	}
	if err := m.c.apply(ctx, t, operation{Op: opUpdate, Status: r.run.Info.Status, EndTime: value(r.run.Info.EndTime)}); err != nil {
		return err
	}
	if err := m.c.apply(ctx, t, operation{Op: opBatch, Tags: []wire.Tag{{Key: movedTag, Value: r.digest}}}); err != nil {
		return err
	}
	return m.deleteLike(ctx, r, t.id, false)
}

// deleteLike deletes a run that was a deleted one where it came from.
func (m *mover) deleteLike(ctx context.Context, r movedRun, id string, already bool) error {
	if r.run.Info.LifecycleStage != "deleted" || already {
		return nil
	}
	in := map[string]string{"run_id": id}
	return m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/delete", in: in, what: "delete run " + id}, nil)
}

// importMetrics sends the histories, a batch at a time.
func (m *mover) importMetrics(ctx context.Context, t target, id string) error {
	name := "runs/" + id + "/metrics.jsonl"
	f, err := m.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	batch := operation{Op: opBatch}
	send := func() error {
		for _, part := range splitBatch(batch) {
			if err := m.c.apply(ctx, t, part); err != nil {
				return err
			}
		}
		batch.Metrics = nil
		return nil
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var p wire.Metric
		if err := json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &p); err != nil {
			return errs.New(errs.DataCorrupt, "%s:%d: %w", filepath.Join(m.o.Dir, name), n, err)
		}
		if batch.Metrics = append(batch.Metrics, p); len(batch.Metrics) == wire.MaxBatchMetrics {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return send()
}
