package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A client that stops in the middle of its body loses the connection.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(Options{DB: filepath.Join(dir, "mlflow.db"), Artifacts: filepath.Join(dir, "a"), Stall: 50 * time.Millisecond})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /api/2.0/mlflow-artifacts/artifacts/0/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf of it")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) { // else an answer or none, then the end
		t.Error("the connection stays open")
	}
	if files, err := s.artifacts.list(t.Context(), "0"); err != nil || len(files) != 0 {
		t.Errorf("half an artifact is there: %v, %v", files, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
