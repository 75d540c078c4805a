package dvcfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
)

// configVectors are answers of the real OmegaConf: see
// testdata/make_config_vectors.py.
type configVectors struct {
	Base      string         `json:"base"`
	Documents []configVector `json:"documents"` // read and written
	Strings   []configVector `json:"strings"`   // below a key beside the base, resolved
}

type configVector struct {
	Text  string `json:"text"`
	Out   string `json:"out"`
	Error string `json:"error"`
}

func (vs configVectors) check(t *testing.T, documents, strings int) {
	t.Helper()
	if len(vs.Documents) != documents || len(vs.Strings) != strings {
		t.Fatalf("%d documents and %d strings", len(vs.Documents), len(vs.Strings))
	}
	for _, v := range vs.Documents {
		n, err := ParseYAML11("f.yaml", []byte(v.Text))
		if err == nil {
			v.compare(t, string(EmitYAML11(n.Value)), nil)
		} else {
			v.compare(t, "", err)
		}
	}
	for _, v := range vs.Strings {
		got, err := resolveBeside(vs.Base, v.Text)
		v.compare(t, got, err)
	}
}

func (v configVector) compare(t *testing.T, got string, err error) {
	t.Helper()
	switch {
	case (err != nil) != (v.Error != ""):
		t.Errorf("%q: error %v, OmegaConf's is %q", v.Text, err, v.Error)
	case err == nil && got != v.Out:
		t.Errorf("%q:\n got %q\nwant %q", v.Text, got, v.Out)
	}
}

// resolveBeside resolves a string beside other settings and gives its YAML.
func resolveBeside(base, text string) (string, error) {
	n, err := ParseYAML11("base.yaml", []byte(base))
	if err != nil {
		return "", err
	}
	c := NewConfig(Surroundings{LookupEnv: func(name string) (string, bool) { return "me", name == "WHO" }})
	if err := c.Merge(n, ""); err != nil {
		return "", err
	}
	if err := c.Override(Override{Op: OpAdd, Key: "self_", Value: text, HasValue: true}); err != nil {
		return "", err
	}
	if err := c.Resolve(); err != nil {
		return "", err
	}
	all := string(EmitYAML11(c.Value()))
	return all[strings.Index(all, "self_:"):], nil
}

func readConfigVectors(t *testing.T, data []byte) (vs configVectors) {
	t.Helper()
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestConfigVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/config_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	readConfigVectors(t, data).check(t, 500, 900)
}

// TestConfigAgainstOmegaConf asks the real library about other cases.
func TestConfigAgainstOmegaConf(t *testing.T) {
	testreq.NeedModules(t, "omegaconf", "yaml")
	out, err := exec.CommandContext(t.Context(), "python3", "testdata/make_config_vectors.py", "2", "700", "900").Output()
	if err != nil {
		t.Fatal(err)
	}
	readConfigVectors(t, out).check(t, 700, 900)
}

func TestSplitKey(t *testing.T) {
	for key, want := range map[string][]string{
		"": {""}, "a": {"a"}, "a.b": {"a", "b"}, "a[b]": {"a", "b"}, "[a].b": {"a", "b"}, ".a.b[c].d": {"", "a", "b", "c", "d"},
		"..[a]": {"", "", "a"}, "a..b": {"a", "", "b"}, "a[b": {"a"}, "[": {}, "a.": {"a", ""}, "a[b]c": {"a", "b"},
	} {
		if got := splitKey(key); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

func TestConfigErrorsHavePlaces(t *testing.T) {
	for text, want := range map[string]string{
		"a:\n  b: ${a.c}\n":             "f.yaml:2:6: 'a.b': Interpolation key 'a.c' not found; did you mean 'a.b'?",
		"a:\n- x\n- ${oc.env:NOSUCH}\n": "f.yaml:3:3: 'a[1]': raised while resolving interpolation: oc.env: Environment variable 'NOSUCH' not found",
		"a: 1\nb: ${oc.nosuch:x}\n":     "f.yaml:2:4: 'b': Unsupported interpolation type oc.nosuch (ctrx knows OmegaConf's oc.* and now; none that Python code registers)",
		"a: ${b}\nb: ${a}\n":            "f.yaml:1:4: 'a': Recursive interpolation detected",
		"a: 1\nb: '${a'\n":              "f.yaml:2:4: in \"${a\" '.', '[', ':' or '}' is expected at position 4, not the end",
	} {
		n, err := ParseYAML11("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConfig(Surroundings{})
		if err = c.Merge(n, ""); err == nil {
			err = c.Resolve()
		}
		if err == nil || err.Error() != want || errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// A small file must not fill the memory.
func TestConfigIsBounded(t *testing.T) {
	text := "a0: [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		text += fmt.Sprintf("a%d: [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("'${a%d}', ", i), 10), ", "))
	}
	anchors := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		anchors += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	for _, text := range []string{text, anchors} {
		n, err := ParseYAML11("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c := NewConfig(Surroundings{})
		if err = c.Merge(n, ""); err == nil {
			err = c.Resolve()
		}
		if !errors.Is(err, errTooLarge) || errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("got %v", err)
		}
	}
}

func TestNow(t *testing.T) {
	c := Surroundings{}
	v, err := ResolveText("${now:%Y-%m-%d_%H%M%S%%}", &Map{}, c)
	if err != nil || v != "0001-01-01_000000%" {
		t.Errorf("got %v, %v", v, err)
	}
}

// FuzzInterpolation: no string makes the parser or the resolvers panic, and what
// resolves is written so that it reads back the same.
func FuzzInterpolation(f *testing.F) {
	for _, shape := range []string{"${a}", "${m.${k}}", "${oc.env:NOPE,[1, {a: 'x'}]}", "${oc.create:\"a: 1\"}", "\\\\${a}\\${b}", "${oc.dict.values:m}", "${.l[0]}", "${oc.decode:'${a}'}", "${now:%Y}"} {
		f.Add(shape)
	}
	const base = "a: 1\nl: [1, two]\nm: {x: 1}\nk: x\n"
	f.Fuzz(func(t *testing.T, text string) {
		got, err := resolveBeside(base, text)
		if err != nil || !utf8.ValidString(text) || strings.ContainsAny(got, oldBreaks) {
			return
		}
		n, err := ParseYAML11("f.yaml", []byte(got))
		if err != nil {
			t.Fatalf("%q became unreadable %q: %v", text, got, err)
		}
		if again := string(EmitYAML11(n.Value)); again != got {
			t.Errorf("%q: %q reads back as %q", text, got, again)
		}
	})
}
