package tracking

import (
	"context"
	"errors"
	"io"
	"net/http"

	"ctrx/tracking/wire"
)

// The kinds of operations.
const (
	opCreate   = "run"      // create the run; the first line of a spool file
	opBatch    = "batch"    // one log-batch request
	opInputs   = "inputs"   // one log-inputs request
	opArtifact = "artifact" // one file
	opUpdate   = "finish"   // status and end time
)

// operation is one request about a run. It is what the spool keeps, one JSON
// line each, and small enough to be sent as it is.
type operation struct {
	Op string `json:"op"`

	// opCreate
	Version     int    `json:"version,omitempty"`
	Key         string `json:"key,omitempty"`
	URI         string `json:"uri,omitempty"` // without secrets
	Experiment  string `json:"experiment,omitempty"`
	Name        string `json:"name,omitempty"`
	User        string `json:"user,omitempty"`
	StartTime   int64  `json:"start_time,omitempty"` // ms
	RunID       string `json:"run_id,omitempty"`     // where the server has the run
	ArtifactURI string `json:"artifact_uri,omitempty"`
	Detached    bool   `json:"detached,omitempty"` // all that follows in the run is in the spool

	// opBatch; Tags also opCreate
	Params  []wire.Param  `json:"params,omitempty"`
	Metrics []wire.Metric `json:"metrics,omitempty"`
	Tags    []wire.Tag    `json:"tags,omitempty"`

	Datasets []wire.DatasetInput `json:"datasets,omitempty"` // opInputs

	// opArtifact
	Path string `json:"path,omitempty"`
	File string `json:"file,omitempty"` // name in the spool's folder for the run
	Size int64  `json:"size,omitempty"`

	Status  string `json:"status,omitempty"`   // opUpdate
	EndTime int64  `json:"end_time,omitempty"` // opUpdate, ms

	source io.ReadSeeker // opArtifact: the content, from offset from
	from   int64
}

// bodyRoom is kept free in a batch for the run id and the field names.
const bodyRoom = 1024

// splitBatch cuts parameters, metrics and tags into requests that respect every
// limit of log-batch, in order: parameters first, so that a run shows them
// early, then tags, then metrics.
func splitBatch(op operation) []operation {
	var out []operation
	part := operation{Op: opBatch}
	size := 0
	count := func() int { return len(part.Params) + len(part.Metrics) + len(part.Tags) }
	// room begins a new request when one more entity would not fit.
	room := func(full bool, v any) {
		n := jsonSize(v) + 1
		if count() > 0 && (full || count() >= wire.MaxBatchEntities || size+n > wire.MaxBatchBytes-bodyRoom) {
			out = append(out, part)
			part, size = operation{Op: opBatch}, 0
		}
		size += n
	}
	for _, p := range op.Params {
		room(len(part.Params) >= wire.MaxBatchParams, p)
		part.Params = append(part.Params, p)
	}
	for _, t := range op.Tags {
		room(len(part.Tags) >= wire.MaxBatchTags, t)
		part.Tags = append(part.Tags, t)
	}
	for _, m := range op.Metrics {
		room(len(part.Metrics) >= wire.MaxBatchMetrics, m)
		part.Metrics = append(part.Metrics, m)
	}
	if count() > 0 {
		out = append(out, part)
	}
	return out
}

func splitInputs(inputs []wire.DatasetInput) []operation {
	var out []operation
	part := operation{Op: opInputs}
	size := 0
	for _, in := range inputs {
		n := jsonSize(in) + 1
		if len(part.Datasets) > 0 && (len(part.Datasets) >= wire.MaxBatchEntities || size+n > wire.MaxBatchBytes-bodyRoom) {
			out = append(out, part)
			part, size = operation{Op: opInputs}, 0
		}
		part.Datasets = append(part.Datasets, in)
		size += n
	}
	if len(part.Datasets) > 0 {
		out = append(out, part)
	}
	return out
}

// jsonSize is the encoded length of a value; a wire type always has one.
func jsonSize(v any) int {
	data, err := wire.Marshal(v)
	if err != nil {
		return wire.MaxBatchBytes
	}
	return len(data)
}

// target is the run on the server that an operation is for.
type target struct{ id, artifactURI string }

// apply sends one operation. Every operation but opCreate may be sent twice
// without harm: MLflow ignores a repeated parameter and metric point, and the
// rest sets values.
func (c *Client) apply(ctx context.Context, t target, op operation) error {
	post := func(call, what string, in any) error {
		return c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + call, in: in, what: what + " of run " + t.id}, nil)
	}
	switch op.Op {
	case opBatch:
		return c.applyBatch(ctx, t, op, post)
	case opInputs:
		return post("runs/log-inputs", "log dataset inputs", struct {
			RunID    string              `json:"run_id"`
			Datasets []wire.DatasetInput `json:"datasets"`
		}{t.id, op.Datasets})
	case opArtifact:
		return c.putArtifact(ctx, t.artifactURI, op)
	case opUpdate:
		return post("runs/update", "set the status", struct {
			RunID   string `json:"run_id"`
			Status  string `json:"status"`
			EndTime int64  `json:"end_time"`
		}{t.id, op.Status, op.EndTime})
	}
	return errors.New("unknown operation " + op.Op + " in the spool: was it written by a newer ctrx?")
}

type batchBody struct {
	RunID   string        `json:"run_id"`
	Metrics []wire.Metric `json:"metrics,omitempty"`
	Params  []wire.Param  `json:"params,omitempty"`
	Tags    []wire.Tag    `json:"tags,omitempty"`
}

// applyBatch sends a log-batch. When the server refuses it because a parameter
// has another value there already (a stage command may have logged it), the
// parameter becomes a tag and the rest is sent: a batch is never lost to one
// parameter.
func (c *Client) applyBatch(ctx context.Context, t target, op operation, post func(call, what string, in any) error) error {
	const call, what = "runs/log-batch", "log parameters and metrics"
	err := post(call, what, batchBody{t.id, op.Metrics, op.Params, op.Tags})
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || len(op.Params) == 0 {
		return err
	}
	run, getErr := c.rest.getRun(ctx, t.id)
	if getErr != nil {
		return err
	}
	there := map[string]string{}
	for _, p := range run.Data.Params {
		there[p.Key] = p.Value
	}
	rest := operation{Metrics: op.Metrics, Tags: op.Tags}
	for _, p := range op.Params {
		if old, ok := there[p.Key]; ok && old != p.Value {
			rest.Tags = append(rest.Tags, c.changedParam(p.Key, p.Value))
			continue
		}
		rest.Params = append(rest.Params, p)
	}
	if len(rest.Params) == len(op.Params) { // refused for another reason
		return err
	}
	for _, part := range splitBatch(rest) {
		if err := post(call, what, batchBody{t.id, part.Metrics, part.Params, part.Tags}); err != nil {
			return err
		}
	}
	return nil
}
