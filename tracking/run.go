package tracking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/tracking/wire"
)

// RunKeyTag is the tag that makes the creation of a run repeatable: a server
// is asked for it before a create is sent again.
const RunKeyTag = "ctrx.run_key"

// Param is a parameter. Once logged its value stays.
type Param struct{ Key, Value string }

// Metric is a point of a metric. A zero Time means the time of logging.
type Metric struct {
	Key   string
	Value float64 // NaN and the infinities are fine
	Step  int64
	Time  time.Time
}

// Tag is a label of a run, or of a dataset input. It can be set again.
type Tag struct{ Key, Value string }

// Dataset is data that a run used. Name, Digest, SourceType and Source are
// needed. MLflow keeps at most 36 characters of Digest and 500 of Name; longer
// ones are cut. Source is JSON text by convention, like {"uri": "..."}.
type Dataset struct {
	Name, Digest, SourceType, Source string
	Schema, Profile                  string // JSON text or empty; left out where MLflow finds them too long
	Context                          string // training, validation, ...: shown by MLflow's UI
	Tags                             []Tag
}

// Status is the state of a run.
type Status string

// The states.
const (
	Running   Status = "RUNNING"
	Scheduled Status = "SCHEDULED"
	Finished  Status = "FINISHED"
	Failed    Status = "FAILED"
	Killed    Status = "KILLED"
)

// RunSpec describes a new run.
type RunSpec struct {
	Name      string // empty: the server makes one up
	User      string
	Tags      []Tag
	StartTime time.Time // zero: now
	// Shared is a run that no process owns: others go on with it, and it does
	// not end with this process. It ends by a Finish, or not at all.
	Shared bool
}

// Run is a run that is being logged. It is safe for concurrent use; calls are
// sent in the order in which they are made.
type Run struct {
	c   *Client
	key string // value of RunKeyTag

	mu           sync.Mutex
	id           string // of the server; empty while no server knows the run
	experimentID string
	artifactURI  string
	offline      bool       // everything goes to the spool
	storeOffline bool       // artifacts do
	cause        error      // why the server was given up for an operation, last
	spool        *spoolFile // nil until something was spooled
	lease        *lease     // nil after Finish
	header       operation  // what creates the run
	params       map[string]string
	keys         struct{ params, metrics, tags keyMap }
}

// StartRun creates a run in the experiment of the configuration. When the
// server is down, refuses the credentials, or is in trouble, and Config.OnError
// is Spool, the run begins in the spool.
func (c *Client) StartRun(ctx context.Context, spec RunSpec) (*Run, error) {
	key, err := c.cfg.newKey()
	if err != nil {
		return nil, err
	}
	r := &Run{c: c, key: key, params: map[string]string{}}
	start := spec.StartTime
	if start.IsZero() {
		start = c.cfg.Now()
	}
	r.header = operation{Op: opCreate, Version: spoolVersion, Key: key, URI: c.URI(), Experiment: c.experimentName(),
		Name: spec.Name, User: spec.User, StartTime: start.UnixMilli(), Shared: spec.Shared}
	for _, t := range append(spec.Tags, Tag{RunKeyTag, key}) {
		r.header.Tags = append(r.header.Tags, r.tag(t))
	}
	if !spec.Shared {
		r.lease = c.takeLease(r.header)
	}
	e, err := c.Experiment(ctx)
	if err == nil {
		var info wire.RunInfo
		if info, err = c.createRun(ctx, e.ID, r.header); err == nil {
			r.id, r.experimentID, r.artifactURI = info.RunID, info.ExperimentID, info.ArtifactURI
			r.header.RunID, r.header.ArtifactURI = r.id, r.artifactURI
			r.lease.created(r.id)
			return r, nil
		}
		r.header.Sent = !isDial(err)
	}
	if !c.mayspool(ctx, err) {
		return nil, errors.Join(err, r.lease.release())
	}
	r.offline = true
	if err := r.openSpool(ctx, err); err != nil {
		return nil, errors.Join(err, r.lease.release())
	}
	return r, nil
}

// mayspool tells whether a failure is one that the spool is for.
func (c *Client) mayspool(ctx context.Context, err error) bool {
	if c.cfg.OnError != Spool || ctx.Err() != nil {
		return false
	}
	kind := errs.KindOf(err)
	return kind == errs.Unreachable || kind == errs.Auth
}

// createRun sends runs/create. The call is not idempotent, so before it is
// repeated the server is asked whether it has the run already.
func (c *Client) createRun(ctx context.Context, experimentID string, op operation) (wire.RunInfo, error) {
	in := struct {
		Experiment string     `json:"experiment_id"`
		User       string     `json:"user_id,omitempty"`
		Name       string     `json:"run_name,omitempty"`
		StartTime  int64      `json:"start_time"`
		Tags       []wire.Tag `json:"tags"`
	}{experimentID, op.User, op.Name, op.StartTime, op.Tags}
	var info wire.RunInfo
	first, repeated := true, false
	err := c.rest.repeat(ctx, false, func(ctx context.Context) error {
		if !first {
			found, ok, err := c.findByKey(ctx, experimentID, op.Key, true)
			if err != nil || ok {
				info = found
				return err
			}
			repeated = true
		}
		first = false
		var out struct {
			Run wire.Run `json:"run"`
		}
		err := c.rest.call(ctx, request{method: "POST", path: apiPath + "runs/create", in: in, once: true, what: "create run " + op.Name}, &out)
		info = out.Run.Info
		return err
	})
	if err == nil && info.RunID == "" {
		info.RunID = info.RunUUID
	}
	if err == nil && repeated {
		c.noteDoubt(experimentID, op.Key, info.RunID)
	}
	return info, err
}

// findByKey looks for a run by RunKeyTag. One that is deleted is found where no
// other has the key.
func (c *Client) findByKey(ctx context.Context, experimentID, key string, once bool) (wire.RunInfo, bool, error) {
	all, err := c.runsWithKey(ctx, experimentID, key, once)
	if err != nil || len(all) == 0 {
		return wire.RunInfo{}, false, err
	}
	for _, r := range all {
		if r.Info.LifecycleStage != "deleted" && tagOf(r.Data.Tags, duplicateTag) == "" {
			return r.Info, true, nil
		}
	}
	return all[0].Info, true, nil
}

// runsWithKey lists the runs with a key: one, or two where a creation took place
// twice.
func (c *Client) runsWithKey(ctx context.Context, experimentID, key string, once bool) ([]wire.Run, error) {
	in := struct {
		Experiments []string `json:"experiment_ids"`
		Filter      string   `json:"filter"`
		View        string   `json:"run_view_type"`
		Max         int      `json:"max_results"`
	}{[]string{experimentID}, fmt.Sprintf("tags.`%s` = '%s'", RunKeyTag, key), "ALL", 10}
	var out struct {
		Runs []wire.Run `json:"runs"`
	}
	err := c.rest.call(ctx, request{method: "POST", path: apiPath + "runs/search", in: in, once: once, what: "look for run " + key}, &out)
	return out.Runs, err
}

// ID is the run id on the server, or the run's own key while it is only in the
// spool.
func (r *Run) ID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.id == "" {
		return r.key
	}
	return r.id
}

// ExperimentID is the id of the experiment; empty for a run that began in the
// spool.
func (r *Run) ExperimentID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.experimentID
}

// Spooled tells whether the run goes to the spool because its server fails.
// Then an MLflow client in a stage command would fail too, with the same run
// id or without.
func (r *Run) Spooled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offline
}

// URL is the page of the run in MLflow's UI, empty for the embedded store and
// for a run that is only in the spool.
func (r *Run) URL() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.c.embedded != nil || r.id == "" {
		return ""
	}
	return fmt.Sprintf("%s/#/experiments/%s/runs/%s?workflowType=machine_learning", r.c.URI(), r.experimentID, r.id)
}

// Finish ends the run with a status. A zero end means now. Of a run that went
// to the spool a last event tells how to send it.
func (r *Run) Finish(ctx context.Context, status Status, end time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end.IsZero() {
		end = r.c.cfg.Now()
	}
	r.lease.ending(status, end)
	err := r.do(ctx, operation{Op: opUpdate, Status: string(status), EndTime: end.UnixMilli()})
	if err == nil { // else the next process brings it to this end
		err = r.lease.release()
		r.lease = nil
	}
	if r.spool != nil {
		err = errors.Join(err, r.spool.close())
		r.spool = nil
		r.c.cfg.Sink.Send(event.Event{Type: event.Info, Text: r.spooledPart() + " kept in the spool: `ctrx tracking sync` sends it to " + r.c.URI()})
	}
	return err
}

// doBatches sends parameters, metrics and tags in requests of legal size.
func (r *Run) doBatches(ctx context.Context, op operation) error {
	for _, part := range splitBatch(op) {
		if err := r.do(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// do sends one operation, or spools it. After a failure of the server the rest
// of the run is spooled; an artifact store that fails alone costs only the
// artifacts that come after it the direct way.
func (r *Run) do(ctx context.Context, op operation) error {
	r.lease.beat(r.c.cfg.Now())
	if !r.offline && !(r.storeOffline && op.Op == opArtifact) {
		err := r.c.apply(ctx, target{r.id, r.artifactURI}, op)
		if err == nil || r.c.cfg.OnError != Spool || ctx.Err() != nil || isRefusedContent(err) {
			return err
		}
		var foreign *storeError
		r.storeOffline = errors.As(err, &foreign)
		r.offline, r.cause = !r.storeOffline, err
	}
	// There is none yet where the one before could not be made, as on a full disk.
	if err := r.openSpool(ctx, r.cause); err != nil {
		return err
	}
	return r.spool.append(op)
}

// spooledPart says what of the run is in the spool.
func (r *Run) spooledPart() string {
	if r.offline {
		return "the run is"
	}
	return "a part of its artifacts is"
}

func (r *Run) openSpool(ctx context.Context, cause error) error {
	if r.spool != nil {
		return r.spool.setDetached(r.offline)
	}
	header := r.header
	header.Detached = r.offline
	s, err := createSpool(ctx, r.c.cfg, r.key, header)
	if err != nil {
		return errors.Join(cause, err)
	}
	r.spool = s
	text := fmt.Sprintf("%v\nthe run goes on; %s kept in the spool: `ctrx tracking sync` sends it later", cause, r.spooledPart())
	if hint := errs.HintOf(cause); hint != "" {
		text += "\nhint: " + hint
	}
	r.c.warnSpool(text)
	return nil
}
