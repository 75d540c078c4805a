package server

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"ctrx/tracking/wire"
)

// The interface of MLflow asks four GraphQL queries, always the same. They are
// told apart by their names and answered with all fields, so no engine is
// needed: a client takes from the objects what it asked for.

// graphObject is one object of an answer, with its __typename.
type graphObject map[string]any

type graphQuery struct {
	Operation string `json:"operationName"`
	Variables struct {
		Data  json.RawMessage `json:"data"`
		Input json.RawMessage `json:"input"`
	} `json:"variables"`
}

// graphAnswer is what a GraphQL server answers. Errors are texts.
type graphAnswer struct {
	Data   graphObject `json:"data"`
	Errors []string    `json:"errors"`
}

func (s *Server) serveGraphQL(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return methodError(r)
	}
	if err := checkContentType(r); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	var in graphQuery
	if err := decode(r, &in); err != nil {
		return err
	}
	input := in.Variables.Data
	if len(input) == 0 {
		input = in.Variables.Input
	}
	field, answer, err := s.graph(r, in.Operation, input)
	if field == "" {
		return err
	}
	out := graphAnswer{Data: graphObject{field: answer}}
	if err != nil {
		if e := new(apiError); !errors.As(err, &e) {
			return err
		}
		out = graphAnswer{Data: graphObject{field: nil}, Errors: []string{err.Error()}}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// graph answers one operation. field is "" for one that is not known.
func (s *Server) graph(r *http.Request, operation string, input json.RawMessage) (field string, answer any, err error) {
	var in struct {
		Run        string `json:"runId"`
		Experiment string `json:"experimentId"`

		Experiments []string `json:"experimentIds"`
		Filter      text     `json:"filter"`
		View        viewType `json:"runViewType"`
		Max         integer  `json:"maxResults"`
		OrderBy     []string `json:"orderBy"`
		PageToken   text     `json:"pageToken"`

		Runs  texts   `json:"runIds"`
		Key   text    `json:"metricKey"`
		Start integer `json:"startStep"`
		End   integer `json:"endStep"`
	}
	if len(input) > 0 {
		if err := json.Unmarshal(input, &in); err != nil {
			return "", nil, invalid("Malformed variables: %v", err)
		}
	}
	ctx := r.Context()
	switch operation {
	case "GetRun":
		answer, err = s.graphRun(ctx, in.Run)
		return "mlflowGetRun", answer, err
	case "MlflowGetExperimentQuery":
		answer, err = s.graphExperiment(ctx, in.Experiment)
		return "mlflowGetExperiment", answer, err
	case "SearchRuns":
		answer, err = s.graphSearch(ctx, runQuery{in.Experiments, in.Filter, in.View, in.Max, in.OrderBy, in.PageToken})
		return "mlflowSearchRuns", answer, err
	case "GetMetricHistoryBulkInterval":
		q := intervalQuery{Runs: in.Runs, Key: in.Key, Start: in.Start, End: in.End}
		if in.Max.set {
			q.Max = in.Max
		}
		found, err := s.interval(ctx, q)
		if err != nil {
			return "mlflowGetMetricHistoryBulkInterval", nil, err
		}
		points := []graphObject{}
		for _, m := range found.Metrics {
			o := graphMetric(m.Metric)
			o["__typename"], o["runId"] = "MlflowMetricWithRunId", m.RunID
			points = append(points, o)
		}
		return "mlflowGetMetricHistoryBulkInterval", graphResponse("MlflowGetMetricHistoryBulkIntervalResponse", "metrics", points), nil
	}
	return "", nil, invalid("This server answers the GraphQL operations of MLflow's interface only; '%s' is none of them", operation)
}

func graphResponse(kind, field string, value any) graphObject {
	return graphObject{"__typename": kind, field: value, "apiError": nil}
}

func graphInt(i *wire.Int) any {
	if i == nil {
		return nil
	}
	return strconv.FormatInt(int64(*i), 10)
}

func graphMetric(m wire.Metric) graphObject {
	var value any = m.Value
	if v := float64(m.Value); math.IsNaN(v) || math.IsInf(v, 0) {
		value = nil
	}
	return graphObject{"__typename": "MlflowMetricExtension", "key": m.Key, "value": value, "timestamp": graphInt(&m.Timestamp), "step": graphInt(&m.Step)}
}

func graphPairs[T wire.Tag | wire.Param](kind string, list []T) []graphObject {
	out := []graphObject{}
	for _, t := range list {
		p := wire.Tag(t)
		out = append(out, graphObject{"__typename": kind, "key": p.Key, "value": p.Value})
	}
	return out
}

func graphExperimentObject(e wire.Experiment) graphObject {
	return graphObject{"__typename": "MlflowExperiment", "experimentId": e.ID, "name": e.Name, "artifactLocation": e.ArtifactLocation,
		"lifecycleStage": e.LifecycleStage, "lastUpdateTime": graphInt(&e.LastUpdateTime), "creationTime": graphInt(&e.CreationTime),
		"tags": graphPairs("MlflowExperimentTag", e.Tags), "effectiveTraceArchivalRetention": "", "workspace": "default"}
}

func graphRunObject(run wire.Run, e wire.Experiment, versions []wire.ModelVersion) graphObject {
	i := run.Info
	info := graphObject{"__typename": "MlflowRunInfo", "runId": i.RunID, "runUuid": i.RunUUID, "runName": i.RunName, "experimentId": i.ExperimentID,
		"userId": i.UserID, "status": i.Status, "startTime": graphInt(i.StartTime), "endTime": graphInt(i.EndTime), "artifactUri": i.ArtifactURI,
		"lifecycleStage": i.LifecycleStage}
	metrics := []graphObject{}
	for _, m := range run.Data.Metrics {
		metrics = append(metrics, graphMetric(m))
	}
	inputs, used, made := []graphObject{}, []graphObject{}, []graphObject{}
	for _, d := range run.Inputs.DatasetInputs {
		dataset := graphObject{"__typename": "MlflowDataset", "name": d.Dataset.Name, "digest": d.Dataset.Digest, "sourceType": d.Dataset.SourceType,
			"source": d.Dataset.Source, "schema": d.Dataset.Schema, "profile": d.Dataset.Profile}
		inputs = append(inputs, graphObject{"__typename": "MlflowDatasetInput", "dataset": dataset, "tags": graphPairs("MlflowInputTag", d.Tags)})
	}
	for _, m := range run.Inputs.ModelInputs {
		used = append(used, graphObject{"__typename": "MlflowModelInput", "modelId": m.ModelID})
	}
	if run.Outputs != nil {
		for _, m := range run.Outputs.ModelOutputs {
			made = append(made, graphObject{"__typename": "MlflowModelOutput", "modelId": m.ModelID, "step": graphInt(&m.Step)})
		}
	}
	registered := []graphObject{}
	for _, v := range versions {
		registered = append(registered, graphObject{"__typename": "MlflowModelVersion", "name": v.Name, "version": v.Version, "status": v.Status,
			"source": v.Source, "runId": v.RunID, "currentStage": v.Stage, "description": v.Description, "creationTimestamp": graphInt(&v.CreationTime),
			"lastUpdatedTimestamp": graphInt(&v.LastUpdateTime), "userId": v.UserID})
	}
	return graphObject{"__typename": "MlflowRunExtension", "info": info, "experiment": graphExperimentObject(e), "modelVersions": registered,
		"data": graphObject{"__typename": "MlflowRunData", "metrics": metrics, "params": graphPairs("MlflowParam", run.Data.Params),
			"tags": graphPairs("MlflowRunTag", run.Data.Tags)},
		"inputs":  graphObject{"__typename": "MlflowRunInputs", "datasetInputs": inputs, "modelInputs": used},
		"outputs": graphObject{"__typename": "MlflowRunOutputs", "modelOutputs": made}}
}
