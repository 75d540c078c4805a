// Command logging measures what recording a run in MLflow costs: the same
// pipeline runs with `repro` and with `repro --track`, in turn, and the medians
// are compared. The embedded store is used, or the server of
// MLFLOW_TRACKING_URI. ctrx must be on PATH.
//
//	go run ./bench/logging -stages 200 -seconds 0.1 -n 3
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	stages := flag.Int("stages", 200, "stages of the pipeline")
	seconds := flag.Float64("seconds", 0.1, "what a stage takes")
	runs := flag.Int("n", 3, "runs of each, after one that is not counted")
	flag.Parse()
	if err := measure(context.Background(), *stages, *seconds, *runs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, stages int, seconds float64, runs int) error {
	dir, err := os.MkdirTemp("", "ctrx-logging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := write(ctx, dir, stages, seconds); err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	modes := []string{"repro", "repro --track"}
	for n := range runs + 1 {
		for _, mode := range modes {
			began := time.Now()
			if err := do(ctx, dir, "ctrx", append(strings.Fields(mode), "-q", "-f", "--no-run-cache")...); err != nil {
				return err
			}
			if n > 0 {
				took[mode] = append(took[mode], time.Since(began))
			}
		}
	}
	median := func(mode string) time.Duration {
		slices.Sort(took[mode])
		return took[mode][len(took[mode])/2]
	}
	plain, tracked := median(modes[0]), median(modes[1])
	fmt.Printf("| %d stages of %v s | `repro` | `repro --track` | logging |\n|---|---|---|---|\n| | %v | %v | %.1f %% |\n",
		stages, seconds, plain.Round(time.Millisecond), tracked.Round(time.Millisecond), 100*(tracked-plain).Seconds()/plain.Seconds())
	return nil
}

// write makes a chain of stages, each tenth of which writes metrics and a curve
// of 100 points.
func write(ctx context.Context, dir string, stages int, seconds float64) error {
	var yaml strings.Builder
	yaml.WriteString("stages:\n")
	for i := range stages {
		before := "in"
		if i > 0 {
			before = fmt.Sprintf("o%d", i-1)
		}
		fmt.Fprintf(&yaml, "  s%d:\n    cmd: sh stage.sh %d %s\n    deps: [%s]\n    outs: [o%d]\n", i, i, before, before, i)
		if i%10 == 0 {
			fmt.Fprintf(&yaml, "    metrics: [{m%d.json: {cache: false}}]\n    plots: [{p%d.csv: {cache: false}}]\n", i, i)
		}
	}
	script := fmt.Sprintf("sleep %v\ncat $2 > o$1\ncase $1 in 0|*0)\n  echo \"{\\\"auc$1\\\": 0.5}\" > m$1.json\n  { echo step,loss$1; for i in $(seq 100); do echo $i,0.5; done; } > p$1.csv;;\nesac\n", seconds)
	for name, text := range map[string]string{"dvc.yaml": yaml.String(), "params.yaml": "lr: 0.1\n", "in": "0\n", "stage.sh": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	for _, step := range [][]string{{"git", "init", "-q"}, {"ctrx", "init", "-q"}, {"git", "add", "-A"}, {"git", "-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-qm", "base"}} {
		if err := do(ctx, dir, step[0], step[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func do(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}
