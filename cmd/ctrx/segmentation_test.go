package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// segmentation is a copy of the customer-segmentation example, made a project
// as its README says.
type segmentation struct {
	dir string
	env []string
}

func newSegmentation(t *testing.T) *segmentation {
	t.Helper()
	testreq.NeedModules(t, "sklearn", "matplotlib")
	s := &segmentation{dir: filepath.Join(t.TempDir(), "segmentation")}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join("..", "..", "examples", "segmentation"))); err != nil {
		t.Fatal(err)
	}
	// The Python that is on PATH instead of an environment made of downloads.
	file := filepath.Join(s.dir, "dvc.yaml")
	yaml, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	meta := regexp.MustCompile(`(?m)^    meta: .*\n(?:      .*\n)*`)
	if n := len(meta.FindAll(yaml, -1)); n != 5 {
		t.Fatalf("dvc.yaml has %d stages with meta, want 5", n)
	}
	if err := os.WriteFile(file, meta.ReplaceAll(yaml, nil), 0o666); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	s.env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "PYTHONDONTWRITEBYTECODE=1", "MLFLOW_TRACKING_URI=",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
		"PATH="+pythonPath(t))
	s.run(t, "git", "init", "-q", "-b", "main")
	s.run(t, "ctrx", "init", "-q")
	s.run(t, "ctrx", "config", "hydra.enabled", "true")
	s.run(t, "git", "add", "-A")
	s.run(t, "git", "commit", "-qm", "first")
	return s
}

// pythonPath is a PATH on which python3 is also called python, as it is in a
// virtual environment.
func pythonPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("python"); err == nil || runtime.GOOS == "windows" {
		return path
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python"), []byte("#!/bin/sh\nexec python3 \"$@\"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	return dir + string(filepath.ListSeparator) + path
}

func (s *segmentation) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// tasks are what `ctrx queue status --json` tells of the queue: the states of the
// tasks, and how many workers live.
func (s *segmentation) tasks(t *testing.T) (states []string, workers int) {
	t.Helper()
	var status struct {
		Tasks []struct {
			State string `json:"state"`
		} `json:"tasks"`
		Workers []json.RawMessage `json:"workers"`
	}
	if err := json.Unmarshal([]byte(s.run(t, "ctrx", "queue", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, task := range status.Tasks {
		states = append(states, task.State)
	}
	return states, len(status.Workers)
}

// drain starts workers and waits until nothing waits or runs and they have ended.
func (s *segmentation) drain(t *testing.T, workers string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			s.run(t, "ctrx", "queue", "stop", "--kill")
		}
	})
	s.run(t, "ctrx", "queue", "start", "-j", workers)
	var before []string
	for moved := time.Now(); ; time.Sleep(300 * time.Millisecond) {
		states, alive := s.tasks(t)
		if !slices.Equal(states, before) {
			before, moved = states, time.Now()
		}
		if alive == 0 && !slices.Contains(states, "queued") && !slices.Contains(states, "running") {
			return
		}
		if time.Since(moved) > 10*time.Minute {
			t.Fatalf("the queue does not go on:\n%s", s.run(t, "ctrx", "queue", "status"))
		}
	}
}

// The grid that the example is for: each model with each encoder, queued and
// run by two workers.
func TestSegmentationGrid(t *testing.T) {
	t.Parallel()
	s := newSegmentation(t)
	s.run(t, "ctrx", "exp", "run", "-n", "first")
	// The params.yaml that is in Git is what conf/ gives, to the byte.
	if diff := s.run(t, "git", "diff", "--", "params.yaml", ".gitignore", "data", "plots"); diff != "" {
		t.Errorf("a first run changes files that are in Git:\n%s", diff)
	}
	if left := s.run(t, "git", "status", "--short"); strings.Contains(left, ".csv.") || strings.Contains(left, "mlflow") {
		t.Errorf("a first run leaves files that Git does not ignore:\n%s", left)
	}
	s.run(t, "git", "add", "-A")
	s.run(t, "git", "commit", "-qm", "results")

	s.run(t, "ctrx", "exp", "run", "--queue", "-S", "dataset.rows=500",
		"-S", "train/model=agglo,dbscan,hdbscan,kmeans", "-S", "featurize=pca,autoencoder")
	if states, _ := s.tasks(t); len(states) != 8 {
		t.Fatalf("%d experiments are queued, want 8", len(states))
	}
	s.drain(t, "2")
	if states, _ := s.tasks(t); slices.ContainsFunc(states, func(state string) bool { return state != "success" }) {
		t.Fatalf("not all runs succeeded:\n%s", s.run(t, "ctrx", "queue", "status"))
	}
	if changed := s.run(t, "git", "status", "--short"); changed != "" {
		t.Errorf("queued runs changed the workspace:\n%s", changed)
	}
	s.checkGrid(t)
}

// checkGrid looks at the eight experiments of HEAD.
func (s *segmentation) checkGrid(t *testing.T) {
	t.Helper()
	names := strings.Fields(s.run(t, "ctrx", "exp", "list", "--name-only"))
	if len(names) != 8 {
		t.Fatalf("%d experiments, want 8: %v", len(names), names)
	}
	combinations := map[string]bool{}
	for _, name := range names {
		ref := strings.TrimSpace(s.run(t, "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/"+name))
		file := func(path string) string { return s.run(t, "git", "show", ref+":"+path) }
		var m struct {
			Customers int      `json:"customers"`
			Clusters  int      `json:"n_clusters"`
			Noise     *float64 `json:"noise_share"`
			Score     *float64 `json:"silhouette"`
		}
		if err := json.Unmarshal([]byte(file("metrics.json")), &m); err != nil {
			t.Fatal(err)
		}
		if m.Customers != 500 || m.Clusters < 2 || m.Noise == nil || m.Score == nil || !(*m.Score > 0.1) {
			t.Errorf("%s has the metrics %s", name, file("metrics.json"))
		}
		if sizes := file("plots/clusters.csv"); strings.Count(sizes, "\n") <= m.Clusters {
			t.Errorf("%s: clusters.csv has fewer rows than %d clusters:\n%s", name, m.Clusters, sizes)
		}
		picked := regexp.MustCompile(`(?m)name: (\w+)$`).FindAllStringSubmatch(file("params.yaml"), -1)
		if len(picked) != 2 {
			t.Fatalf("%s has the params\n%s", name, file("params.yaml"))
		}
		combinations[fmt.Sprint(picked[0][1], " ", picked[1][1])] = true
	}
	if len(combinations) != 8 {
		t.Errorf("%d combinations, want 8: %v", len(combinations), combinations)
	}
	s.run(t, "ctrx", "exp", "apply", names[0])
	if out := s.run(t, "ctrx", "status"); !strings.Contains(out, "up to date") {
		t.Errorf("after exp apply %s: %s", names[0], out)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "data", "segments.csv")); err != nil {
		t.Errorf("exp apply %s did not bring the segments: %v", names[0], err)
	}
}
