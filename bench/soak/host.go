package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// host is the machine of the server: a disk and a process on it.
type host struct {
	program string
	dir     string
	address string
	url     string
	small   bool // dir is a file system of its own
	process *exec.Cmd
}

func newHost(program, dir string, runs int64) (*host, error) {
	h := &host{program: program, dir: dir}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	// A run of this program takes about 50 kB.
	h.small = mountSmall(dir, 32<<20+runs*100<<10) == nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.address = l.Addr().String()
	h.url = "http://" + h.address
	return h, l.Close()
}

// start starts the server and waits until it answers.
func (h *host) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(h.address)
	if err != nil {
		return err
	}
	// It outlives the context of the clients: close ends it.
	h.process = exec.Command(h.program, "server", "--port", port, "--backend-store-uri", "sqlite:///"+filepath.ToSlash(filepath.Join(h.dir, "mlflow.db")),
		"--artifacts-destination", filepath.Join(h.dir, "mlartifacts"))
	h.process.Dir = h.dir
	h.process.Stderr = os.Stderr
	if err := h.process.Start(); err != nil {
		return err
	}
	for begin := time.Now(); ; {
		resp, err := http.Get(h.url + "/health")
		if err == nil {
			return resp.Body.Close()
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("the server does not start: %w", err)
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// kill ends the process without a warning.
func (h *host) kill() error {
	if h.process == nil {
		return nil
	}
	err := h.process.Process.Kill()
	_ = h.process.Wait() // it says "killed"
	h.process = nil
	return err
}

func (h *host) ballast() string { return filepath.Join(h.dir, "ballast") }

// fill leaves no room for the server. Where the disk is not its own there is
// nothing to fill.
func (h *host) fill() error {
	if !h.small {
		return nil
	}
	f, err := os.Create(h.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); err == nil {
		return errors.New("the disk has no end")
	}
	return nil
}

// free undoes fill; the server goes on without a restart.
func (h *host) free() error {
	if !h.small {
		return nil
	}
	return os.Remove(h.ballast())
}

func (h *host) close() error {
	err := h.kill()
	if h.small {
		err = errors.Join(err, unmount(h.dir))
	}
	return err
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
