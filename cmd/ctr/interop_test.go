package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctrx/ctr"
	"ctrx/internal/testreq"
)

// python runs a script of the repository in a folder.
func python(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	script, absErr := filepath.Abs(args[0])
	if absErr != nil {
		t.Fatal(absErr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{script}, args[1:]...)...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// judgement is what testdata/check.py prints.
type judgement struct {
	Predictions         []float64
	Metrics             map[string]float64
	Observed, Predicted []float64
}

// The whole way from a CSV file to metrics.json, with either library, compared
// with what the library and scikit-learn say.
func TestPipelineAgreesWithPython(t *testing.T) {
	testreq.NeedModules(t, "catboost", "lightgbm", "sklearn", "shap", "matplotlib")
	for _, test := range []struct {
		model string
		rows  string
	}{{"catboost", "6000"}, {"lightgbm", "99"}} {
		t.Run(test.model+" "+test.rows, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := func(path string) string { return filepath.Join(dir, filepath.FromSlash(path)) }
			writeIndexed(t, in("data/raw/train.csv"), test.rows)
			mustRun(t, "dataset", "--raw", in("data/raw"), "--out", in("data"))
			mustRun(t, "featurize", "--in", in("data"), "--out", in("data/features"))
			train := filepath.Join("..", "..", "ctr", "train.py")
			made := []string{"models/click.model", "plots/shap_summary.png", "plots/metrics/test_log_loss.tsv"}
			var before []string
			for again := range 2 { // the second time for its bytes
				if _, stderr, err := python(t, dir, train, "--model", test.model); err != nil {
					t.Fatalf("train.py: %v: %s", err, stderr)
				}
				for i, name := range made {
					if again == 0 {
						before = append(before, readFile(t, in(name)))
					} else if readFile(t, in(name)) != before[i] {
						t.Errorf("%s differs between two runs: dvc.lock would change without a reason", name)
					}
				}
			}
			mustRun(t, "evaluate", "--model", in("models/click.model"), "--features", in("data/features/test.csv"),
				"--metrics", in("metrics.json"), "--plots", in("plots"))

			stdout, stderr, err := python(t, dir, filepath.Join("testdata", "check.py"), test.model, in("models/click.model"), in("data/features/test.csv"))
			if err != nil {
				t.Fatalf("check.py: %v: %s", err, stderr)
			}
			var want judgement
			if err := json.Unmarshal([]byte(stdout), &want); err != nil {
				t.Fatal(err)
			}
			comparePredictions(t, in("models/click.model"), in("data/features/test.csv"), want.Predictions)
			var got map[string]float64
			if err := json.Unmarshal([]byte(readFile(t, in("metrics.json"))), &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want.Metrics) {
				t.Errorf("metrics %v, want %v", got, want.Metrics)
			}
			for name, value := range want.Metrics {
				if !(math.Abs(got[name]-value) < 1e-9) {
					t.Errorf("%s is %v, scikit-learn says %v", name, got[name], value)
				}
			}
			compareColumn(t, in("plots/calibration.csv"), "predicted", want.Predicted)
			compareColumn(t, in("plots/calibration.csv"), "observed", want.Observed)
			checkTrainOutputs(t, in)
		})
	}
}

// writeIndexed writes synthetic rows as pandas writes a sample: with a leading
// index column without a name.
func writeIndexed(t *testing.T, path, rows string) {
	t.Helper()
	n, err := strconv.Atoi(rows)
	if err != nil {
		t.Fatal(err)
	}
	table := "," + strings.Join(ctr.ColumnNames(), ",") + "\n"
	for row, err := range ctr.SyntheticRows(n, 5)(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		table += strconv.Itoa(len(table)) + "," + strings.Join(row.Values[:], ",") + "\n"
	}
	write(t, path, table)
}

func comparePredictions(t *testing.T, model, features string, want []float64) {
	t.Helper()
	predictor, err := ctr.LoadPredictor(model)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.Open(features)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	got, err := ctr.Predict(t.Context(), predictor, features, table)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d predictions, want %d", len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i].Probability-want[i]) <= 1e-6) {
			t.Fatalf("row %d: %v, the library says %v", i, got[i].Probability, want[i])
		}
	}
}

func compareColumn(t *testing.T, path, name string, want []float64) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(readFile(t, path))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != len(want)+1 {
		t.Fatalf("%s has %d bins, want %d", path, len(records)-1, len(want))
	}
	for column, title := range records[0] {
		for i := range want {
			if title != name {
				continue
			}
			if got, err := strconv.ParseFloat(records[i+1][column], 64); err != nil || math.Abs(got-want[i]) > 1e-6 {
				t.Errorf("%s: %s of bin %d is %v (error %v), want %v", path, name, i, got, err, want[i])
			}
		}
	}
}

func checkTrainOutputs(t *testing.T, in func(string) string) {
	t.Helper()
	for _, metric := range []string{"train_log_loss", "test_log_loss"} {
		lines := strings.Split(readFile(t, in("plots/metrics/"+metric+".tsv")), "\n")
		if lines[0] != "step\t"+metric || len(lines) != 52 || !strings.HasPrefix(lines[50], "49\t0.") {
			t.Errorf("%s.tsv has %d lines that begin with %q", metric, len(lines), lines[:2])
		}
	}
	if picture := readFile(t, in("plots/shap_summary.png")); !strings.HasPrefix(picture, "\x89PNG") || len(picture) < 10000 {
		t.Errorf("the SHAP picture has %d bytes", len(picture))
	}
	for _, folder := range []string{"models", "plots", "plots/metrics"} {
		entries, err := os.ReadDir(in(folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s/%s is left behind", folder, e.Name())
			}
		}
	}
}

func TestTrainErrors(t *testing.T) {
	testreq.NeedModules(t, "numpy")
	train := filepath.Join("..", "..", "ctr", "train.py")
	good := "click,a,b\n1,0.5,0.25\n0,0.1,0.2\n"
	for name, c := range map[string]struct {
		train, test string
		args        []string
		want        string
	}{
		"no features":    {"-", good, nil, "train.csv: No such file or directory"},
		"empty":          {"", good, nil, "train.csv: is empty"},
		"header only":    {"click,a,b\n", good, nil, "train.csv: has a header but no rows"},
		"raw rows":       {"id,click\n1,0\n", good, nil, "train.csv:1: is not a feature file"},
		"text":           {"click,a,b\n1,x,2\n", good, nil, "train.csv:2: could not convert string to float: 'x'"},
		"NaN":            {"click,a,b\n0,1,2\n1,nan,2\n", good, nil, "train.csv:3: has a value that is not a finite number"},
		"short line":     {"click,a,b\n1,2\n", good, nil, "train.csv:2: has 2 fields, the header has 3"},
		"click of 2":     {"click,a,b\n2,2,2\n", good, nil, "train.csv:2: click is 2, neither 0 nor 1"},
		"one class":      {"click,a,b\n1,2,2\n1,3,3\n", good, nil, "train.csv: all rows have click 1"},
		"other columns":  {good, "click,b,a\n1,2,2\n0,1,1\n", nil, "train.csv and test.csv have different columns"},
		"no trees":       {good, good, []string{"--n-estimators", "0"}, "n_estimators 0 is not at least 1"},
		"depth":          {good, good, []string{"--depth", "40"}, "depth 40 is not between 1 and 16"},
		"learning rate":  {good, good, []string{"--learning-rate", "nan"}, "learning_rate nan is not above 0"},
		"unknown model":  {good, good, []string{"--model", "xgboost"}, "invalid choice: 'xgboost'"},
		"depth of words": {good, good, []string{"--depth", "deep"}, "invalid int value: 'deep'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{"train.csv": c.train, "test.csv": c.test} {
				if text != "-" {
					write(t, filepath.Join(dir, "data", "features", file), text)
				}
			}
			_, stderr, err := python(t, dir, append([]string{train}, c.args...)...)
			if err == nil || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "Traceback") {
				t.Errorf("error %v and %s, want %q", err, stderr, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "models")); !os.IsNotExist(err) {
				t.Errorf("a failed training has written models (error %v)", err)
			}
		})
	}
}
