package tracking

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/tracking/wire"
)

const (
	// RefusedTag says what of a run its server would not take, and why.
	RefusedTag = "ctrx.refused"
	// refusedDir is the artifact folder where that is kept, as JSON lines in the
	// form of the spool: params, metrics and tags of op "batch", datasets of op
	// "inputs".
	refusedDir = "ctrx/refused"
	// mostRefusals bounds the requests that look for the bad items of a batch.
	mostRefusals = 200
)

// isRefusedContent tells errors that will be the same at any later time: the
// content is wrong, not the server.
func isRefusedContent(err error) bool {
	var s *ServerError
	if errors.As(err, &s) {
		return s.Status == http.StatusBadRequest || s.Status == http.StatusRequestEntityTooLarge
	}
	return errs.KindOf(err) == errs.Usage
}

type batchBody struct {
	RunID   string        `json:"run_id"`
	Metrics []wire.Metric `json:"metrics,omitempty"`
	Params  []wire.Param  `json:"params,omitempty"`
	Tags    []wire.Tag    `json:"tags,omitempty"`
}

type inputsBody struct {
	RunID    string              `json:"run_id"`
	Datasets []wire.DatasetInput `json:"datasets"`
}

// post sends an opBatch or opInputs as it is.
func (c *Client) post(ctx context.Context, t target, op operation) error {
	q := request{method: http.MethodPost, items: op.items()}
	if op.Op == opInputs {
		q.path, q.what, q.in = apiPath+"runs/log-inputs", "log dataset inputs of run "+t.id, inputsBody{t.id, op.Datasets}
	} else {
		q.path, q.what, q.in = apiPath+"runs/log-batch", "log parameters and metrics of run "+t.id, batchBody{t.id, op.Metrics, op.Params, op.Tags}
	}
	return c.rest.call(ctx, q, nil)
}

// applySplitting sends a batch that is never lost to one of its items. When the
// server refuses it, a parameter that has another value there already (a stage
// command may have logged it) becomes a tag; then the batch is halved until the
// bad items are alone. Those are kept as an artifact, with a tag and a warning.
func (c *Client) applySplitting(ctx context.Context, t target, op operation) error {
	err := c.post(ctx, t, op)
	if !isRefusedContent(err) {
		return err
	}
	run, getErr := c.rest.getRun(ctx, t.id)
	switch {
	case isRefusedContent(getErr):
		return err
	case getErr != nil:
		return getErr
	case run.Info.LifecycleStage == "deleted":
		return c.deletedRun(t.id)
	}
	s := splitter{c: c, t: t}
	if op.Op == opInputs {
		err = s.send(ctx, op)
	} else {
		for _, part := range splitBatch(c.withoutChanged(run, op)) {
			if err = s.send(ctx, part); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	return s.keep(ctx)
}

// deletedRun says that a run cannot be written. It is not the fault of what was
// written: the run can be restored.
func (c *Client) deletedRun(id string) error {
	return errs.Hint(errs.New(errs.Conflict, "run %s is deleted on %s", id, c.URI()),
		"restore it with `MLFLOW_TRACKING_URI=%s mlflow runs restore --run-id %s`", c.URI(), id)
}

// withoutChanged makes tags of the parameters that the run has with another
// value.
func (c *Client) withoutChanged(run wire.Run, op operation) operation {
	there := map[string]string{}
	for _, p := range run.Data.Params {
		there[p.Key] = p.Value
	}
	rest := operation{Op: opBatch, Metrics: op.Metrics, Tags: op.Tags}
	for _, p := range op.Params {
		if old, ok := there[p.Key]; ok && old != p.Value {
			rest.Tags = append(rest.Tags, c.changedParam(p.Key, p.Value))
			continue
		}
		rest.Params = append(rest.Params, p)
	}
	return rest
}

// splitter looks for the items of a batch that a server refuses.
type splitter struct {
	c       *Client
	t       target
	asked   int
	refused []operation
	why     error // the first refusal of a single item
}

func (s *splitter) send(ctx context.Context, op operation) error {
	n := op.items()
	if n == 0 {
		return nil
	}
	if s.asked >= mostRefusals {
		s.refused = append(s.refused, op)
		return nil
	}
	s.asked++
	err := s.c.post(ctx, s.t, op)
	if !isRefusedContent(err) {
		return err
	}
	if n > 1 {
		if err := s.send(ctx, op.slice(0, n/2)); err != nil {
			return err
		}
		return s.send(ctx, op.slice(n/2, n))
	}
	if s.why == nil {
		s.why = err
	}
	if len(op.Params) == 1 {
		return s.send(ctx, operation{Op: opBatch, Tags: []wire.Tag{s.c.changedParam(op.Params[0].Key, op.Params[0].Value)}})
	}
	s.refused = append(s.refused, op)
	return nil
}

// keep puts away what was refused. The name of the artifact is that of its
// content, so that sending it again changes nothing.
func (s *splitter) keep(ctx context.Context) error {
	if len(s.refused) == 0 {
		return nil
	}
	var lines bytes.Buffer
	n := 0
	for _, op := range s.refused {
		n += op.items()
		line, err := wire.Marshal(op)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	sum := sha256.Sum256(lines.Bytes())
	name := refusedDir + "/" + hex.EncodeToString(sum[:6]) + ".jsonl"
	text := fmt.Sprintf("%d item(s) that the server does not take, kept as artifact %s: %v", n, name, s.why)
	s.c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: "MLflow run " + s.t.id + ": " + text})
	err := s.c.putArtifact(ctx, s.t.artifactURI, operation{Op: opArtifact, Path: name, Size: int64(lines.Len()), source: bytes.NewReader(lines.Bytes())})
	if err != nil {
		return err
	}
	return s.c.post(ctx, s.t, operation{Op: opBatch, Tags: []wire.Tag{{Key: RefusedTag, Value: wire.Cut(text, wire.MaxTagValue)}}})
}

// items counts what is in a batch.
func (op operation) items() int {
	return len(op.Params) + len(op.Tags) + len(op.Metrics) + len(op.Datasets)
}

// slice gives the items from a to b of a batch, in the order of items.
func (op operation) slice(a, b int) operation {
	out := operation{Op: op.Op}
	out.Params = part(op.Params, &a, &b)
	out.Tags = part(op.Tags, &a, &b)
	out.Metrics = part(op.Metrics, &a, &b)
	out.Datasets = part(op.Datasets, &a, &b)
	return out
}

// part cuts a list by positions that count from its first item, and moves the
// positions behind it.
func part[T any](all []T, a, b *int) []T {
	n := len(all)
	from, to := min(max(*a, 0), n), min(max(*b, 0), n)
	*a, *b = *a-n, *b-n
	return all[from:to]
}
