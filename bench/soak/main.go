// Command soak logs runs from several clients at once while `ctrx server` is
// killed again and again and its disk is full for a while, sends the spool
// afterwards, and looks whether every run is there, whole and once.
//
//	go run ./bench/soak [-runs N] [-clients N] [-kills N]
//
// The disk is a small file system in memory. Where none can be mounted (that
// needs Linux and root) it is not filled, and the report says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/tracking"
)

func main() {
	var s soak
	flag.IntVar(&s.runs, "runs", 2000, "runs in all")
	flag.IntVar(&s.clients, "clients", 8, "clients that log at once")
	flag.IntVar(&s.kills, "kills", 20, "how often the server is killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func (s *soak) main(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ctrx-soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "program")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "ctrx/cmd/ctrx").CombinedOutput(); err != nil {
		return fmt.Errorf("build ctrx: %w\n%s", err, out)
	}
	begin := time.Now()
	report, err := s.run(ctx, program, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s in %v\n", report, time.Since(begin).Round(time.Second))
	return nil
}

// soak is a run of this program.
type soak struct {
	runs, clients, kills int

	uri     string
	project string       // the clients' project folder, with the spool
	allowed atomic.Int64 // runs that may begin: a server that is down must not see all of them pass
	logged  atomic.Int64 // runs that are finished for their client
	spooled atomic.Int64 // of these, the ones that went to the spool
}

// report says what happened.
type report struct {
	runs, spooled, kills int
	disk                 bool // there was one to fill
	refused              bool // and while it was full runs went to the spool
	syncs                int
}

func (r report) String() string {
	disk := "disk full once"
	if !r.disk {
		disk = "no disk to fill (that needs Linux and root)"
	}
	return fmt.Sprintf("%d runs, every one whole: %d went through the spool, %d kills, %s, %d calls of sync", r.runs, r.spooled, r.kills, disk, r.syncs)
}

// run soaks a server with its files below dir.
func (s *soak) run(ctx context.Context, program, dir string) (r report, err error) {
	s.project = filepath.Join(dir, "project")
	if err := os.MkdirAll(s.project, 0o777); err != nil {
		return r, err
	}
	h, err := newHost(program, filepath.Join(dir, "host"), int64(s.runs))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.start(ctx); err != nil {
		return r, err
	}
	s.uri = h.url
	group, inner := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range s.clients {
		group.Go(func() error { return s.client(inner, &next) })
	}
	group.Go(func() error { return s.trouble(inner, h, &r) })
	if err := group.Wait(); err != nil {
		return r, err
	}
	r.runs, r.spooled, r.disk = s.runs, int(s.spooled.Load()), h.small
	if r.syncs, err = s.sync(ctx); err != nil {
		return r, err
	}
	if r.disk && !r.refused {
		return r, errors.New("the full disk was not noticed")
	}
	return r, s.check(ctx)
}

// trouble kills the server at even distances, and in the middle fills its disk
// for half of a distance.
func (s *soak) trouble(ctx context.Context, h *host, r *report) error {
	reach := func(runs int) error {
		s.allowed.Store(int64(runs + 2*s.clients))
		for s.logged.Load() < int64(runs) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
		return nil
	}
	for i := range s.kills {
		if i == s.kills/2 {
			if err := h.fill(); err != nil {
				return fmt.Errorf("fill the disk: %w", err)
			}
			before := s.spooled.Load()
			// The clients may be ahead. Of what they finish now all but one each begins on the full disk.
			half := max(s.runs/(2*(s.kills+1)), 2*s.clients)
			if err := reach(int(s.logged.Load()) + half); err != nil {
				return err
			}
			r.refused = s.spooled.Load() > before
			if err := h.free(); err != nil {
				return fmt.Errorf("free the disk: %w", err)
			}
		}
		if err := reach(s.runs * (i + 1) / (s.kills + 1)); err != nil {
			return err
		}
		if err := h.kill(); err != nil {
			return err
		}
		r.kills++
		// Sometimes it is back before a client notices, sometimes not.
		if err := sleep(ctx, time.Duration(i%4)*150*time.Millisecond); err != nil {
			return err
		}
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	s.allowed.Store(int64(s.runs))
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (s *soak) config() tracking.Config {
	return tracking.Config{URI: s.uri, ExperimentName: "soak", Dir: s.project, Env: func(string) string { return "" }}
}

// sync sends the spool until it is empty.
func (s *soak) sync(ctx context.Context) (calls int, err error) {
	for calls = 1; calls <= 5; calls++ {
		result, err := tracking.Sync(ctx, s.config())
		if err == nil && result.Left == 0 {
			return calls, nil
		}
		if err != nil && calls == 5 {
			return calls, fmt.Errorf("sync: %w", err)
		}
	}
	return calls, errors.New("sync leaves runs in the spool")
}
