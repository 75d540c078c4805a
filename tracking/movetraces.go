package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// Traces of an export. They keep their ids, which the program that was traced
// gave them. The spans go as the artifact traces.json, which every server reads.

var traceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$`)

const (
	tracesPath        = "/api/3.0/mlflow/traces"
	traceSpansTag     = "mlflow.trace.spansLocation" // where the server that has it keeps the spans
	traceArtifactsTag = "mlflow.artifactLocation"
	traceRunKey       = "mlflow.sourceRun"
	traceFile         = "traces.json"
	tracePage         = 500
	movePending       = "pending" // movedTag of a trace that is not whole yet
)

// exportTraces writes the traces of an experiment.
func (m *mover) exportTraces(ctx context.Context, experiment string) error {
	var where wire.TraceLocation
	where.Type, where.Experiment.ID = "MLFLOW_EXPERIMENT", experiment
	for token := ""; ; {
		in := struct {
			Locations []wire.TraceLocation `json:"locations"`
			Max       int                  `json:"max_results"`
			Token     string               `json:"page_token,omitempty"`
		}{[]wire.TraceLocation{where}, tracePage, token}
		var out struct {
			Traces []wire.TraceInfo `json:"traces"`
			Next   string           `json:"next_page_token"`
		}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: tracesPath + "/search", in: in, what: "list traces"}, &out); err != nil {
			return unknownIsNone(err)
		}
		for _, t := range out.Traces {
			if err := m.exportTrace(ctx, t); err != nil {
				return fmt.Errorf("export trace %s: %w", t.ID, err)
			}
		}
		if token = out.Next; token == "" {
			return nil
		}
	}
}

func (m *mover) exportTrace(ctx context.Context, t wire.TraceInfo) error {
	if !traceID.MatchString(t.ID) {
		m.leave("trace "+t.ID, "its id cannot be the name of a folder")
		return nil
	}
	record, err := wire.Marshal(t)
	if err != nil {
		return err
	}
	changed, err := m.publishFolder("traces/"+t.ID, "trace.json", record, func(part string) error {
		spans, err := m.spans(ctx, t.ID)
		if err != nil || spans == nil {
			return err
		}
		m.count(func(n *Moved) { n.Artifacts++; n.Bytes += int64(len(spans)) })
		return publish(m.root, part+"/artifacts/"+traceFile, bytes.NewReader(spans))
	})
	if changed {
		m.count(func(n *Moved) { n.Traces++ })
	}
	return err
}

// spans reads the spans of a trace where a server gives them to its interface,
// wherever it keeps them. One that has none gives nil.
func (m *mover) spans(ctx context.Context, id string) ([]byte, error) {
	var data []byte
	err := m.c.rest.repeat(ctx, false, func(ctx context.Context) error {
		ctx, watch := m.c.rest.watch(ctx, m.c.rest.conf.timeout)
		defer watch.stop()
		req, err := m.c.rest.newRequest(ctx, http.MethodGet, "/ajax-api/2.0/mlflow/get-trace-artifact", url.Values{"request_id": {id}}, nil)
		if err != nil {
			return err
		}
		resp, err := m.c.rest.send(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err = io.ReadAll(&attemptBody{r: resp.Body, watch: watch})
		if err != nil {
			return m.c.rest.unreachable(ctx, err)
		}
		return nil
	})
	if err != nil {
		return nil, m.leaveRefused("the spans of trace "+id, err)
	}
	return data, nil
}

// importTraces brings the traces of some experiments.
func (m *mover) importTraces(ctx context.Context, experiments, runs map[string]string) error {
	names, err := m.folders("traces", traceID)
	if err != nil {
		return err
	}
	for _, name := range names {
		var t wire.TraceInfo
		digest, err := m.readRecord("traces/"+name+"/trace.json", &t)
		if err != nil {
			return err
		}
		experiment := experiments[t.Location.Experiment.ID]
		if experiment == "" {
			continue
		}
		t.Location.Experiment.ID = experiment
		if err := m.leaveRefused("trace "+name, m.importTrace(ctx, t, digest, runs)); err != nil {
			return fmt.Errorf("import trace %s: %w", name, err)
		}
	}
	return nil
}

// traceAnswer is a trace in requests and answers.
type traceAnswer struct {
	Trace struct {
		Info wire.TraceInfo `json:"trace_info"`
	} `json:"trace"`
}

// importTrace brings one trace. It is marked while it is not whole: one that
// has no mark was there before, or is at home.
func (m *mover) importTrace(ctx context.Context, t wire.TraceInfo, digest string, runs map[string]string) error {
	path := tracesPath + "/" + t.ID
	var there traceAnswer
	err := m.c.rest.call(ctx, request{method: http.MethodGet, path: path, what: "look for trace " + t.ID}, &there)
	var page *webPageError
	if err != nil && errs.KindOf(err) != errs.NotFound || errors.As(err, &page) {
		return err
	}
	if err == nil {
		if mark, marked := there.Trace.Info.Tags[movedTag]; !marked || mark == digest {
			return nil
		}
	}
	assessments := t.Assessments
	m.retag(&t, runs)
	var in, out traceAnswer
	in.Trace.Info = t
	if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: tracesPath, in: in, what: "log trace " + t.ID}, &out); err != nil {
		return err
	}
	if err := m.importArtifacts(ctx, out.Trace.Info.Tags[traceArtifactsTag], "traces/"+t.ID+"/artifacts"); err != nil {
		return err
	}
	for _, a := range assessments {
		if err := m.importAssessment(ctx, t.ID, a, there.Trace.Info.Assessments, runs); err != nil {
			return err
		}
	}
	mark := map[string]string{"key": movedTag, "value": digest}
	if err := m.c.rest.call(ctx, request{method: http.MethodPatch, path: path + "/tags", in: mark, what: "set a tag of trace " + t.ID}, nil); err != nil {
		return err
	}
	m.count(func(n *Moved) { n.Traces++ })
	return nil
}

// retag leaves out what belongs to the server that a trace comes from.
func (m *mover) retag(t *wire.TraceInfo, runs map[string]string) {
	tags, metadata := map[string]string{movedTag: movePending}, map[string]string{}
	for k, v := range t.Tags {
		if k != movedTag && k != traceSpansTag && k != traceArtifactsTag {
			tags[k] = v
		}
	}
	for k, v := range t.Metadata {
		if to := runs[v]; k == traceRunKey && to != "" {
			v = to
		} else if k == traceRunKey {
			m.leave("the run of trace "+t.ID, "run "+v+" is not in the export")
			continue
		}
		metadata[k] = v
	}
	t.Tags, t.Metadata, t.Assessments = tags, metadata, nil
}

// importAssessment adds an assessment that a trace does not have yet.
func (m *mover) importAssessment(ctx context.Context, trace string, a wire.Assessment, there []wire.Assessment, runs map[string]string) error {
	same := func(b wire.Assessment) bool { return a.Name == b.Name && a.CreateTime == b.CreateTime }
	if slices.ContainsFunc(there, same) {
		return nil
	}
	old := a.ID
	a.ID = ""
	if to := runs[a.Metadata["mlflow.assessment.sourceRunId"]]; to != "" {
		a.Metadata["mlflow.assessment.sourceRunId"] = to
	}
	if a.Overrides != "" { // the ids are the server's own
		m.leave("what assessment "+old+" of trace "+trace+" replaces", "assessments get new ids")
		a.Overrides = ""
	}
	in := map[string]any{"assessment": a}
	err := m.c.rest.call(ctx, request{method: http.MethodPost, path: tracesPath + "/" + trace + "/assessments", in: in, once: true, what: "log an assessment of trace " + trace}, nil)
	return m.leaveRefused("assessment "+a.Name+" of trace "+trace, err)
}
