package server

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkSearch reads 1000 runs with 20 parameters and 10 metrics each.
func BenchmarkSearch(b *testing.B) {
	dir := b.TempDir()
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts")})
	defer s.Close()
	call := func(path, body string) string {
		r := httptest.NewRequest("POST", "http://localhost/api/2.0/mlflow/runs/"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
		return w.Body.String()
	}
	for i := range 1000 {
		_, id, _ := strings.Cut(call("create", fmt.Sprintf(`{"experiment_id": "0", "start_time": %d}`, i)), `"run_uuid":"`)
		var params, metrics []string
		for k := range 20 {
			params = append(params, fmt.Sprintf(`{"key": "p%d", "value": "0.%d%d"}`, k, i, k))
		}
		for k := range 10 {
			metrics = append(metrics, fmt.Sprintf(`{"key": "m%d", "value": 0.%d%d, "timestamp": 1700000000000}`, k, k, i))
		}
		call("log-batch", fmt.Sprintf(`{"run_id": "%s", "params": [%s], "metrics": [%s]}`, id[:32], strings.Join(params, ","), strings.Join(metrics, ",")))
	}
	for b.Loop() {
		call("search", `{"experiment_ids": ["0"], "max_results": 1000}`)
	}
}
