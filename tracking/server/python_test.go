package server

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ctrx/internal/testreq"
)

// TestPythonClient lets the real client do what people do with it: automatic
// logging of scikit-learn and LightGBM, models logged, registered and loaded
// again, nested runs, searches, and MLflow's own command line.
func TestPythonClient(t *testing.T) {
	testreq.Need(t, testreq.MLflow)
	testreq.NeedModules(t, "mlflow", "sklearn", "lightgbm")
	dir := t.TempDir()
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "mlartifacts"), Token: "s3cret"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	cmd := exec.CommandContext(ctx, "python3", "testdata/client.py", "http://"+l.Addr().String())
	cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_TOKEN=s3cret", "MLFLOW_DISABLE_TELEMETRY=true", "HOME="+dir, "GIT_PYTHON_REFRESH=quiet")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "mlflow.db-wal")); err == nil && info.Size() > 0 {
		t.Errorf("the write-ahead log was left behind: %d bytes", info.Size())
	}
}
