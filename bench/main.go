// Command bench times ctrx against the real DVC, and against the limit of the
// machine (`cp -r` of the data, the commands of the stages in a plain loop), in
// one run, and prints a Markdown table of medians. A second table shows how the
// time of ctrx grows with the number of stages.
//
//	go run ./bench [-n RUNS] [-files N] [-big MIB] [-stages N,N] [ROW...]
//
// Both programs work on copies of the same repository, in turn, so that a
// machine that gets slower meanwhile slows both. dvc must be on PATH. A ROW is
// a part of the name of a row: only those are measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// contest is one row: the same work for each program.
type contest struct {
	name    string
	setup   func(b *bench, dir, program string) error // once for each program
	prepare func(b *bench, dir, program string) error // before each run, not timed
	args    []string
	own     []string                         // flags that only ctrx has
	once    bool                             // takes DVC minutes: one run, none before it
	limit   func(b *bench, dir string) error // the machine's own limit, timed; may be nil
}

type bench struct {
	ctx   context.Context
	tmp   string
	env   []string
	runs  int
	files int
	big   int // MiB
}

func main() {
	runs := flag.Int("n", 5, "runs of each, after one that is not counted")
	files := flag.Int("files", 10_000, "files in the folder that is added")
	big := flag.Int("big", 200, "size in MiB of the file that is added")
	stages := flag.String("stages", "1000,2000,5000,10000", "sizes of the pipelines of the second table; empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{ctx: ctx, runs: *runs, files: *files, big: *big}
	if err := run(b, *stages, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(b *bench, stages string, rows []string) (err error) {
	if b.tmp, err = os.MkdirTemp("", "ctrx-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	b.env = append(os.Environ(), "SHELL=/bin/sh", // which both run commands with
		"DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(b.tmp, "site"), "PATH="+b.tmp+string(os.PathListSeparator)+os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=b", "GIT_AUTHOR_EMAIL=b@localhost", "GIT_COMMITTER_NAME=b", "GIT_COMMITTER_EMAIL=b@localhost")
	if err := b.do(".", "go", "build", "-o", filepath.Join(b.tmp, "ctrx"), "./cmd/ctrx"); err != nil {
		return err
	}
	fmt.Println("| work | ctrx | dvc | dvc / ctrx | limit |\n|---|---|---|---|---|")
	for _, c := range contests(b) {
		if len(rows) > 0 && !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(c.name, row) }) {
			continue
		}
		if err := b.compete(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if stages == "" {
		return nil
	}
	return b.grow(strings.Split(stages, ","))
}

func contests(b *bench) []contest {
	folder := fmt.Sprintf("`add` of a folder of %d small files", b.files)
	file := fmt.Sprintf("`add` of a file of %d MiB", b.big)
	copyLimit := func(b *bench, dir string) error {
		defer os.RemoveAll(filepath.Join(dir, "copy"))
		return b.do(dir, "cp", "-r", "data", "copy")
	}
	small, large := pipeline{chains: 1, length: 20}, pipeline{chains: 10, length: 20}
	slow := pipeline{chains: 10, length: 2, sleep: "0.2"}
	return []contest{
		{name: "start-up (`--version`)", setup: nothing, args: []string{"--version"}},
		{name: "`repro` with nothing to do, 20 stages", setup: small.finished, args: []string{"repro"}},
		{name: "`status`, 20 stages", setup: small.finished, args: []string{"status"}},
		{name: "`repro` with nothing to do, 200 stages", setup: large.finished, args: []string{"repro"}},
		{name: "`status`, 200 stages", setup: large.finished, args: []string{"status"}},
		{name: "first `repro` of 200 stages", setup: large.written, prepare: unrun, args: []string{"repro"}, once: true, limit: large.commands},
		{name: "first `repro` of 20 stages of 0.2 s (ctrx: `-j 2`)", setup: slow.written, prepare: unrun, args: []string{"repro"}, own: []string{"-j", "2"}, limit: slow.commands},
		{name: "`dag`, 200 stages", setup: large.finished, args: []string{"dag"}},
		{name: "`metrics diff`, 200 stages", setup: large.edited, args: []string{"metrics", "diff"}},
		{name: "`params diff`, 200 stages", setup: large.edited, args: []string{"params", "diff"}},
		{name: "`exp run` of one changed stage of 20", setup: small.finished, prepare: change, args: []string{"exp", "run", "-S", "last=1", "-f", "-s", "s0-19"}},
		{name: "`exp run -S` with one changed stage of 200", setup: large.finished, prepare: changeParam, args: []string{"exp", "run", "-S", "last=1"}, once: true},
		{name: "`exp show --json` of 100 experiments, first", setup: large.experimented(100), prepare: forgetListing, args: []string{"exp", "show", "--json"}, once: true},
		{name: "`exp show --json` of 100 experiments, again", setup: large.experimented(100), args: []string{"exp", "show", "--json"}},
		{name: "`exp show --json` of 100 experiments of 20 stages, first", setup: small.experimented(100), prepare: forgetListing, args: []string{"exp", "show", "--json"}, once: true},
		{name: folder, setup: smallFiles, prepare: forget, args: []string{"add", "-q", "data"}, limit: copyLimit},
		{name: file, setup: bigFile, prepare: forget, args: []string{"add", "-q", "data"}, limit: copyLimit},
	}
}

// compete runs the programs in turn and prints the row.
func (b *bench) compete(c contest) error {
	programs := []string{"ctrx", "dvc"}
	times := map[string][]time.Duration{}
	dirs := map[string]string{}
	for _, p := range programs {
		dir, err := os.MkdirTemp(b.tmp, p)
		if err != nil {
			return err
		}
		if err := c.setup(b, dir, p); err != nil {
			return err
		}
		dirs[p] = dir
	}
	runs, first := b.runs, -1 // the first run is not counted
	if c.once {
		runs, first = 1, 0
	}
	for i := first; i < runs; i++ {
		for _, p := range programs {
			if c.prepare != nil {
				if err := c.prepare(b, dirs[p], p); err != nil {
					return err
				}
			}
			args := c.args
			if p == "ctrx" {
				args = slices.Concat(args, c.own)
			}
			begin := time.Now()
			if err := b.do(dirs[p], p, args...); err != nil {
				return err
			}
			if i >= 0 {
				times[p] = append(times[p], time.Since(begin))
			}
		}
		if c.limit != nil {
			begin := time.Now()
			if err := c.limit(b, dirs["ctrx"]); err != nil {
				return err
			}
			times["limit"] = append(times["limit"], time.Since(begin))
		}
	}
	limit := ""
	if c.limit != nil {
		limit = show(median(times["limit"]))
	}
	mine, theirs := median(times["ctrx"]), median(times["dvc"])
	fmt.Printf("| %s | %s | %s | %.0f | %s |\n", c.name, show(mine), show(theirs), float64(theirs)/float64(mine), limit)
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func show(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// do runs a program in a folder; its output shows only when it fails.
func (b *bench) do(dir, program string, args ...string) error {
	path := program
	if own := filepath.Join(b.tmp, program); program == "ctrx" {
		path = own
	}
	cmd := exec.CommandContext(b.ctx, path, args...)
	cmd.Dir, cmd.Env = dir, b.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

func nothing(*bench, string, string) error { return nil }

// repository makes a Git repository that is a DVC project.
func repository(b *bench, dir, program string) error {
	if err := b.do(dir, "git", "init", "-q"); err != nil {
		return err
	}
	return b.do(dir, program, "init", "-q")
}

// change puts the work tree back, so that the next run has something to do.
func change(b *bench, dir, _ string) error { return b.do(dir, "git", "checkout", "-q", "--", ".") }

func smallFiles(b *bench, dir, program string) error {
	if err := repository(b, dir, program); err != nil {
		return err
	}
	for i := range b.files {
		name := filepath.Join(dir, "data", fmt.Sprint(i%100), fmt.Sprint(i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(strings.Repeat(fmt.Sprintln(i), 100)), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func bigFile(b *bench, dir, program string) error {
	if err := repository(b, dir, program); err != nil {
		return err
	}
	block := []byte(strings.Repeat("0123456789abcdef", 1<<16))
	f, err := os.Create(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	for i := range b.big {
		copy(block, fmt.Sprint(i))
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Close()
}

// forget removes what an add left, with what was remembered of the files.
func forget(b *bench, dir, _ string) error {
	for _, p := range []string{"data.dvc", ".dvc/cache", ".dvc/tmp", filepath.Join(b.tmp, "site")} {
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}
