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
	Sent        bool   `json:"sent,omitempty"`     // a request to create it was sent, without an answer
	Shared      bool   `json:"shared,omitempty"`   // it does not end with the process that began it

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
	switch op.Op {
	case opBatch, opInputs:
		return c.applySplitting(ctx, t, op)
	case opArtifact:
		return c.putArtifact(ctx, t.artifactURI, op)
	case opUpdate:
		err := c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/update", what: "set the status of run " + t.id, in: struct {
			RunID   string `json:"run_id"`
			Status  string `json:"status"`
			EndTime int64  `json:"end_time,omitempty"`
		}{t.id, op.Status, op.EndTime}}, nil)
		if isRefusedContent(err) {
			if run, getErr := c.rest.getRun(ctx, t.id); getErr == nil && run.Info.LifecycleStage == "deleted" {
				return c.deletedRun(t.id)
			}
		}
		return err
	}
	return errors.New("unknown operation " + op.Op + " in the spool: was it written by a newer ctrx?")
}
