package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// ownServers are the `ctrx server` processes of scripts.
type ownServers struct {
	mu      sync.Mutex
	running map[*testscript.TestScript]ownServer
}

// ownServer is a process with all that it printed.
type ownServer struct {
	*exec.Cmd
	printed *printed
	secret  string
	end     func() error // of what it prints
}

// printed is written by both streams of a process.
type printed struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *printed) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(data)
}

// start is the script command `ctrxserver FLAG...`: it starts `ctrx server` on
// a free port, waits until it listens and sets SERVER_URL and SERVER_PORT.
func (o *ownServers) start(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: ctrxserver FLAG...")
	}
	program := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p, err := exec.LookPath(filepath.Join(dir, "ctrx")); err == nil && program == "" {
			program = p
		}
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"server", "--port", "0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"HOME", "PATH", "CTRX_SERVER_TOKEN", "MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "TESTSCRIPT_COMMAND"} {
		if v := ts.Getenv(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	read, write := io.Pipe()
	own := ownServer{Cmd: cmd, printed: &printed{}, secret: ts.Getenv("CTRX_SERVER_TOKEN"), end: write.Close}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(write, own.printed), own.printed
	ts.Check(cmd.Start())
	ts.Defer(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "Listening at "); ok {
			url, _, _ := strings.Cut(rest, " ")
			ts.Setenv("SERVER_URL", url)
			ts.Setenv("SERVER_PORT", url[strings.LastIndexByte(url, ':')+1:])
			o.mu.Lock()
			defer o.mu.Unlock()
			o.running[ts] = own
			go io.Copy(io.Discard, read) //nolint:errcheck // until the process ends
			return
		}
	}
	ts.Fatalf("ctrx server ended without listening: %v", cmd.Wait())
}

// stop is the script command `stopserver INT|TERM`: the server must end in
// order, and never have printed its token.
func (o *ownServers) stop(_ context.Context, ts *testscript.TestScript, neg bool, args []string) {
	signal, ok := map[string]syscall.Signal{"[INT]": syscall.SIGINT, "[TERM]": syscall.SIGTERM}[fmt.Sprint(args)]
	o.mu.Lock()
	cmd := o.running[ts]
	o.mu.Unlock()
	if neg || !ok || cmd.Cmd == nil {
		ts.Fatalf("usage: stopserver INT|TERM, after ctrxserver")
	}
	ts.Check(cmd.Process.Signal(signal))
	ts.Check(cmd.Wait())
	ts.Check(cmd.end())
	if text := cmd.printed.text.String(); cmd.secret != "" && strings.Contains(text, cmd.secret) {
		ts.Fatalf("the server has printed its token: %s", text)
	}
}
