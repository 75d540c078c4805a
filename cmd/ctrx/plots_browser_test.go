package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/cmd/internal/cli"
	"ctrx/internal/testbrowser"
	"ctrx/report/plots"
)

// The page that `plots diff` writes, opened in a real browser, shows every plot
// of a project that has one of each template, with two revisions.
func TestPlotsPage(t *testing.T) {
	tab := testbrowser.Start(t)
	dir := t.TempDir()
	yaml := "plots:\n- pictures\n"
	for _, template := range plots.BuiltinNames() {
		yaml += fmt.Sprintf("- %s:\n    template: %s\n    x: step\n    y: {a.csv: [loss, acc], b.json: loss}\n", template, template)
	}
	files := map[string]string{
		"dvc.yaml":         yaml,
		"a.csv":            "step,loss,acc\n0,2,0.1\n1,1,0.2\n2,0.5,0.4\n3,0.4,0.5\n",
		"b.json":           `[{"step": 0, "loss": 1.5}, {"step": 1, "loss": 1.2}, {"step": 2, "loss": NaN}, {"step": 3, "loss": 1.1}]`,
		"pictures/one.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><rect width="90" height="60" fill="teal"/></svg>`,
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	ctrx := func(args ...string) string {
		var out, errs bytes.Buffer
		s := cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: env, Dir: dir, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 1))}
		if code := cli.Main(t.Context(), args, s); code != 0 || errs.Len() > 0 {
			t.Fatalf("ctrx %v ends with %d: %s", args, code, errs.String())
		}
		return out.String()
	}
	git("init", "-q")
	ctrx("init", "-q")
	git("add", "-A")
	git("commit", "-qm", "one")
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte("step,loss,acc\n0,1.9,0.2\n1,0.8,0.4\n2,0.4,0.5\n3,0.3,0.7\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	page := strings.TrimPrefix(strings.TrimSpace(ctrx("plots", "diff")), "file://")
	tab.Open(t, page, `document.documentElement.dataset.plots`)
	tab.CheckPlots(t, page, len(plots.BuiltinNames()))
	var images int
	if err := tab.Eval(`document.images.length`, &images); err != nil || images != 2 {
		t.Errorf("%d images (%v), want one for each revision", images, err)
	}
}
