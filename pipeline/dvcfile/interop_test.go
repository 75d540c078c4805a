package dvcfile

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

const interopParams = `a: &x [1, 2]
b: *x
layers: {1: 64, 2: 128, 10: 3}
f: 1e-3
n: null
s: "yes"
size: 3
big: 123456789012345678901234567890
`

const interopPipeline = `stages:
  one:
    cmd: mkdir -p out && cp d.txt out/x && cp d.txt out/y && echo "it's a rather long line that has to be folded somewhere" && echo done
    deps: [d.txt, dir]
    params: [a, b, layers, f, n, s, size]
    outs: [out]
  two:
    cmd:
    - cp out/x z
    - chmod +x z
    deps: [out]
    params:
    - params.yaml:
    outs: [z]
`

// TestRealLock runs a pipeline with the real dvc, and makes dvc.lock and the
// names of the run-cache files from what it recorded.
func TestRealLock(t *testing.T) {
	testreq.Need(t, testreq.DVC)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"params.yaml": interopParams, "dvc.yaml": interopPipeline, "d.txt": "data\n", "dir/a": "1\n", "dir/b": "2\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "--no-scm"}, {"repro"}} {
		cmd := exec.CommandContext(ctx, "dvc", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(dir, "site"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dvc %v: %v\n%s", args, err, out)
		}
	}
	want, err := os.ReadFile(filepath.Join(dir, "dvc.lock"))
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := ParseLock("dvc.lock", want)
	if err != nil {
		t.Fatal(err)
	}
	if got := recorded.Encode(); !bytes.Equal(got, want) {
		t.Errorf("round trip:\n%s\nwant\n%s", got, want)
	}
	params, err := ParseYAML("params.yaml", []byte(interopParams))
	if err != nil {
		t.Fatal(err)
	}
	made, err := ParseLock("dvc.lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range recorded.Names() {
		s, _ := recorded.Stage(name)
		set := &Map{}
		was, _ := s.Params.Get("params.yaml")
		for _, k := range was.(*Map).Keys() {
			v, _ := params.(*Map).Get(k)
			set.Set(k, v)
		}
		s = &StageLock{Cmd: s.Cmd, Deps: s.Deps, Outs: s.Outs, Params: NewMap("params.yaml", set)}
		if !made.SetStage(name, s) {
			t.Errorf("setting %s in a new lock changed nothing", name)
		}
		key, value := s.RunCacheKeys()
		if _, err := os.Stat(filepath.Join(dir, ".dvc", "cache", "runs", key[:2], key, value)); err != nil {
			t.Errorf("run-cache entry of %s: %v", name, err)
		}
	}
	if got := made.Encode(); !bytes.Equal(got, want) {
		t.Errorf("made anew:\n%s\nwant\n%s", got, want)
	}
}
