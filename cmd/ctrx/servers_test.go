package main

import (
	"context"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"ctrx/internal/testserver"
)

// outside makes a folder that is not below the script's own, which is the
// repository under test: what a server keeps is none of its files.
func outside(ts *testscript.TestScript) string {
	dir, err := os.MkdirTemp("", "ctrx-server")
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	return dir
}

// s3server BUCKET: starts versitygw with a bucket and sets S3_URL, S3_KEY and
// S3_SECRET.
func s3server(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: s3server BUCKET")
	}
	const key, secret = "test-key", "test-secret-of-the-server"
	server, err := testserver.StartS3(ctx, testserver.S3{Dir: outside(ts), Key: key, Secret: secret, Buckets: args})
	ts.Check(err)
	ts.Defer(server.Stop)
	ts.Setenv("S3_URL", server.URL)
	ts.Setenv("S3_KEY", key)
	ts.Setenv("S3_SECRET", secret)
}

// mlflowserver [ARTIFACT-ROOT]: starts a real MLflow server and sets
// MLFLOW_TRACKING_URI. Without an artifact root the server takes artifacts
// itself; with one its clients write there.
func mlflowServer(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: mlflowserver [ARTIFACT-ROOT]")
	}
	o := testserver.MLflow{Dir: outside(ts)}
	if len(args) == 1 {
		o.ArtifactRoot = args[0]
	}
	server, err := testserver.StartMLflow(ctx, o)
	ts.Check(err)
	ts.Defer(server.Stop)
	ts.Setenv("MLFLOW_TRACKING_URI", server.URL)
}
