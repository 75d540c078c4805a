package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/testreq"
)

// TestDifferentialCompare asks ctrx and the real dvc for the metrics and params
// of random histories and wants the same bytes of both.
func TestDifferentialCompare(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	if testing.Short() {
		t.Skip("takes a minute")
	}
	first, cases := envNumber(t, differentialSeed, 1), envNumber(t, differentialCases, 12)
	work := t.TempDir()
	d := startDVC(t, filepath.Join(work, "site"))
	defer d.stop()
	for i := range cases {
		seed := uint64(first + i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { compareHistory(t, d, filepath.Join(work, fmt.Sprint(seed)), seed) })
	}
}

func compareHistory(t *testing.T, d *manyDVC, dir string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	randomHistory(t, r, dir)
	for _, line := range []string{
		"metrics show --json", "metrics show --md", "metrics show", "metrics show -a --json", "metrics show -T --json", "metrics show -A --json",
		"metrics show -a --md --precision 3", "metrics show extra.json --json", "metrics show -R sub --json",
		"metrics diff --json", "metrics diff", "metrics diff --md", "metrics diff --all --json", "metrics diff --all --md --precision 2 --no-path",
		"metrics diff v1 --json", "metrics diff v1 side --json", "metrics diff side v1 --md", "metrics diff HEAD~1 HEAD --json", "metrics diff --json --targets extra.json m.yaml",
		"params diff --json", "params diff", "params diff --md", "params diff --all --json", "params diff --all --md --no-path",
		"params diff v1 --json", "params diff v1 side --json", "params diff side v1 --md", "params diff --deps --json", "params diff --deps --all --json",
		"params diff --json --all --targets extra.json conf.toml", "params diff --json --targets settings.py", "params diff --deps --json --targets mdir", "metrics show mdir --json", "params diff nosuch --json", "metrics diff nosuch", "metrics show nosuch.json --json",
	} {
		args := strings.Fields(line)
		for _, at := range []string{dir, filepath.Join(dir, "sub")} {
			theirs, ours := d.stdout(t, at, args), stdoutOfCtrx(t, at, args)
			// dvc compares sets of strings, whose order is new in each process.
			anyOrder := args[1] == "diff" || slices.Contains(args, "-A")
			theirs.Output, ours.Output = comparable(t, theirs.Output, anyOrder), comparable(t, ours.Output, anyOrder)
			if (theirs.Code == 0) != (ours.Code == 0) || theirs.Output != ours.Output {
				t.Errorf("%s in %s\n--- dvc ends with %d\n%s\n--- ctrx ends with %d\n%s", line, filepath.Base(at), theirs.Code, theirs.Output, ours.Code, ours.Output)
			}
		}
	}
}

// corruptText is dvc's message about a file that it cannot parse: it names no
// place in the file, and the file by a path that leads nowhere.
var corruptText = regexp.MustCompile(`("type": ?"\w+FileCorruptedError", "msg": ")(?:[^"\\]|\\.)*"`)

// comparable takes out of an output what is no difference: blanks at line ends
// and, where any order will do, the order of JSON keys or of lines.
func comparable(t *testing.T, text string, anyOrder bool) string {
	text = corruptText.ReplaceAllString(strings.TrimSpace(text), `$1"`)
	if anyOrder && strings.HasPrefix(text, "{") {
		dec := json.NewDecoder(strings.NewReader(strings.NewReplacer(": NaN", `: "NaN"`, ": -Infinity", `: "-Infinity"`, ": Infinity", `: "Infinity"`).Replace(text)))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Errorf("%v in %s", err, text)
		}
		sorted, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return string(sorted)
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if anyOrder {
		slices.Sort(lines)
	}
	return strings.Join(lines, "\n")
}

// randomHistory makes a repository with three commits, a branch, a tag and a
// changed work tree.
func randomHistory(t *testing.T, r *rand.Rand, dir string) {
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
			fmt.Sprintf("GIT_COMMITTER_DATE=2026-01-01T00:00:%02dZ", r.IntN(60)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	writeFiles(t, dir, map[string]string{".dvc/config": "", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n", ".gitignore": "/.home\n"})
	git("init", "-q", "-b", "main")
	save := func(message string) {
		git("add", "-A")
		git("commit", "-q", "--allow-empty", "-m", message)
	}
	writeFiles(t, dir, randomFiles(r))
	save("first")
	git("tag", "v1")
	writeFiles(t, dir, randomFiles(r))
	save("second")
	git("checkout", "-q", "-b", "side")
	writeFiles(t, dir, randomFiles(r))
	save("third")
	git("checkout", "-q", "main")
	writeFiles(t, dir, randomFiles(r))
	if r.IntN(3) == 0 {
		if err := os.Remove(filepath.Join(dir, "m.yaml")); err != nil {
			t.Fatal(err)
		}
	}
}

// randomFiles gives params, metrics and what declares them.
func randomFiles(r *rand.Rand) map[string]string {
	files := map[string]string{
		"params.yaml": yamlOf(r, 2), "conf.toml": fmt.Sprintf("seed = %d\nrate = %v\nname = \"n%d\"\n[opt]\nlr = %d.5\n", r.IntN(3), []string{"1e-05", "0.5", "1.0"}[r.IntN(3)], r.IntN(2), r.IntN(3)),
		"extra.json":      jsonOf(r, 2),
		"settings.py":     fmt.Sprintf("LR = %d.25\nclass Train:\n    depth = %d\n    names = ['a', 'b']\n", r.IntN(3), r.IntN(4)),
		"m.json":          jsonOf(r, 3),
		"m.yaml":          yamlOf(r, 2),
		"sub/m.json":      jsonOf(r, 1),
		"sub/params.yaml": yamlOf(r, 1),
		"vars.yaml":       fmt.Sprintf("vv:\n  one: %d\n  list: [1, %d]\n  unused: %d\n", r.IntN(3), r.IntN(3), r.IntN(3)),
		"mdir/a.json":     jsonOf(r, 1),
		"mdir/deep/b.yml": yamlOf(r, 1),
		"single.json":     fmt.Sprintf("0.%d\n", r.IntN(3)),
		"sub/dvc.yaml":    "metrics:\n- m.json\nparams:\n- ../extra.json\nstages:\n  deep:\n    cmd: echo\n    params: [a]\n",
	}
	if r.IntN(5) == 0 {
		files["m.json"] = "{broken"
	}
	if r.IntN(8) == 0 {
		files["conf.toml"] = "= broken"
	}
	dvcYAML := "vars: [vars.yaml]\nmetrics:\n- top.json\n- mdir\n- single.json\nparams:\n- conf.toml\nstages:\n  one:\n    cmd: echo ${vv.one} ${vv.list[1]}\n    params:\n    - a\n    - settings.py:\n      - LR\n      - Train.depth\n    metrics:\n    - m.json:\n        cache: false\n"
	if r.IntN(2) == 0 {
		dvcYAML += "  two:\n    cmd: echo\n    params:\n    - extra.json:\n    metrics:\n    - m.yaml:\n        cache: false\n"
	}
	if r.IntN(2) == 0 {
		files["top.json"] = jsonOf(r, 1)
	}
	files["dvc.yaml"] = dvcYAML
	return files
}

func randomNumber(r *rand.Rand) string {
	return []string{"0", "1", "-3", "12345678901234567890", "0.1", "1.0", "0.123456789", "1e-07", "1e+16", "123456.789012", "-0.00001234", "100000.0"}[r.IntN(12)]
}

// jsonOf gives a random JSON mapping.
func jsonOf(r *rand.Rand, depth int) string {
	var items []string
	for _, key := range []string{"a", "b", "acc", "loss", "Ünï", "x.y", "10"} {
		if r.IntN(3) == 0 {
			continue
		}
		value := randomNumber(r)
		switch r.IntN(10) {
		case 0:
			value = `"text"`
		case 1:
			value = "null"
		case 2:
			value = "true"
		case 3:
			value = "[1, 2.0, {\"q\": 3}]"
		case 4:
			value = []string{"NaN", "Infinity", "-Infinity"}[r.IntN(3)]
		case 5, 6:
			if depth > 0 {
				value = jsonOf(r, depth-1)
			}
		}
		items = append(items, fmt.Sprintf("%q: %s", key, value))
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// yamlOf gives a random YAML mapping.
func yamlOf(r *rand.Rand, depth int) string {
	text := strings.NewReplacer("NaN", ".nan", "-Infinity", "-.inf", "Infinity", ".inf", "1e-07", "1.0e-07", "1e+16", "1.0e+16").Replace(jsonOf(r, depth))
	return text + "\n"
}
