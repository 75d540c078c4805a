package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// recordFrom is the address of a real server whose answers are to be written
// to testdata/answers-3.17.2.jsonl:
//
//	go test ./tracking/server -run TestConformance -record http://127.0.0.1:5000
var recordFrom = flag.String("record", "", "record the answers of the MLflow server at this `address`")

const (
	requestsFile = "testdata/requests.jsonl"
	answersFile  = "testdata/answers-3.17.2.jsonl"
)

// exchange is one line of requests.jsonl. {{X}} in path and body stands for a
// value that an earlier answer gave.
type exchange struct {
	Name   string            `json:"name"`
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Body   json.RawMessage   `json:"body,omitempty"`
	Raw    *string           `json:"raw,omitempty"`    // a body that is not JSON
	Header map[string]string `json:"header,omitempty"` // instead of the JSON content type
	Save   map[string]string `json:"save,omitempty"`   // variable -> path in the answer: "run.info.run_id"
	// Loose names what is known to differ and why it may: only the status
	// and the error code are compared.
	Loose string `json:"loose,omitempty"`
	// Differs says why this server answers otherwise on purpose: only the
	// status is compared.
	Differs string `json:"differs,omitempty"`
}

// recorded is one line of answers-3.17.2.jsonl.
type recorded struct {
	Name   string `json:"name"`
	Status int    `json:"status"`
	Body   any    `json:"body"`
}

// TestConformance sends the requests of testdata/requests.jsonl in order and
// holds every answer against the one that a real MLflow gave: on a file that
// this server made, and on one that a newer MLflow migrated.
func TestConformance(t *testing.T) {
	var requests []exchange
	readLines(t, requestsFile, &requests)
	if len(requests) < 150 {
		t.Fatalf("only %d requests", len(requests))
	}
	if *recordFrom != "" {
		writeLines(t, answersFile, play(t, *recordFrom, requests))
		return
	}
	var want []recorded
	readLines(t, answersFile, &want)
	if len(want) != len(requests) {
		t.Fatalf("%d answers for %d requests: record them again", len(want), len(requests))
	}
	for _, migrated := range []bool{false, true} {
		t.Run(fmt.Sprintf("migrated=%v", migrated), func(t *testing.T) {
			got := play(t, conformanceServer(t, migrated), requests)
			for i, w := range want {
				if problem := differ(w, got[i], requests[i]); problem != "" {
					t.Errorf("%s (%s %s): %s", w.Name, requests[i].Method, requests[i].Path, problem)
				}
			}
		})
	}
}

// conformanceServer starts a server whose clock ticks at every look, so that
// no two things are of the same time.
func conformanceServer(t *testing.T, migrated bool) string {
	t.Helper()
	dir := t.TempDir()
	db := filepath.Join(dir, "mlflow.db")
	if migrated {
		schema, err := os.ReadFile("testdata/migrated-3.17.2.sql")
		if err != nil {
			t.Fatal(err)
		}
		execSQL(t, db, string(schema), `INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
			VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 1, 1)`)
	}
	var tick atomic.Int64
	now := func() time.Time { return time.UnixMilli(1767225600000 + tick.Add(1)) }
	s := New(Options{DB: db, Artifacts: filepath.Join(dir, "mlartifacts"), Now: now})
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.URL
}

// play sends the requests and gives the answers with what differs from run to
// run replaced.
func play(t *testing.T, base string, requests []exchange) []recorded {
	t.Helper()
	vars := map[string]string{}
	var out []recorded
	for _, x := range requests {
		body := string(x.Body)
		if x.Raw != nil {
			body = *x.Raw
		}
		req, err := http.NewRequestWithContext(t.Context(), x.Method, base+fill(x.Path, vars), strings.NewReader(fill(body, vars)))
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		if body == "" {
			req.Body = http.NoBody
			req.ContentLength = 0
		} else if x.Header == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		for k, v := range x.Header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		resp.Body.Close()
		var v any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			v = string(data)
			if strings.Contains(string(data), "<!doctype html>") {
				v = "an HTML page"
			}
		}
		for name, path := range x.Save {
			value := lookup(v, path)
			if value == "" {
				t.Fatalf("%s: no %s in %d %s", x.Name, path, resp.StatusCode, data)
			}
			vars[name] = value
		}
		out = append(out, recorded{x.Name, resp.StatusCode, normal(v, vars)})
	}
	return out
}

func fill(s string, vars map[string]string) string {
	for k, v := range vars {
		s = strings.ReplaceAll(s, "{{"+k+"}}", v)
	}
	return s
}

// lookup finds "a.0.b" in a decoded answer.
func lookup(v any, path string) string {
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			if len(x) == 0 {
				return ""
			}
			v = x[0]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// What differs from run to run: ids that were not saved, times, made-up names,
// the texts of SQL errors, and the order in which Python prints a set.
var (
	reID   = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	reTime = regexp.MustCompile(`^1[0-9]{12}$`)
	reName = regexp.MustCompile(`^[a-z]+-[a-z]+-[0-9]+$`)
	reSQL  = regexp.MustCompile(`(?s)^(.*?Error: )?.*(sqlite3\.|constraint failed).*$`)
	reSet  = regexp.MustCompile(`\{'[^{}]*'\}`)
)

func normal(v any, vars map[string]string) any {
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			x[k] = normal(x[k], vars)
		}
	case []any:
		for i := range x {
			x[i] = normal(x[i], vars)
		}
	case json.Number:
		if reTime.MatchString(string(x)) && x != "1700000000000" && x != "1700000005000" {
			return "<time>"
		}
	case string:
		for name, value := range vars {
			if len(value) > 8 {
				x = strings.ReplaceAll(x, value, "<"+name+">")
			}
		}
		x = reID.ReplaceAllString(x, "<id>")
		if reTime.MatchString(x) {
			return "<time>"
		}
		if reName.MatchString(x) {
			return "<name>"
		}
		x = reSQL.ReplaceAllString(x, "${1}<sql>")
		x = reSet.ReplaceAllStringFunc(x, func(set string) string {
			elements := strings.Split(strings.Trim(set, "{}"), ", ")
			slices.Sort(elements)
			return "{" + strings.Join(elements, ", ") + "}"
		})
		return x
	}
	return v
}

// differ tells how an answer differs from the recorded one, or "".
func differ(want, got recorded, x exchange) string {
	if want.Status != got.Status {
		return fmt.Sprintf("status %d, the real server answers %d %s\ngot  %s", got.Status, want.Status, text2(want.Body), text2(got.Body))
	}
	if want.Body == "an HTML page" || x.Differs != "" {
		return "" // a real server answers some errors by a page, this one by JSON
	}
	if x.Loose != "" {
		w, g := lookup(want.Body, "error_code"), lookup(got.Body, "error_code")
		if w != g {
			return fmt.Sprintf("error code %s, the real server says %s", g, w)
		}
		return ""
	}
	if w, g := text2(want.Body), text2(got.Body); w != g {
		return fmt.Sprintf("other answer\nwant %s\ngot  %s", w, g)
	}
	return ""
}

// text2 writes a decoded answer with sorted keys.
func text2(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func readLines[T any](t *testing.T, name string, out *[]T) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var v T
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s:%d: %v", name, i+1, err)
		}
		*out = append(*out, v)
	}
}

func writeLines[T any](t *testing.T, name string, lines []T) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}
