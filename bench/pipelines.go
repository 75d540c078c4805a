package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pipeline is chains of stages, each of which reads what the one before wrote.
type pipeline struct {
	chains, length int
	sleep          string // seconds that each stage takes besides
}

// stages calls f for each stage: chain, place in it, and command.
func (p pipeline) stages(f func(c, i int, cmd string)) {
	for c := range p.chains {
		for i := range p.length {
			cmd := fmt.Sprintf("echo %d > o%d-%d", i, c, i)
			if p.sleep != "" {
				cmd = "sleep " + p.sleep + " && " + cmd
			}
			f(c, i, cmd)
		}
	}
}

// written makes a repository with the pipeline, which did not run yet. The last
// stage of the first chain writes a metrics file and reads a parameter.
func (p pipeline) written(b *bench, dir, program string) error {
	if err := repository(b, dir, program); err != nil {
		return err
	}
	var yaml strings.Builder
	yaml.WriteString("stages:\n")
	p.stages(func(c, i int, cmd string) {
		before, last := fmt.Sprintf("o%d-%d", c, i-1), c == 0 && i == p.length-1
		if i == 0 {
			before = "in"
		}
		if last {
			cmd += " && cp params.json m.json"
		}
		fmt.Fprintf(&yaml, "  s%d-%d:\n    cmd: %s\n    deps: [%s]\n    outs: [o%d-%d]\n", c, i, cmd, before, c, i)
		if last {
			yaml.WriteString("    params: [last]\n    metrics:\n    - m.json:\n        cache: false\n")
		}
	})
	for name, text := range map[string]string{"dvc.yaml": yaml.String(), "params.yaml": "last: 0\n", "params.json": `{"auc": 0.5}`, "in": "0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// finished makes a pipeline that ran and is committed. ctrx runs it for both
// programs: the files are the same, and DVC takes minutes.
func (p pipeline) finished(b *bench, dir, program string) error {
	if err := p.written(b, dir, program); err != nil {
		return err
	}
	for _, step := range [][]string{{"ctrx", "repro"}, {"git", "add", "-A"}, {"git", "commit", "-qm", "pipeline"}} {
		if err := b.do(dir, step[0], step[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// experimented is finished with a number of experiments, each of which has
// another parameter and metric. They are made with git alone, for both programs
// alike.
func (p pipeline) experimented(n int) func(b *bench, dir, program string) error {
	return func(b *bench, dir, program string) error {
		if err := p.finished(b, dir, program); err != nil {
			return err
		}
		script := fmt.Sprintf(`base=$(git rev-parse HEAD)
for i in $(seq %d); do
	echo "last: $i" > params.yaml
	echo "{\"auc\": 0.$i}" > m.json
	git add -u
	commit=$(git commit-tree -p $base -m "experiment $i" $(git write-tree))
	git update-ref refs/exps/$(echo $base | cut -c1-2)/$(echo $base | cut -c3-)/exp-$i $commit
done
git reset -q --hard`, n)
		return b.do(dir, "/bin/sh", "-c", script)
	}
}

// forgetListing removes what both programs remember of commits.
func forgetListing(_ *bench, dir, _ string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, ".dvc/tmp/ctrx/exps")), os.RemoveAll(filepath.Join(dir, ".dvc/tmp/exps/cache")))
}

// changeParam is change, also for the run cache: each run has another value to
// run with.
func changeParam(b *bench, dir, program string) error {
	if err := change(b, dir, program); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, ".dvc/cache/runs"))
}

// edited is finished with another metric and parameter than the commit has.
func (p pipeline) edited(b *bench, dir, program string) error {
	if err := p.finished(b, dir, program); err != nil {
		return err
	}
	for name, text := range map[string]string{"m.json": `{"auc": 0.6}`, "params.yaml": "last: 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// commands runs the commands of the stages and nothing else.
func (p pipeline) commands(b *bench, dir string) (err error) {
	p.stages(func(_, _ int, cmd string) {
		if err == nil {
			err = b.do(dir, "/bin/sh", "-c", cmd)
		}
	})
	return err
}

// unrun removes what a run left.
func unrun(b *bench, dir, program string) error {
	outs, err := filepath.Glob(filepath.Join(dir, "o*-*"))
	if err != nil {
		return err
	}
	for _, p := range append(outs, filepath.Join(dir, "dvc.lock"), filepath.Join(dir, ".gitignore"), filepath.Join(dir, "m.json")) {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return forget(b, dir, program)
}

// grow prints what ctrx takes for pipelines of some sizes.
func (b *bench) grow(sizes []string) error {
	fmt.Println("\n| stages | first `repro`, a stage | `repro` with nothing to do | `status` |\n|---|---|---|---|")
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-stages: %w", err)
		}
		dir, err := os.MkdirTemp(b.tmp, "grow")
		if err != nil {
			return err
		}
		if err := (pipeline{chains: (n + 19) / 20, length: 20}).written(b, dir, "ctrx"); err != nil {
			return err
		}
		var took [3]time.Duration
		for i, args := range [][]string{{"repro"}, {"repro"}, {"status"}} {
			var times []time.Duration
			for range b.runs {
				begin := time.Now()
				if err := b.do(dir, "ctrx", args...); err != nil {
					return err
				}
				times = append(times, time.Since(begin))
				if i == 0 {
					break
				}
			}
			took[i] = median(times)
		}
		fmt.Printf("| %d | %.1f ms | %s | %s |\n", n, float64(took[0])/1e6/float64(n), show(took[1]), show(took[2]))
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
