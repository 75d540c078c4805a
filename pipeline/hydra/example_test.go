package hydra

import (
	"os"
	"strings"
	"testing"

	"ctrx/pipeline/dvcfile"
)

// composeExample composes the config groups at the root of the repository.
func composeExample(t *testing.T, overrides ...string) string {
	t.Helper()
	o := Options{Files: os.DirFS("../../configs"), FolderName: "configs", ConfigName: "config"}
	for _, arg := range overrides {
		ovs, err := dvcfile.ParseOverride(arg)
		if err != nil {
			t.Fatal(err)
		}
		o.Overrides = append(o.Overrides, ovs...)
	}
	composed, err := Compose(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(Params("params.yaml", composed))
}

// TestExampleParams: the first command of the README must find params.yaml as the
// config groups give it, or it would change a file of a fresh clone.
func TestExampleParams(t *testing.T) {
	now, err := os.ReadFile("../../params.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := composeExample(t); got != string(now) {
		t.Errorf("params.yaml is\n%s\nand configs/ gives\n%s", now, got)
	}
}

func TestExampleGroups(t *testing.T) {
	for override, wants := range map[string][]string{
		"dataset=synthetic": {"source: synthetic", "rows: 50000"},
		"dataset=avazu":     {"source: avazu"},
		"model=lightgbm":    {"model: lightgbm", "n_estimators: 80", "depth: 5"},
		"search=quick":      {"model: catboost", "n_estimators: 20"},
		"search=thorough":   {"n_estimators: 300"},
		"train.depth=3":     {"depth: 3"},
	} {
		got := composeExample(t, override)
		for _, want := range wants {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("%s: no %q in\n%s", override, want, got)
			}
		}
	}
}
