package server

import (
	"maps"
	"net/http"
	"strings"
)

// pattern is a route with parts that vary: "{model}" is any one part, and the
// handler finds it by Request.PathValue.
type pattern struct {
	parts []string
	route route
}

// find gives the route of a path below /api/ and sets its varying parts.
func (s *Server) find(r *http.Request, rest string) (route, bool) {
	if rt, ok := s.routes[rest]; ok {
		return rt, true
	}
	parts := strings.Split(rest, "/")
	for _, p := range s.patterns {
		if p.match(r, parts) {
			return p.route, true
		}
	}
	return nil, false
}

func (p pattern) match(r *http.Request, parts []string) bool {
	if len(parts) != len(p.parts) {
		return false
	}
	for i, part := range p.parts {
		if part != parts[i] && (part[0] != '{' || parts[i] == "") {
			return false
		}
	}
	for i, part := range p.parts {
		if part[0] == '{' {
			r.SetPathValue(strings.Trim(part, "{}"), parts[i])
		}
	}
	return true
}

func patterns() []pattern {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	at := func(path string, rt route) pattern { return pattern{strings.Split(path, "/"), rt} }
	trace, traceTags := route{get: (*Server).getTrace}, route{patch: (*Server).setTraceTag, del: (*Server).deleteTraceTag}
	return []pattern{
		at("3.0/mlflow/traces/{trace}", trace),
		at("3.0/mlflow/traces/{trace}/tags", traceTags),
		at("2.0/mlflow/traces/{trace}/tags", traceTags),
		at("3.0/mlflow/traces/{trace}/assessments", route{post: (*Server).createAssessment}),
		at("3.0/mlflow/traces/{trace}/assessments/{assessment}", route{get: (*Server).getAssessment, patch: (*Server).updateAssessment, del: (*Server).deleteAssessment}),
		at("2.0/mlflow/logged-models/{model}", route{get: (*Server).getLoggedModel, patch: (*Server).finalizeLoggedModel, del: (*Server).deleteLoggedModel}),
		at("2.0/mlflow/logged-models/{model}/params", route{post: (*Server).logModelParams}),
		at("2.0/mlflow/logged-models/{model}/tags", route{patch: (*Server).setModelTags}),
		at("2.0/mlflow/logged-models/{model}/tags/{key}", route{del: (*Server).deleteLoggedModelTag}),
		at("2.0/mlflow/logged-models/{model}/artifacts/directories", route{get: (*Server).listModelArtifacts}),
	}
}

// routes gives the calls whose paths do not vary.
func routes() map[string]route {
	all := map[string]route{}
	for _, some := range []map[string]route{trackingRoutes(), registryRoutes(), otherRoutes()} {
		maps.Copy(all, some)
	}
	return all
}

// trackingRoutes are the calls about experiments, runs and what runs have.
func trackingRoutes() map[string]route {
	const get, post = http.MethodGet, http.MethodPost
	return map[string]route{
		"2.0/mlflow/experiments/get":                   {get: (*Server).getExperiment},
		"2.0/mlflow/experiments/get-by-name":           {get: (*Server).getExperimentByName},
		"2.0/mlflow/experiments/create":                {post: (*Server).createExperiment},
		"2.0/mlflow/experiments/update":                {post: (*Server).updateExperiment},
		"2.0/mlflow/experiments/delete":                {post: (*Server).deleteExperiment},
		"2.0/mlflow/experiments/restore":               {post: (*Server).restoreExperiment},
		"2.0/mlflow/experiments/set-experiment-tag":    {post: (*Server).setExperimentTag},
		"2.0/mlflow/experiments/delete-experiment-tag": {post: (*Server).deleteExperimentTag},
		"2.0/mlflow/experiments/search":                {get: (*Server).searchExperiments, post: (*Server).searchExperiments},
		"2.0/mlflow/experiments/search-datasets":       {post: (*Server).searchDatasets},

		"2.0/mlflow/runs/create":        {post: (*Server).createRun},
		"2.0/mlflow/runs/get":           {get: (*Server).getRun},
		"2.0/mlflow/runs/update":        {post: (*Server).updateRun},
		"2.0/mlflow/runs/delete":        {post: (*Server).deleteRun},
		"2.0/mlflow/runs/restore":       {post: (*Server).restoreRun},
		"2.0/mlflow/runs/search":        {post: (*Server).searchRuns},
		"2.0/mlflow/runs/log-batch":     {post: (*Server).logBatch},
		"2.0/mlflow/runs/log-metric":    {post: (*Server).logMetric},
		"2.0/mlflow/runs/log-parameter": {post: (*Server).logParameter},
		"2.0/mlflow/runs/set-tag":       {post: (*Server).setTag},
		"2.0/mlflow/runs/delete-tag":    {post: (*Server).deleteTag},
		"2.0/mlflow/runs/log-inputs":    {post: (*Server).logInputs},
		"2.0/mlflow/runs/outputs":       {post: (*Server).logOutputs},
		"2.0/mlflow/runs/log-model":     {post: (*Server).logModel},

		"2.0/mlflow/metrics/get-history":               {get: (*Server).metricHistory},
		"2.0/mlflow/metrics/get-history-bulk":          {get: (*Server).bulkHistory},
		"2.0/mlflow/metrics/get-history-bulk-interval": {get: (*Server).intervalHistory},

		"2.0/mlflow/artifacts/list":                   {get: (*Server).listRunArtifacts},
		"2.0/mlflow/artifacts/presigned-upload-url":   {post: (*Server).presigned},
		"2.0/mlflow/artifacts/presigned-download-url": {post: (*Server).presigned},

		"2.0/mlflow/logged-models":        {post: (*Server).createLoggedModel},
		"2.0/mlflow/logged-models/search": {post: (*Server).searchLoggedModels},
	}
}

// registryRoutes are the calls about registered models and their versions.
func registryRoutes() map[string]route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return map[string]route{
		"2.0/mlflow/registered-models/create":              {post: (*Server).createRegisteredModel},
		"2.0/mlflow/registered-models/rename":              {post: (*Server).renameRegisteredModel},
		"2.0/mlflow/registered-models/update":              {patch: (*Server).updateRegisteredModel},
		"2.0/mlflow/registered-models/delete":              {del: (*Server).deleteRegisteredModel},
		"2.0/mlflow/registered-models/get":                 {get: (*Server).getRegisteredModel},
		"2.0/mlflow/registered-models/search":              {get: (*Server).searchRegisteredModels},
		"2.0/mlflow/registered-models/get-latest-versions": {get: (*Server).latestModelVersions, post: (*Server).latestModelVersions},
		"2.0/mlflow/registered-models/set-tag":             {post: (*Server).setModelTag},
		"2.0/mlflow/registered-models/delete-tag":          {del: (*Server).deleteModelTag},
		"2.0/mlflow/registered-models/alias":               {get: (*Server).versionByAlias, post: (*Server).setAlias, del: (*Server).deleteAlias},

		"2.0/mlflow/model-versions/create":           {post: (*Server).createModelVersion},
		"2.0/mlflow/model-versions/update":           {patch: (*Server).updateModelVersion},
		"2.0/mlflow/model-versions/transition-stage": {post: (*Server).transitionStage},
		"2.0/mlflow/model-versions/delete":           {del: (*Server).deleteModelVersion},
		"2.0/mlflow/model-versions/get":              {get: (*Server).getModelVersion},
		"2.0/mlflow/model-versions/search":           {get: (*Server).searchModelVersions},
		"2.0/mlflow/model-versions/get-download-uri": {get: (*Server).downloadURI},
		"2.0/mlflow/model-versions/set-tag":          {post: (*Server).setVersionTag},
		"2.0/mlflow/model-versions/delete-tag":       {del: (*Server).deleteVersionTag},
	}
}

// otherRoutes are the calls about traces and the server itself.
func otherRoutes() map[string]route {
	const get, post = http.MethodGet, http.MethodPost
	return map[string]route{
		"3.0/mlflow/server-info": {get: (*Server).serverInfo},

		"3.0/mlflow/traces":               {post: (*Server).startTrace},
		"3.0/mlflow/traces/search":        {post: (*Server).searchTraces},
		"3.0/mlflow/traces/batchGetInfos": {post: (*Server).traceInfos},
		"3.0/mlflow/traces/delete-traces": {post: (*Server).deleteTraces},
		"2.0/mlflow/traces/delete-traces": {post: (*Server).deleteTraces},
		"2.0/mlflow/traces/link-to-run":   {post: (*Server).linkTraces},
		"3.0/mlflow/traces/link-to-run":   {post: (*Server).linkTraces},

		// What MLflow's interface asks for and this server has nothing of:
		// gateway, metrics of traces, evaluation, telemetry.
		"2.0/mlflow/gateway-proxy":   {get: (*Server).noEndpoints},
		"3.0/mlflow/ui-telemetry":    {get: (*Server).noTelemetry},
		"3.0/mlflow/scorers/list":    {get: nothing},
		"3.0/mlflow/traces/metrics":  {post: nothing},
		"3.0/mlflow/datasets/search": {post: nothing},
		"3.0/mlflow/issues/search":   {post: nothing},
	}
}

// nothing answers a list that is empty.
func nothing(*Server, *http.Request) (any, error) { return empty{}, nil }

func (s *Server) noEndpoints(*http.Request) (any, error) {
	return struct {
		Endpoints []string `json:"endpoints"`
	}{[]string{}}, nil
}

func (s *Server) noTelemetry(*http.Request) (any, error) {
	return struct {
		Disabled bool     `json:"disable_ui_telemetry"`
		Events   []string `json:"disable_ui_events"`
		Rollout  int      `json:"ui_rollout_percentage"`
	}{Disabled: true, Events: []string{}}, nil
}
