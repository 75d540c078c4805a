package tracking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

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
	first := true
	err := c.rest.repeat(ctx, false, func(ctx context.Context) error {
		if !first {
			found, ok, err := c.findByKey(ctx, experimentID, op.Key, true)
			if err != nil || ok {
				info = found
				return err
			}
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
	return info, err
}

// findByKey looks for a run by RunKeyTag.
func (c *Client) findByKey(ctx context.Context, experimentID, key string, once bool) (wire.RunInfo, bool, error) {
	in := struct {
		Experiments []string `json:"experiment_ids"`
		Filter      string   `json:"filter"`
		View        string   `json:"run_view_type"`
		Max         int      `json:"max_results"`
	}{[]string{experimentID}, fmt.Sprintf("tags.`%s` = '%s'", RunKeyTag, key), "ALL", 2}
	var out struct {
		Runs []wire.Run `json:"runs"`
	}
	err := c.rest.call(ctx, request{method: "POST", path: apiPath + "runs/search", in: in, once: once, what: "look for run " + key}, &out)
	if err != nil || len(out.Runs) == 0 {
		return wire.RunInfo{}, false, err
	}
	return out.Runs[0].Info, true, nil
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

func (r *Run) tag(t Tag) wire.Tag {
	return wire.Tag{Key: r.keys.tags.key(t.Key), Value: wire.Cut(t.Value, wire.MaxTagValue)}
}

// LogParams logs parameters. A value of more than 6000 characters is cut, with
// a note at its end, and kept whole as the artifact params/<key>.txt. A
// parameter that was logged before with another value becomes the tag
// ctrx.param.<key>, because MLflow never changes a parameter.
func (r *Run) LogParams(ctx context.Context, params []Param) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	var long []operation
	for _, p := range params {
		key := r.keys.params.key(p.Key)
		value := p.Value
		if n := utf8.RuneCountInString(value); n > wire.MaxParamValue {
			file := "params/" + strings.ReplaceAll(key, ":", "_") + ".txt"
			note := fmt.Sprintf("... [%d characters, all in artifact %s]", n, file)
			value = wire.Cut(value, wire.MaxParamValue-utf8.RuneCountInString(note)) + note
			long = append(long, operation{Op: opArtifact, Path: file, Size: int64(len(p.Value)), source: strings.NewReader(p.Value)})
		}
		old, known := r.params[key]
		switch {
		case known && old == value:
		case known:
			op.Tags = append(op.Tags, r.c.changedParam(key, value))
		default:
			r.params[key] = value
			op.Params = append(op.Params, wire.Param{Key: key, Value: value})
		}
	}
	if err := r.doBatches(ctx, op); err != nil {
		return err
	}
	for _, op := range long {
		if err := r.do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// changedParam is the tag that keeps the new value of a parameter.
func (c *Client) changedParam(key, value string) wire.Tag {
	tag := wire.Tag{Key: SanitizeKey("ctrx.param." + key), Value: wire.Cut(value, wire.MaxTagValue)}
	c.cfg.Sink.Send(event.Event{Type: event.Warn,
		Text: fmt.Sprintf("parameter %s was logged before with another value, which MLflow never changes: the new one is tag %s", key, tag.Key)})
	return tag
}

// LogMetrics logs points of metrics, any number of them.
func (r *Run) LogMetrics(ctx context.Context, metrics []Metric) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	now := r.c.cfg.Now().UnixMilli()
	for _, m := range metrics {
		at := now
		if !m.Time.IsZero() {
			at = max(0, m.Time.UnixMilli())
		}
		op.Metrics = append(op.Metrics, wire.Metric{Key: r.keys.metrics.key(m.Key), Value: wire.Float(m.Value), Timestamp: wire.Int(at), Step: wire.Int(m.Step)})
	}
	return r.doBatches(ctx, op)
}

// SetTags sets tags. A value of more than 8000 characters is cut.
func (r *Run) SetTags(ctx context.Context, tags []Tag) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	for _, t := range tags {
		op.Tags = append(op.Tags, r.tag(t))
	}
	return r.doBatches(ctx, op)
}

// LogInputs ties datasets to the run.
func (r *Run) LogInputs(ctx context.Context, datasets []Dataset) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var inputs []wire.DatasetInput
	for _, d := range datasets {
		in, err := d.input()
		if err != nil {
			return err
		}
		inputs = append(inputs, in)
	}
	for _, op := range splitInputs(inputs) {
		if err := r.do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (d Dataset) input() (wire.DatasetInput, error) {
	if d.Name == "" || d.Digest == "" || d.SourceType == "" || d.Source == "" {
		return wire.DatasetInput{}, errs.New(errs.Usage, "dataset %q needs a name, a digest, a source type and a source", d.Name)
	}
	if utf8.RuneCountInString(d.Source) > wire.MaxDatasetSource {
		return wire.DatasetInput{}, errs.New(errs.Usage, "dataset %s: its source has more than %d characters", d.Name, wire.MaxDatasetSource)
	}
	in := wire.DatasetInput{Dataset: wire.Dataset{
		Name: wire.Cut(d.Name, wire.MaxDatasetName), Digest: wire.Cut(d.Digest, wire.MaxDatasetDigest), SourceType: d.SourceType, Source: d.Source,
	}}
	if utf8.RuneCountInString(d.Schema) <= wire.MaxDatasetSchema {
		in.Dataset.Schema = d.Schema
	}
	if utf8.RuneCountInString(d.Profile) <= wire.MaxDatasetProfile {
		in.Dataset.Profile = d.Profile
	}
	tags := d.Tags
	if d.Context != "" {
		tags = append([]Tag{{wire.TagDataContext, d.Context}}, tags...)
	}
	for _, t := range tags {
		in.Tags = append(in.Tags, wire.Tag{Key: wire.Cut(t.Key, wire.MaxInputTagKey), Value: wire.Cut(t.Value, wire.MaxInputTagValue)})
	}
	return in, nil
}

// LogArtifact stores the content of r as the artifact name, a slash-separated
// path below the run's root. It reads to the end, from the present position.
func (r *Run) LogArtifact(ctx context.Context, name string, content io.ReadSeeker) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	start, err := content.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	end, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.do(ctx, operation{Op: opArtifact, Path: name, Size: end - start, source: content, from: start})
}

// LogFile stores a file as an artifact.
func (r *Run) LogFile(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	defer f.Close()
	return r.LogArtifact(ctx, name, f)
}

// checkArtifactPath refuses names that lead out of the run's root.
func checkArtifactPath(name string) error {
	if name == "" || path.Clean(name) != name || strings.ContainsAny(name, "\\#\x00") || !filepath.IsLocal(filepath.FromSlash(name)) || name == "." {
		return errs.New(errs.Usage, "artifact path %q is not a clean relative path", name)
	}
	return nil
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
