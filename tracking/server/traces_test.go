package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const traces = "/api/3.0/mlflow/traces"

// traceOf is the body of a POST of a trace.
func traceOf(experiment string, n int, state string, tags, metadata m) m {
	return m{"trace": m{"trace_info": m{"trace_id": fmt.Sprint("tr-", n), "client_request_id": fmt.Sprint("c", n),
		"trace_location": m{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": m{"experiment_id": experiment}},
		"request_time":   fmt.Sprintf("2026-01-01T00:00:0%d.500Z", n), "execution_duration": fmt.Sprintf("0.%d00s", n), "state": state,
		"tags": tags, "trace_metadata": metadata, "request_preview": "in", "response_preview": "out"}}}
}

// Traces are kept, found, tagged and deleted on files of both revisions.
func TestTraces(t *testing.T) {
	for _, migrated := range []bool{false, true} {
		t.Run(fmt.Sprintf("migrated=%v", migrated), func(t *testing.T) {
			f := newFixture(t)
			if migrated {
				schema, err := os.ReadFile("testdata/migrated-3.17.2.sql")
				if err != nil {
					t.Fatal(err)
				}
				execSQL(t, filepath.Join(f.dir, "mlflow.db"), string(schema), `INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
					VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 1, 1)`)
			}
			checkTraces(t, f)
		})
	}
}

func checkTraces(t *testing.T, f fixture) {
	t.Helper()
	call := func(method, path string, body, out any) {
		t.Helper()
		status, answer := f.request(t, method, path, body)
		f.decode(t, path, status, answer, out)
	}
	var started wholeTrace
	call("POST", traces, traceOf("0", 1, "OK", m{"mlflow.traceName": "outer", "team": "red"}, m{"mlflow.trace.session": "s1", "mlflow.sourceRun": "r1"}), &started)
	info := started.Trace.Info
	if info.Time != "2026-01-01T00:00:01.500Z" || info.Duration != "0.100s" || info.State != "OK" || info.Request != "in" || info.Response != "out" || info.ClientID != "c1" ||
		info.Tags[traceLocation] != "mlflow-artifacts:/0/traces/tr-1/artifacts" || info.Tags[traceName] != "outer" || info.Metadata[traceSession] != "s1" {
		t.Errorf("%+v", info)
	}
	call("POST", traces, traceOf("0", 2, "ERROR", m{"mlflow.traceName": "inner"}, m{}), nil)
	call("POST", traces, traceOf("0", 3, "IN_PROGRESS", nil, nil), nil)
	call("POST", traces, traceOf("0", 3, "OK", nil, nil), nil) // it has ended
	find := func(filter string, orderBy ...string) string {
		t.Helper()
		var out struct{ Traces []traceInfo }
		call("POST", traces+"/search", m{"locations": []m{{"mlflow_experiment": m{"experiment_id": "0"}}}, "filter": filter, "order_by": orderBy}, &out)
		var ids []string
		for _, x := range out.Traces {
			ids = append(ids, strings.TrimPrefix(x.ID, "tr-"))
		}
		return strings.Join(ids, " ")
	}
	for _, c := range []struct {
		filter, order, want string
	}{
		{"", "", "3 2 1"}, {"", "timestamp_ms ASC", "1 2 3"}, {"", "execution_time DESC", "3 2 1"}, {"", "attributes.name ASC", "2 1 3"}, {"status = 'OK'", "", "3 1"},
		{"attributes.name = 'outer'", "", "1"}, {"tags.`mlflow.traceName` LIKE 'inn%'", "", "2"}, {"tag.team IS NULL", "", "3 2"}, {"tags.team = 'red' AND trace.run_id = 'r1'", "", "1"},
		{"metadata.`mlflow.trace.session` = 's1'", "", "1"}, {"timestamp_ms > 1767225602000", "", "3 2"}, {"end_time <= 1767225602700", "", "2 1"}, {"execution_time_ms >= 200", "", "3 2"},
		{"client_request_id IN ('c1', 'c2')", "", "2 1"}, {"name NOT IN ('outer')", "", "2"},
		{"name RLIKE 'n?er$'", "", "2 1"}, {"tags.team rlike '^r.d' AND name RLIKE '^(outer|x)$'", "", "1"}, {"tags.team RLIKE ''", "", "1"}, {"metadata.`mlflow.trace.session` RLIKE 's[0-9]'", "", "1"},
		{"run_id RLIKE '[^a-q]1'", "", "1"}, {"status RLIKE 'R' AND client_request_id RLIKE '[23]'", "", "2"}, {"tags.team RLIKE 'RED'", "", ""}, {"tags.team RLIKE '(?i)RED'", "", "1"},
	} {
		var order []string
		if c.order != "" {
			order = []string{c.order}
		}
		if got := find(c.filter, order...); got != c.want {
			t.Errorf("%q by %q finds %q, want %q", c.filter, c.order, got, c.want)
		}
	}
	checkAssessments(t, f, call, find)
	call("PATCH", traces+"/tr-3/tags", m{"key": "mlflow.traceName", "value": "named"}, nil)
	call("PATCH", "/api/2.0/mlflow/traces/tr-3/tags", m{"key": "a", "value": "b"}, nil)
	if got := find("name = 'named' AND tags.a = 'b'"); got != "3" {
		t.Errorf("after two tags: %q", got)
	}
	call("DELETE", traces+"/tr-3/tags?key=mlflow.traceName", nil, nil)
	call("DELETE", traces+"/tr-3/tags", m{"key": "a"}, nil)
	var third wholeTrace
	call("GET", traces+"/tr-3", nil, &third)
	if tags := third.Trace.Info.Tags; len(tags) != 1 || third.Trace.Info.State != "OK" {
		t.Errorf("%+v", third.Trace.Info)
	}
	checkTraceRefusals(t, f)
	var deleted struct {
		N int `json:"traces_deleted"`
	}
	call("POST", traces+"/delete-traces", m{"experiment_id": "0", "request_ids": []string{"tr-1", "tr-9"}}, &deleted)
	if deleted.N != 1 || find("") != "3 2" {
		t.Errorf("%d deleted, %q left", deleted.N, find(""))
	}
	call("POST", "/api/2.0/mlflow/traces/delete-traces", m{"experiment_id": "0", "max_timestamp_millis": 1767225609000, "max_traces": 1}, &deleted)
	if deleted.N != 1 || find("") != "3" {
		t.Errorf("%d deleted, %q left", deleted.N, find(""))
	}
}

// checkAssessments judges traces 1 and 2, links them to a run, and finds them by
// that and by their spans. Nothing of it stays.
func checkAssessments(t *testing.T, f fixture, call func(method, path string, body, out any), find func(string, ...string) string) {
	t.Helper()
	var score, expected, better assessmentAnswer
	human := m{"source_type": "HUMAN", "source_id": "me"}
	call("POST", traces+"/tr-1/assessments", m{"assessment": m{"assessment_name": "score", "source": human, "feedback": m{"value": 0.5}, "metadata": m{"k": "v"}}}, &score)
	call("POST", traces+"/tr-2/assessments", m{"assessment": m{"assessment_name": "answer", "source": human, "span_id": "s", "expectation": m{"value": "42"}, "create_time": "2026-01-01T00:00:02.000Z"}}, &expected)
	call("POST", traces+"/tr-1/assessments", m{"assessment": m{"assessment_name": "score", "source": human, "feedback": m{"value": 0.75}, "overrides": score.Assessment.ID}}, &better)
	call("PATCH", traces+"/tr-1/assessments/"+better.Assessment.ID, m{"assessment": m{"rationale": "so"}, "update_mask": "rationale"}, nil)
	var one wholeTrace
	call("GET", traces+"/tr-1", nil, &one)
	got := one.Trace.Info.Assessments
	if len(got) != 2 || *got[0].Valid || got[0].Metadata["k"] != "v" || !*got[1].Valid || *got[1].Rationale != "so" || string(got[1].Feedback.Value) != "0.75" || strings.Contains(text2(one.Trace.Info.Metadata), "ctrx.") {
		t.Errorf("%s", text2(one))
	}
	run := f.newRun(t)
	for range 2 {
		call("POST", "/api/2.0/mlflow/traces/link-to-run", m{"trace_ids": []string{"tr-2", "tr-1", "tr-9"}, "run_id": run}, nil)
	}
	spans := `{"spans": [{"name": "call", "status": {"code": "STATUS_CODE_OK"}, "attributes": {"mlflow.spanType": "\"LLM\"", "color": "\"red\"", "n": "5"}}, {"name": "x"}]}`
	if status, _ := f.raw(t, "PUT", "/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-2/artifacts/traces.json", spans); status != 200 {
		t.Fatal(status)
	}
	for filter, want := range map[string]string{
		"feedback.score = '0.75'": "1", "feedback.score = '0.5'": "", "feedback.score > 0.7 AND status = 'OK'": "1", "feedback.score < '0.7'": "", "feedback.score IS NULL": "3 2",
		"feedback.score IS NOT NULL": "1", "expectation.answer = '42'": "2", "expectation.answer LIKE '%4%'": "2", "feedback.answer = '42'": "", "run_id = '" + run + "'": "2 1",
		"attributes.run_id = 'r1'": "1", "span.name = 'call'": "2", "span.type IN ('LLM', 'TOOL') AND span.name = 'x'": "2", "span.status = 'OK'": "2", "span.attributes.color ILIKE 'RE%'": "2",
		"span.attributes.n = '5'": "2", "span.attributes.color != 'red'": "", "span.content LIKE '%LLM%'": "2", "span.name = 'none'": "",
		"span.name RLIKE '^ca' AND span.type RLIKE 'L{2}'": "2", "span.attributes.color RLIKE '^e'": "",
	} {
		if got := find(filter); got != want {
			t.Errorf("%q finds %q, want %q", filter, got, want)
		}
	}
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		text         string
	}{
		{"POST", traces + "/tr-9/assessments", m{"assessment": m{"assessment_name": "a", "source": human, "feedback": m{"value": 1}}}, 404, "not found"},
		{"POST", traces + "/tr-1/assessments", m{"assessment": m{"assessment_name": "a", "source": human}}, 400, "Unknown assessment type"},
		{"POST", traces + "/tr-1/assessments", m{}, 400, "assessment"},
		{"GET", traces + "/tr-1/assessments/a-9", nil, 404, "Assessment with ID 'a-9' not found for trace 'tr-1'"},
		{"PATCH", traces + "/tr-1/assessments/" + better.Assessment.ID, m{"assessment": m{}, "update_mask": "expectation"}, 400, "Cannot update expectation"},
		{"POST", "/api/2.0/mlflow/traces/link-to-run", m{"run_id": run}, 400, "trace_ids"},
		{"POST", traces + "/search", m{"filter": "span.nope = 'x'"}, 400, "Invalid span attribute 'nope'"},
		{"POST", traces + "/search", m{"filter": "span.name > 'x'"}, 400, "comparator '>'"},
		{"POST", traces + "/search", m{"filter": "feedback.a > 'x'"}, 400, "Expected a numeric value"},
	} {
		if status, answer := f.request(t, c.method, c.path, c.body); status != c.status || !strings.Contains(answer, c.text) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, answer, c.status, c.text)
		}
	}
	call("DELETE", traces+"/tr-1/assessments/"+better.Assessment.ID, nil, nil)
	call("GET", traces+"/tr-1/assessments/"+score.Assessment.ID, nil, &score)
	if !*score.Assessment.Valid {
		t.Error("what was replaced is not in force again")
	}
	call("DELETE", traces+"/tr-1/assessments/"+score.Assessment.ID, nil, nil)
	call("DELETE", traces+"/tr-2/assessments/"+expected.Assessment.ID, nil, nil)
	call("DELETE", traces+"/tr-2/assessments/"+expected.Assessment.ID, nil, nil)
}

func checkTraceRefusals(t *testing.T, f fixture) {
	t.Helper()
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		text         string
	}{
		{"GET", traces + "/tr-9", nil, 404, "Trace with ID 'tr-9' not found."},
		{"PATCH", traces + "/tr-9/tags", m{"key": "a", "value": "b"}, 404, "not found"},
		{"DELETE", traces + "/tr-1/tags?key=nope", nil, 404, "No trace tag with key 'nope' for trace with ID 'tr-1'"},
		{"POST", traces, traceOf("77", 4, "OK", nil, nil), 404, "No Experiment with id=77 exists"},
		{"POST", traces, m{"trace": m{"trace_info": m{}}}, 400, "trace_id"},
		{"POST", traces + "/search", m{"filter": "foo.bar = 'x'"}, 400, "Invalid entity type 'foo'. Valid values are {'attribute'"},
		{"POST", traces + "/search", m{"max_results": 501}, 400, "max_results"},
		{"POST", traces + "/search", m{"filter": "tags.team RLIKE 'a(?=b)'"}, 400, "The pattern of RLIKE in tag.team"},
		{"POST", traces + "/search", m{"filter": "span.name RLIKE '('"}, 400, "The pattern of RLIKE in span.name"},
		{"POST", traces + "/search", m{"filter": "tags.team NOT RLIKE 'a'"}, 400, "Invalid comparator 'NOT RLIKE' not one of"},
		{"POST", traces + "/search", m{"filter": "tags.team RLIKE 5"}, 400, "Expected a quoted string value for tag"},
		{"POST", traces + "/search", m{"filter": "timestamp_ms RLIKE 5"}, 400, "Invalid comparator 'RLIKE'"},
		{"POST", traces + "/search", m{"filter": "prompt RLIKE 'a/1'"}, 400, "Only '=' is supported"},
		{"POST", api + "runs/search", m{"experiment_ids": []string{"0"}, "filter": "tags.team RLIKE 'a'"}, 400, "Invalid comparator 'RLIKE' not one of"},
		{"POST", traces + "/delete-traces", m{"experiment_id": "0"}, 400, "must be specified"},
		{"POST", traces + "/delete-traces", m{"experiment_id": "0", "request_ids": []string{"x"}, "max_traces": 1}, 400, "can't be specified"},
		{"POST", "/v1/traces", "x", 501, "REST OTLP span logging is not supported"}, // clients look for these words
		{"GET", "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1", nil, 404, "No such artifact"},
	} {
		if status, answer := f.request(t, c.method, c.path, c.body); status != c.status || !strings.Contains(answer, c.text) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, answer, c.status, c.text)
		}
	}
	if status, _ := f.raw(t, "PUT", "/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-1/artifacts/traces.json", `{"spans": []}`); status != 200 {
		t.Fatal(status)
	}
	if status, answer := f.raw(t, "GET", "/ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-1", ""); status != 200 || answer != `{"spans": []}` {
		t.Errorf("spans: %d %s", status, answer)
	}
}

func TestTraceDuration(t *testing.T) {
	for millis, want := range map[int64]string{0: "0s", 1: "0.001s", 100: "0.100s", 1000: "1s", 61010: "61.010s", 600000: "600s"} {
		if got := traceDuration(millis); got != want {
			t.Errorf("%d ms: %s, want %s", millis, got, want)
		}
	}
}
