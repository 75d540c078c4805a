package main

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ctrx/internal/testserver"
	"ctrx/storage/remote"
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

// sshServer [-real]: starts an SSH server in this process, or a real sshd, that
// serves the folder SSH_DIR, sets SSH_URL to that folder's address, and gives
// the home folder a key that opens it and a known_hosts.
func sshServer(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	var server *testserver.SSH
	var err error
	dir := outside(ts)
	switch {
	case !neg && len(args) == 0:
		server, err = testserver.StartSSH(dir)
	case !neg && len(args) == 1 && args[0] == "-real":
		server, err = testserver.StartSSHD(ctx, dir)
	default:
		ts.Fatalf("usage: sshserver [-real]")
	}
	ts.Check(err)
	ts.Defer(server.Stop)
	ts.Check(os.CopyFS(filepath.Join(ts.Getenv("HOME"), ".ssh"), os.DirFS(filepath.Join(server.Home, ".ssh"))))
	ts.Check(os.Chmod(filepath.Join(ts.Getenv("HOME"), ".ssh", "id_ed25519"), 0o600))
	files := filepath.Join(dir, "files")
	ts.Check(os.Mkdir(files, 0o777))
	ts.Setenv("SSH_DIR", files)
	ts.Setenv("SSH_URL", server.URL(files))
	ts.Setenv("SSH_AUTH_SOCK", "")
}

// webServer [USER PASSWORD]: starts a web server that serves the folder WEB_DIR
// at WEB_URL, and takes uploads.
func webServer(_ context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 && len(args) != 2 {
		ts.Fatalf("usage: webserver [USER PASSWORD]")
	}
	folder := &testserver.WebFolder{Dir: outside(ts)}
	if len(args) == 2 {
		folder.User, folder.Password = args[0], args[1]
	}
	server := httptest.NewServer(folder)
	ts.Defer(server.Close)
	ts.Setenv("WEB_DIR", folder.Dir)
	ts.Setenv("WEB_URL", server.URL)
}

// s3put KEY FILE: stores a file in the bucket "bucket" of s3server.
func s3put(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: s3put KEY FILE")
	}
	b, err := remote.Open(ctx, "test", map[string]string{"url": "s3://bucket", "endpointurl": ts.Getenv("S3_URL"), "region": testserver.S3Region,
		"access_key_id": ts.Getenv("S3_KEY"), "secret_access_key": ts.Getenv("S3_SECRET")}, "", remote.Access{Env: func(string) string { return "" }})
	ts.Check(err)
	text := ts.ReadFile(args[1])
	ts.Check(b.Put(ctx, args[0], strings.NewReader(text), int64(len(text))))
}
