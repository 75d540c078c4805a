package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// The example as its README begins: one run, then one with another parameter,
// for which only the stages that it concerns run again.
func TestSegmentationRun(t *testing.T) {
	t.Parallel()
	s := newSegmentation(t)
	s.run(t, "ctrx", "exp", "run", "-n", "first")
	if diff := s.run(t, "git", "diff", "--", "params.yaml", ".gitignore", "data", "plots"); diff != "" {
		t.Errorf("a first run changes files that are in Git:\n%s", diff)
	}
	out := s.run(t, "ctrx", "exp", "run", "-n", "six", "-S", "featurize.parameters.encoding_dim=6")
	for _, want := range []string{"Stage 'dataset' didn't change", "Stage 'preprocess' didn't change", "pca --encoding_dim 6", "Running stage 'visualize'"} {
		if !strings.Contains(out, want) {
			t.Errorf("the second run does not say %q:\n%s", want, out)
		}
	}
	var m struct {
		Customers int     `json:"customers"`
		Score     float64 `json:"silhouette"`
	}
	if err := json.Unmarshal([]byte(s.run(t, "git", "show", refOf(t, s, "six")+":metrics.json")), &m); err != nil || m.Customers != 2000 || !(m.Score > 0.2) {
		t.Errorf("the metrics are %+v (%v)", m, err)
	}
}

func refOf(t *testing.T, s *segmentation, name string) string {
	t.Helper()
	return strings.TrimSpace(s.run(t, "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/"+name))
}
