// Package testserver runs real servers for tests: MLflow's tracking server and
// versitygw, an S3 server that is strict on region and signature.
//
// A server listens on a free port of 127.0.0.1, keeps everything in a folder of
// the caller, and ends with all its workers when Stop is called or the context
// ends; on Unix also when the test process dies without calling anything, as
// after a test timeout. Ask testreq.Need first whether the program is there.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// startTime bounds how long a server may take until it answers. MLflow needs
// ten seconds of an idle processor.
const startTime = 10 * time.Minute

// Server is a running server.
type Server struct {
	URL  string // http://127.0.0.1:PORT
	Stop func() // ends it; may be called twice
	log  string
}

// Log gives what the server has printed, for the message of a failed test.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// FreeAddress gives a loopback address that nothing listens on. Its port is below
// those that systems give to whoever asks for any: other tests ask for many in
// the seconds that a server takes until it has this one.
func FreeAddress() (string, error) {
	const lowest, ports, tries = 20_000, 12_000, 100
	var taken error
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(ports)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		taken = err
	}
	return "", fmt.Errorf("find a free port: %w", taken)
}

// MLflow says how a tracking server is set up.
type MLflow struct {
	Dir          string // holds mlflow.db, mlartifacts and server.log
	Address      string // host:port; "" is a free one
	ArtifactRoot string // where clients write artifacts themselves; "" lets the server take them
}

// StartMLflow starts `mlflow server` and waits until it is healthy.
func StartMLflow(ctx context.Context, o MLflow) (*Server, error) {
	address, err := o.Address, error(nil)
	if address == "" {
		if address, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("start mlflow: %w", err)
	}
	args := []string{"server", "--host", host, "--port", port, "--workers", "1",
		"--backend-store-uri", "sqlite:///" + filepath.ToSlash(filepath.Join(o.Dir, "mlflow.db"))}
	if o.ArtifactRoot == "" {
		args = append(args, "--artifacts-destination", filepath.Join(o.Dir, "mlartifacts"))
	} else {
		args = append(args, "--no-serve-artifacts", "--default-artifact-root", o.ArtifactRoot)
	}
	env := []string{"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true"}
	return start(ctx, o.Dir, address, "/health", env, "mlflow", args...)
}

// S3 says how an S3 server is set up.
type S3 struct {
	Dir         string // holds the buckets' files and server.log
	Key, Secret string
	Buckets     []string // made before it starts
}

// S3Region is the region of the S3 server, VK Cloud's. Requests that are signed
// for another one are refused.
const S3Region = "ru-msk"

// StartS3 starts versitygw.
func StartS3(ctx context.Context, o S3) (*Server, error) {
	data := filepath.Join(o.Dir, "data")
	for _, bucket := range append([]string{""}, o.Buckets...) {
		if err := os.MkdirAll(filepath.Join(data, bucket), 0o777); err != nil {
			return nil, fmt.Errorf("start versitygw: %w", err)
		}
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	// A home of its own: it would read the user's settings.
	return start(ctx, o.Dir, address, "/", []string{"HOME=" + o.Dir}, "versitygw", "--port", address,
		"--access", o.Key, "--secret", o.Secret, "--region", S3Region, "--quiet", "posix", data)
}

// start runs a program and waits until it answers at path with any status.
func start(ctx context.Context, dir, address, path string, env []string, program string, args ...string) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := command(ctx, program, args)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s := &Server{URL: "http://" + address, log: log.Name()}
	s.Stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		lifeline.Close()
	})
	if err := s.await(ctx, path, ended); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start %s: %w\n%s", program, err, s.Log())
	}
	return s, nil
}

// await asks until the server answers. The end of the program is put back into
// ended, where Stop looks for it.
func (s *Server) await(ctx context.Context, path string, ended chan error) error {
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return errors.Join(errors.New("it ended by itself"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return fmt.Errorf("no answer within %s", startTime)
}

// waitDelay bounds how long a killed server's files stay open.
const waitDelay = time.Minute

func plain(ctx context.Context, program string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = waitDelay
	return cmd
}
