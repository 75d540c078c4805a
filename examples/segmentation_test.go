// Package examples holds projects that show ctrx at work. Each folder is a
// project of its own: it is copied elsewhere and made a repository there. Here
// are only the tests of their stages; cmd/ctrx runs them as projects.
package examples

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// stage runs src/NAME.py of the segmentation example in a folder.
func stage(t *testing.T, dir, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	script, absErr := filepath.Abs(filepath.Join("segmentation", "src", name+".py"))
	if absErr != nil {
		t.Fatal(absErr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func mustStage(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := stage(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, stderr)
	}
	if stderr != "" {
		t.Errorf("%s %v says: %s", name, args, stderr)
	}
	return stdout
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func table(t *testing.T, path string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(read(t, path))).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return rows
}

// metrics are the numbers of a JSON file; NaN and Infinity are no JSON.
func metrics(t *testing.T, path string) map[string]float64 {
	t.Helper()
	var m map[string]float64
	if err := json.Unmarshal([]byte(read(t, path)), &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

const header = "CUST_ID,BALANCE,BALANCE_FREQUENCY,PURCHASES,ONEOFF_PURCHASES,INSTALLMENTS_PURCHASES,CASH_ADVANCE," +
	"PURCHASES_FREQUENCY,ONEOFF_PURCHASES_FREQUENCY,PURCHASES_INSTALLMENTS_FREQUENCY,CASH_ADVANCE_FREQUENCY," +
	"CASH_ADVANCE_TRX,PURCHASES_TRX,CREDIT_LIMIT,PAYMENTS,MINIMUM_PAYMENTS,PRC_FULL_PAYMENT,TENURE"

// All stages, with each way to encode, on made-up customers: the results are
// whole and the same each time. All models are in the grid that cmd/ctrx runs.
func TestSegmentationStages(t *testing.T) {
	testreq.NeedModules(t, "sklearn", "matplotlib")
	made := []string{"data/customers.csv", "data/prepared.csv", "data/encoding.csv", "data/labels.csv", "data/segments.csv",
		"featurize.json", "metrics.json", "plots/clusters.csv", "plots/clusters.png", "plots/profiles.png"}
	for _, c := range []struct {
		encoder, model string
		times          int // more than once for the bytes
	}{{"pca", "kmeans", 1}, {"autoencoder", "hdbscan", 2}} {
		t.Run(c.encoder+" "+c.model, func(t *testing.T) {
			t.Parallel()
			var before []string
			for range c.times {
				dir := t.TempDir()
				mustStage(t, dir, "dataset", "--source", "auto", "--rows", "400")
				mustStage(t, dir, "preprocess")
				mustStage(t, dir, "featurize", c.encoder, "--encoding_dim", "6")
				mustStage(t, dir, "train", c.model)
				mustStage(t, dir, "visualize")
				var now []string
				for _, name := range made {
					now = append(now, read(t, filepath.Join(dir, name)))
				}
				if before == nil {
					before = now
					checkSegmentation(t, dir)
				}
				for i, name := range made {
					if now[i] != before[i] {
						t.Errorf("%s differs between two runs: dvc.lock would change without a reason", name)
					}
				}
			}
		})
	}
}

func checkSegmentation(t *testing.T, dir string) {
	t.Helper()
	customers := table(t, filepath.Join(dir, "data/customers.csv"))
	if strings.Join(customers[0], ",") != header || len(customers) != 401 {
		t.Errorf("%d rows with the columns %v", len(customers)-1, customers[0])
	}
	missing := map[string]int{}
	for _, row := range customers {
		for i, field := range row {
			if field == "" {
				missing[customers[0][i]]++
			}
		}
	}
	if want := map[string]int{"CREDIT_LIMIT": 1, "MINIMUM_PAYMENTS": 14}; !maps.Equal(missing, want) {
		t.Errorf("missing values %v, want %v", missing, want)
	}
	if encoding := table(t, filepath.Join(dir, "data/encoding.csv")); len(encoding) != 401 || len(encoding[0]) != 6 {
		t.Errorf("the encoding has %d rows of %d numbers", len(encoding)-1, len(encoding[0]))
	}
	if e := metrics(t, filepath.Join(dir, "featurize.json"))["reconstruction_error"]; !(e > 0 && e < 0.4) {
		t.Errorf("reconstruction_error is %v", e)
	}
	m := metrics(t, filepath.Join(dir, "metrics.json"))
	if m["customers"] != 400 || m["n_clusters"] < 3 || !(m["noise_share"] < 0.6) ||
		!(m["silhouette"] > 0.15) || !(m["davies_bouldin"] > 0) || !(m["calinski_harabasz"] > 50) {
		t.Errorf("metrics %v: the made-up kinds of customers are not found", m)
	}
	counts := map[string]int{}
	for i, row := range table(t, filepath.Join(dir, "data/segments.csv"))[1:] {
		if row[0] != customers[i+1][0] {
			t.Fatalf("row %d of segments.csv is of %s, the customer is %s", i, row[0], customers[i+1][0])
		}
		counts[row[1]]++
	}
	if noise, ok := counts["-1"]; ok {
		delete(counts, "-1")
		counts["noise"] = noise
	}
	shown := map[string]int{}
	for _, row := range table(t, filepath.Join(dir, "plots/clusters.csv"))[1:] {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		shown[row[0]] = n
	}
	if !maps.Equal(counts, shown) {
		t.Errorf("clusters.csv counts %v, segments.csv has %v", shown, counts)
	}
	for i := 1; i < int(m["n_clusters"]); i++ {
		if shown[strconv.Itoa(i)] > shown[strconv.Itoa(i-1)] {
			t.Errorf("cluster %d is larger than the one before: %v", i, shown)
		}
	}
	for _, name := range []string{"clusters.png", "profiles.png"} {
		if picture := read(t, filepath.Join(dir, "plots", name)); !strings.HasPrefix(picture, "\x89PNG") || len(picture) < 5000 {
			t.Errorf("%s has %d bytes", name, len(picture))
		}
	}
	for _, folder := range []string{".", "data", "plots"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
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

// Scores that are not defined are not there; the pictures can be drawn all the
// same.
func TestSegmentationScores(t *testing.T) {
	testreq.NeedModules(t, "sklearn", "matplotlib")
	two := []string{"0", "0", "0", "0", "0", "9", "9", "9", "9", "9"}
	spread := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	always := []string{"customers", "n_clusters", "noise_share"}
	scored := append(slices.Clone(always), "silhouette", "davies_bouldin", "calinski_harabasz")
	for name, c := range map[string]struct {
		points   []string
		args     []string
		clusters float64
		noise    float64
		names    []string
	}{
		"two groups":          {two, []string{"kmeans", "--n_clusters", "2"}, 2, 0, scored},
		"one group":           {two, []string{"kmeans", "--n_clusters", "1"}, 1, 0, always},
		"a group each":        {spread, []string{"agglo", "--n_clusters", "10"}, 10, 0, always},
		"all noise":           {spread, []string{"hdbscan", "--min_cluster_size", "6"}, 0, 1, always},
		"equal points":        {two, []string{"dbscan", "--min_samples", "3"}, 2, 0, scored},
		"more than there are": {two, []string{"dbscan", "--min_samples", "99"}, 0, 1, always},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := func(path string) string { return filepath.Join(dir, filepath.FromSlash(path)) }
			numbers := "e1\n" + strings.Join(c.points, "\n") + "\n"
			write(t, in("data/encoding.csv"), numbers)
			write(t, in("data/prepared.csv"), numbers)
			customers := header + "\n"
			for i := range c.points {
				customers += fmt.Sprintf("C%d%s\n", i, strings.Repeat(",1", 17))
			}
			write(t, in("data/customers.csv"), customers)
			mustStage(t, dir, "train", c.args...)
			got := metrics(t, in("metrics.json"))
			if got["customers"] != 10 || got["n_clusters"] != c.clusters || got["noise_share"] != c.noise {
				t.Errorf("metrics %v, want %v clusters and a noise share of %v", got, c.clusters, c.noise)
			}
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, slices.Sorted(slices.Values(c.names))) {
				t.Errorf("metrics %v, want %v", names, c.names)
			}
			mustStage(t, dir, "visualize")
			if rows := table(t, in("plots/clusters.csv")); len(rows)-1 != max(1, int(c.clusters)) {
				t.Errorf("clusters.csv has %d rows", len(rows)-1)
			}
		})
	}
}

// A file of one's own, as spreadsheets write it.
func TestSegmentationOwnFile(t *testing.T) {
	testreq.NeedModules(t, "sklearn")
	dir := t.TempDir()
	raw := "\ufeffINDEX," + header + "\r\n"
	for i := range 12 {
		raw += fmt.Sprintf("%d,C%d, 40.5 ,0.5,95.4,0,95.4,0,0.1,0,0.08,0,0,%d,,201.8,139.5,0,12\r\n", i, i, i)
	}
	raw = strings.Replace(raw, "C3, 40.5 ,0.5,95.4,0,95.4,0,0.1,0,0.08,0,0,3,,", "C3,,0.5,95.4,0,95.4,0,0.1,0,0.08,0,0,3,7000,", 1)
	write(t, filepath.Join(dir, "data", "raw", "Customer_Data.csv"), raw)
	if out := mustStage(t, dir, "dataset"); !strings.Contains(out, "data/raw/Customer_Data.csv: 12 customers, 12 missing values") {
		t.Errorf("it says %s", out)
	}
	rows := table(t, filepath.Join(dir, "data", "customers.csv"))
	if got := strings.Join(rows[4], ","); got != "C3,,0.5,95.4,0.0,95.4,0.0,0.1,0.0,0.08,0.0,0,3,7000.0,201.8,139.5,0.0,12" {
		t.Errorf("C3 became %s", got)
	}
	mustStage(t, dir, "preprocess", "--transform", "none", "--scale", "minmax")
	for i, row := range table(t, filepath.Join(dir, "data", "prepared.csv"))[1:] {
		if len(row) != 17 || row[0] != "0" || row[12] != "0" {
			t.Errorf("row %d is %v: a gap is not filled with the median", i, row)
		}
	}
}

func TestSegmentationErrors(t *testing.T) {
	testreq.NeedModules(t, "numpy")
	row := "C1" + strings.Repeat(",1", 17) + "\n"
	raw, numbers := "data/raw/Customer_Data.csv", "e1,e2\n1,2\n2,1\n"
	for name, c := range map[string]struct {
		files map[string]string
		args  []string
		want  string
	}{
		"no file":         {nil, []string{"dataset", "--source", "cardholders"}, raw + ": No such file or directory"},
		"empty":           {map[string]string{raw: ""}, []string{"dataset"}, raw + ": is empty"},
		"another table":   {map[string]string{raw: "id,click\n1,0\n"}, []string{"dataset"}, raw + ":1: has no column CUST_ID, BALANCE"},
		"text":            {map[string]string{raw: header + "\n" + strings.Replace(row, ",1", ",x", 1)}, []string{"dataset"}, raw + ":2: BALANCE is 'x', not a number"},
		"NaN":             {map[string]string{raw: header + "\n" + strings.Replace(row, ",1", ",nan", 1)}, []string{"dataset"}, raw + ":2: BALANCE is 'nan', not a number"},
		"negative":        {map[string]string{raw: header + "\n" + strings.Replace(row, ",1", ",-1", 1)}, []string{"dataset"}, raw + ":2: BALANCE is -1, below 0"},
		"short line":      {map[string]string{raw: header + "\nC1,2\n"}, []string{"dataset"}, raw + ":2: has 2 fields, the header has 18"},
		"twice":           {map[string]string{raw: header + "\n" + row + row}, []string{"dataset"}, raw + ":3: CUST_ID C1 was on line 2 already"},
		"no id":           {map[string]string{raw: header + "\n" + row[2:]}, []string{"dataset"}, raw + ":2: has no CUST_ID"},
		"one customer":    {map[string]string{raw: header + "\n" + row}, []string{"dataset"}, raw + ": has 1 customers; at least 10 are needed"},
		"few rows":        {nil, []string{"dataset", "--rows", "5"}, "rows 5 is not at least 100"},
		"unknown source":  {nil, []string{"dataset", "--source", "web"}, "invalid choice: 'web'"},
		"nothing before":  {nil, []string{"preprocess"}, "data/customers.csv: No such file or directory"},
		"no dimension":    {nil, []string{"featurize", "pca", "--encoding_dim", "0"}, "encoding_dim 0 is not at least 1"},
		"too many":        {map[string]string{"data/prepared.csv": numbers}, []string{"featurize", "pca"}, "encoding_dim 8 is more than the 2 that data/prepared.csv has"},
		"learning rate":   {nil, []string{"featurize", "autoencoder", "--learning_rate", "nan"}, "learning_rate nan is not above 0"},
		"other's option":  {nil, []string{"featurize", "pca", "--epochs", "3"}, "unrecognized arguments: --epochs 3"},
		"no clusters":     {nil, []string{"train", "kmeans", "--n_clusters", "0"}, "n_clusters 0 is not at least 1"},
		"quantile":        {nil, []string{"train", "dbscan", "--eps_quantile", "1"}, "eps_quantile 1.0 is not between 0 and 1"},
		"unknown model":   {nil, []string{"train", "birch"}, "invalid choice: 'birch'"},
		"more clusters":   {map[string]string{"data/prepared.csv": numbers, "data/encoding.csv": numbers}, []string{"train", "kmeans"}, "n_clusters 5 is more than the 2 customers"},
		"different rows":  {map[string]string{"data/prepared.csv": numbers, "data/encoding.csv": numbers + "3,3\n"}, []string{"train", "kmeans"}, "data/encoding.csv has 3 rows and data/prepared.csv has 2"},
		"broken encoding": {map[string]string{"data/encoding.csv": "e1\ninf\n"}, []string{"train", "kmeans"}, "data/encoding.csv:2: e1 is 'inf', not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range c.files {
				write(t, filepath.Join(dir, filepath.FromSlash(file)), text)
			}
			_, stderr, err := stage(t, dir, c.args[0], c.args[1:]...)
			if err == nil || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "Traceback") {
				t.Errorf("error %v and %s, want %q", err, stderr, c.want)
			}
			for _, made := range []string{"data/customers.csv", "data/labels.csv", "metrics.json"} {
				if _, err := os.Stat(filepath.Join(dir, made)); !os.IsNotExist(err) {
					t.Errorf("a failed stage has written %s (error %v)", made, err)
				}
			}
		})
	}
}
