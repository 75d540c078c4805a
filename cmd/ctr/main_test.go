package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ctrStage runs the program and gives its exit code and what it printed.
func ctrStage(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := ctrStage(t, args...)
	if code != 0 {
		t.Fatalf("ctr %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string // on stdout or stderr
	}{
		{nil, 3, "usage: ctr STAGE"},
		{[]string{"help"}, 0, "usage: ctr STAGE"},
		{[]string{"train"}, 3, `error: unknown stage "train"`},
		{[]string{"dataset", "-h"}, 0, "number of synthetic rows"},
		{[]string{"dataset", "--rows", "many"}, 3, `invalid value "many"`},
		{[]string{"dataset", "--row", "5"}, 3, "flag provided but not defined: -row"},
		{[]string{"featurize", "data"}, 3, `unexpected argument "data"`},
		{[]string{"evaluate", "--threshold", "2"}, 1, "error: evaluate: threshold 2 is not between 0 and 1"},
	} {
		code, stdout, stderr := ctrStage(t, test.args...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("ctr %v: exit code %d, want %d; printed %s%s, want %q", test.args, code, test.code, stdout, stderr, test.want)
		}
	}
}

func TestDatasetAndFeaturize(t *testing.T) {
	dir := t.TempDir()
	out := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	stdout := mustRun(t, "dataset", "--raw", out("raw"), "--out", out("a"), "--rows", "2000")
	if !strings.Contains(stdout, "dataset: synthetic rows: 1600 training rows, 400 test rows, click rate 0.1") {
		t.Errorf("dataset said %s", stdout)
	}
	mustRun(t, "dataset", "--raw", out("raw"), "--out", out("b"), "--rows", "2000")
	for _, name := range []string{"train.csv", "test.csv"} {
		if readFile(t, out("a", name)) != readFile(t, out("b", name)) {
			t.Errorf("%s differs between two runs with the same seed", name)
		}
	}
	// A file in the raw folder replaces the synthetic rows; the split of a
	// split is a good enough file.
	write(t, out("raw", "train.csv"), readFile(t, out("a", "train.csv")))
	if stdout := mustRun(t, "dataset", "--raw", out("raw"), "--out", out("c")); !strings.Contains(stdout, "1280 training rows, 320 test rows") {
		t.Errorf("dataset said %s", stdout)
	}
	if stdout := mustRun(t, "dataset", "--raw", out("raw"), "--out", out("d"), "--source", "synthetic", "--rows", "100"); !strings.Contains(stdout, "synthetic rows: 80 ") {
		t.Errorf("dataset said %s", stdout)
	}
	stdout = mustRun(t, "featurize", "--in", out("c"), "--out", out("features"))
	if want := "featurize: 24 features of 1280 training rows and 320 test rows\n"; stdout != want {
		t.Errorf("featurize said %s, want %s", stdout, want)
	}
	for name, lines := range map[string]int{"train.csv": 1281, "test.csv": 321} {
		if n := strings.Count(readFile(t, out("features", name)), "\n"); n != lines {
			t.Errorf("%s has %d lines, want %d", name, n, lines)
		}
	}
}

func TestBadInputLeavesOutputsAlone(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	mustRun(t, "dataset", "--source", "synthetic", "--rows", "200", "--out", good)
	train, test := readFile(t, filepath.Join(good, "train.csv")), readFile(t, filepath.Join(good, "test.csv"))
	header, rest, _ := strings.Cut(train, "\n")
	noClicks := header + "\n"
	for line := range strings.Lines(rest) {
		if strings.Split(line, ",")[1] == "0" {
			noClicks += line
		}
	}
	for name, c := range map[string]struct {
		stage       string
		train, test string
		want        string
	}{
		"missing column":       {"dataset", strings.Replace(train, "C17,", "", 1), "", "train.csv:1: missing column C17"},
		"bad hour":             {"dataset", strings.Replace(train, ",141021", ",149921", 1), "", "train.csv:2:"},
		"one class":            {"dataset", noClicks, "", "no row has click 1"},
		"empty":                {"dataset", "", "", "train.csv: is empty"},
		"no file":              {"dataset --source avazu", "-", "", "put Kaggle's file there"},
		"wrong source":         {"dataset --source kaggle", "-", "", `source "kaggle" is none of auto, avazu, synthetic`},
		"no rows":              {"dataset --rows 0", "-", "", "cannot make 0 rows"},
		"featurize one class":  {"featurize", noClicks, test, "have the same click value"},
		"featurize broken":     {"featurize", train, test + "1,2\n", "test.csv:42: has 2 fields"},
		"featurize no dataset": {"featurize", "-", test, "train.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
			for file, text := range map[string]string{"train.csv": c.train, "test.csv": c.test} {
				if text != "-" && !(file == "test.csv" && text == "") {
					write(t, filepath.Join(in, file), text)
				}
			}
			write(t, filepath.Join(out, "train.csv"), "as it was")
			args := strings.Fields(c.stage)
			flag := map[string]string{"dataset": "--raw", "featurize": "--in"}[args[0]]
			code, _, stderr := ctrStage(t, append(args, flag, in, "--out", out)...)
			if code != 1 || !strings.HasPrefix(stderr, "error: "+args[0]+": ") || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d and %q, want 1 and one line with %q", code, stderr, c.want)
			}
			entries, err := os.ReadDir(out)
			if err != nil || len(entries) != 1 || readFile(t, filepath.Join(out, "train.csv")) != "as it was" {
				t.Errorf("the folder for the outputs has changed: %v (error %v)", entries, err)
			}
		})
	}
}

func TestEvaluateErrors(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join("..", "..", "ctr", "testdata", "default.lightgbm.txt")
	for name, c := range map[string]struct{ model, features, want string }{
		"no model":        {filepath.Join(dir, "none"), "", "read model: "},
		"other features":  {model, "click,a,b\n1,2,3\n", "test.csv:1: missing columns site, hour, constant, rare"},
		"one class":       {model, "click,site,hour,constant,rare\n1,0,0,0,0\n", "all 1 held-out rows have the same click value"},
		"not a number":    {model, "click,site,hour,constant,rare\n1,0,0,0,NaN\n", `test.csv:2:9: rare: "NaN" is not a finite number`},
		"model of pickle": {filepath.Join("..", "..", "go.mod"), "", "is neither a CatBoost model in JSON nor a LightGBM model"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			features := filepath.Join(t.TempDir(), "test.csv")
			write(t, features, c.features)
			code, _, stderr := ctrStage(t, "evaluate", "--model", c.model, "--features", features,
				"--metrics", filepath.Join(out, "metrics.json"), "--plots", filepath.Join(out, "plots"))
			if code != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d and %q, want 1 and %q", code, stderr, c.want)
			}
			if entries, err := os.ReadDir(out); err != nil || len(entries) != 0 {
				t.Errorf("outputs %v, want none (error %v)", entries, err)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	out := t.TempDir()
	if code := run(ctx, []string{"dataset", "--source", "synthetic", "--out", out}, &stdout, &stderr); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, stderr.String())
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 0 {
		t.Errorf("outputs %v of an interrupted stage (error %v)", entries, err)
	}
}
