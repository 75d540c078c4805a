// Command data times what ctrx does with data against the real DVC, `cp -r` of
// the same data, and copiers of S3 stores, and prints Markdown tables of medians
// and ratios.
//
//	go run ./bench/data [-quick] [-n RUNS] [-dir DIR] [-out FILE] [PART...]
//
// A PART is one of small, big, s3, start, growth; without one, all are measured.
// It makes its own data below DIR. dvc must be on PATH; the part s3 needs
// versitygw, and takes s5cmd, rclone and aws where they are there. -quick is the
// same with a tenth of the data and one run, to see that it works.
//
// How it measures:
//
//   - the programs take turns, so that a machine that gets slower meanwhile slows
//     all of them;
//   - every run has a repository of its own, and no small file is deleted before
//     the end: some file systems are slow to use again what was just freed;
//   - the page cache is warm, and before each timed command everything that is
//     not on the disk yet is brought there, so that nobody pays for another;
//   - a virtual machine gets its memory from the host when it first touches it,
//     which takes seconds for a GiB, and gives it back when it is free. So before
//     each timed command a file is written and deleted;
//   - `cp` is shown by itself and with the `sync` after it, which is what a copy
//     costs that survives a power cut. ctrx always includes that.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/bench/internal/warm"
)

// bench is one call of the command.
type bench struct {
	ctx  context.Context
	tmp  string
	env  []string
	warm int // MiB of memory that a command finds warm
	out  io.Writer
	runs int
	size sizes
}

// sizes say how much data is made.
type sizes struct {
	files  int // of the small files
	big    int // MiB of the big file
	remote int // small files for the S3 store
	growth []int
}

func main() {
	quick := flag.Bool("quick", false, "a tenth of the data, one run")
	runs := flag.Int("n", 3, "runs of each")
	dir := flag.String("dir", "", "where to make the data; empty: the folder for temporary files")
	out := flag.String("out", "", "file for the tables, besides the standard output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{ctx: ctx, runs: *runs, out: os.Stdout, size: sizes{files: 70_000, big: 1024, remote: 10_000, growth: []int{100_000, 1_000_000}}}
	if *quick {
		b.runs, b.size = 1, sizes{files: 7000, big: 100, remote: 1000, growth: []int{10_000, 100_000}}
	}
	var text bytes.Buffer
	b.out = io.MultiWriter(os.Stdout, &text)
	err := b.run(*dir, flag.Args())
	if err == nil && *out != "" {
		err = os.WriteFile(*out, text.Bytes(), 0o666)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/data:", err)
		os.Exit(1)
	}
}

func (b *bench) run(dir string, parts []string) (err error) {
	if b.tmp, err = os.MkdirTemp(dir, "ctrx-bench-data"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	b.env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(b.tmp, "site"),
		"PATH="+b.tmp+string(os.PathListSeparator)+os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=b", "GIT_AUTHOR_EMAIL=b@localhost", "GIT_COMMITTER_NAME=b", "GIT_COMMITTER_EMAIL=b@localhost")
	if _, err := b.do(".", "go", "build", "-o", filepath.Join(b.tmp, "ctrx"), "./cmd/ctrx"); err != nil {
		return err
	}
	b.head()
	for _, part := range []struct {
		name string
		run  func() error
		warm int
	}{{"small", b.small, 1024}, {"big", b.bigFile, 3 * b.size.big}, {"s3", b.s3, 3 * b.size.big}, {"start", b.start, 0}, {"growth", b.grow, 6 * 1024}} {
		if len(parts) > 0 && !slices.Contains(parts, part.name) {
			continue
		}
		b.warm = part.warm
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// cost is what a command took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // bytes
}

// do runs a program in a folder; its output shows only when it fails.
func (b *bench) do(dir, program string, args ...string) (cost, error) {
	path := program
	if program == "ctrx" {
		path = filepath.Join(b.tmp, program)
	}
	cmd := exec.CommandContext(b.ctx, path, args...)
	cmd.Dir, cmd.Env = dir, b.env
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	c := cost{wall: time.Since(begin)}
	if err != nil {
		return c, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.rss = maxRSS(cmd.ProcessState)
	return c, nil
}

// timed is do after everything that waits for the disk is there, with warm memory.
func (b *bench) timed(dir, program string, args ...string) (cost, error) {
	if _, err := b.do(dir, "sync"); err != nil {
		return cost{}, err
	}
	if err := warm.Memory(b.tmp, b.warm); err != nil {
		return cost{}, err
	}
	return b.do(dir, program, args...)
}

// copied is the yardstick: `cp -r`, and the sync after it.
func (b *bench) copied(r *row, from, to string) error {
	c, err := b.timed(".", "cp", "-r", from, to)
	if err != nil {
		return err
	}
	r.add("cp", c)
	s, err := b.do(".", "sync")
	c.wall += s.wall
	r.add("cp+sync", c)
	return err
}

// repository makes a Git repository that is a DVC project with a local remote.
func (b *bench) repository(dir, program string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, args := range [][]string{{"git", "init", "-q"}, {program, "init", "-q"}, {program, "remote", "add", "-q", "-d", "r", dir + "-remote"}} {
		if _, err := b.do(dir, args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// each does work for each run and each program in turn.
func (b *bench) each(work func(run int, program, dir string) error) error {
	for run := range b.runs {
		for _, p := range []string{"ctrx", "dvc"} {
			if err := work(run, p, filepath.Join(b.tmp, fmt.Sprintf("%s-%d-%d", p, run, time.Now().UnixNano()))); err != nil {
				return err
			}
		}
	}
	return nil
}
