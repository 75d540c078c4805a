package hydra

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"ctrx/pipeline/dvcfile"
)

// vector is a case with the answer of the real Hydra; see
// testdata/make_vectors.py.
type vector struct {
	About     string            `json:"about"`
	Files     map[string]string `json:"files"`
	Name      string            `json:"name"`
	Overrides []string          `json:"overrides"`
	Env       map[string]string `json:"env"`
	Out       string            `json:"out"`
	Error     string            `json:"error"`
}

// compose does what `exp run` does with the overrides of params.yaml.
func (v vector) compose() (string, error) {
	files := fstest.MapFS{}
	for name, text := range v.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	o := Options{Files: files, FolderName: "conf", ConfigName: v.Name, Env: dvcfile.Surroundings{
		LookupEnv: func(name string) (string, bool) { s, ok := v.Env[name]; return s, ok },
	}}
	if o.ConfigName == "" {
		o.ConfigName = "config"
	}
	for _, arg := range v.Overrides {
		ovs, err := dvcfile.ParseOverride(arg)
		if err != nil {
			return "", err
		}
		if sweep, _ := dvcfile.IsSweep(arg); sweep {
			return "", os.ErrInvalid // only a queue takes several values
		}
		o.Overrides = append(o.Overrides, ovs...)
	}
	composed, err := Compose(o)
	if err != nil {
		return "", err
	}
	return string(Params("params.yaml", composed)), nil
}

func (v vector) check(t *testing.T) {
	t.Helper()
	got, err := v.compose()
	input := func() string {
		text, _ := json.MarshalIndent(v, "", " ")
		return string(text)
	}
	switch {
	case v.Error != "" && err == nil:
		t.Errorf("%s: no error, but Hydra says %s\n%s\ngot:\n%s", v.About, v.Error, input(), got)
	case v.Error == "" && err != nil:
		t.Errorf("%s: %v\n%s", v.About, err, input())
	case v.Error != "":
		if text, ok := wording(v.Error); ok && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error is\n%v\nand Hydra's\n%s", v.About, err, text)
		}
	case got != v.Out:
		t.Errorf("%s: got\n%s\nHydra gives\n%s\n%s", v.About, got, v.Out, input())
	}
}

// wording is the part of Hydra's message that ctrx's must contain: the errors of
// composition are known by it.
func wording(message string) (string, bool) {
	kind, text, _ := strings.Cut(message, ": ")
	switch kind {
	case "ConfigCompositionException", "MissingConfigException":
	case "InterpolationKeyError":
		if !strings.Contains(text, "Interpolation key") {
			return "", false
		}
	default:
		return "", false
	}
	for _, other := range []string{
		"raised while composing config", "DictConfig", // names of Python's types
		"Ambiguous value", "Sweep parameters", // said before composition
	} {
		if strings.Contains(text, other) {
			return "", false
		}
	}
	return strings.TrimSuffix(text, "."), true
}

func readVectors(t testing.TB, data []byte) []vector {
	t.Helper()
	var vs []vector
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestComposeVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/compose_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	vs := readVectors(t, data)
	if len(vs) < 500 {
		t.Fatalf("%d vectors only", len(vs))
	}
	for _, v := range vs {
		v.check(t)
	}
}
