//go:build unix

package pyenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// folderOf makes an environment and gives its folder.
func folderOf(t *testing.T, o Options) string {
	t.Helper()
	env, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return env.Dir
}

// What a requirements file includes counts for its environment.
func TestIncludedFiles(t *testing.T) {
	o, _ := machine(t, "# all of it\n-r sub/more.txt  # and more\n--constraint=limits.txt\n-r https://example.com/r.txt\n")
	dir := filepath.Dir(o.File)
	write(t, filepath.Join(dir, "sub", "more.txt"), "-r ${WHICH}.txt\n-r ../requirements.txt\n", 0o644)
	write(t, filepath.Join(dir, "sub", "deep.txt"), "one\n", 0o644)
	write(t, filepath.Join(dir, "limits.txt"), "one<2\n", 0o644)
	o.Env = append(o.Env, "WHICH=deep")
	seen := map[string]string{folderOf(t, o): "at first"}
	for _, change := range []string{"sub/deep.txt", "limits.txt"} {
		write(t, filepath.Join(dir, change), "two\n", 0o644)
		got := folderOf(t, o)
		if before := seen[got]; before != "" {
			t.Errorf("after a change of %s the environment is that %s", change, before)
		}
		seen[got] = "after " + change
	}
	if err := os.Remove(filepath.Join(dir, "limits.txt")); err != nil {
		t.Fatal(err)
	}
	_, err := Ensure(t.Context(), o)
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "requirements.txt:3:1: --constraint=limits.txt: open ") {
		t.Errorf("missing file: %v", err)
	}
}

// Files that ask for the same share an environment, whatever they are called
// and wherever they are; a path means something else in another folder.
func TestShared(t *testing.T) {
	for _, c := range []struct {
		text   string
		shared bool
	}{
		{"one==1\ntwo @ https://example.com/two.whl\n", true},
		{"./pkg\n", false},
		{"-e pkg/\n", false},
		{"--find-links wheels/\none\n", false},
		{"--find-links https://example.com/wheels\none\n", true},
	} {
		o, _ := machine(t, c.text)
		other := o
		other.File = filepath.Join(filepath.Dir(o.File), "sub", "base.txt")
		write(t, other.File, c.text, 0o644)
		if got := folderOf(t, o) == folderOf(t, other); got != c.shared {
			t.Errorf("%q: shared %v, want %v", c.text, got, c.shared)
		}
	}
}

// A local wheel that was built again makes another environment.
func TestLocalFile(t *testing.T) {
	o, _ := machine(t, "./one.whl\n")
	wheel := filepath.Join(filepath.Dir(o.File), "one.whl")
	write(t, wheel, "1", 0o644)
	first := folderOf(t, o)
	write(t, wheel, "2", 0o644)
	if folderOf(t, o) == first {
		t.Error("the environment of the old wheel was taken")
	}
}

const pyproject = `[project]
name = "My.Project"
version = "1"
dependencies = ["one>=1", "two[x]; python_version > '3'"]
[project.optional-dependencies]
gpu = ["cuda"]
all = ["my-project[gpu, plots]", "other"]
plots = ["plot", "my_project[all]"]
`

func TestProjectDependencies(t *testing.T) {
	for _, c := range []struct {
		name, text string
		extras     []string
		want       string // what pip installs, or
		fails      string
		hint       string
	}{
		{name: "dependencies", text: pyproject, want: "one>=1|two[x]; python_version > '3'"},
		{name: "extra", text: pyproject, extras: []string{"GPU"}, want: "one>=1|two[x]; python_version > '3'|cuda"},
		{name: "extras of itself", text: pyproject, extras: []string{"all"}, want: "one>=1|two[x]; python_version > '3'|other|cuda|plot"},
		{name: "none", text: "[project]\nname='x'\n", want: ""},
		{name: "unknown extra", text: pyproject, extras: []string{"cpu"}, fails: `pyproject.toml:1:1: [project.optional-dependencies] has no "cpu"; it has: all, gpu, plots`},
		{name: "dynamic", text: "[project]\nname='x'\ndynamic=['dependencies']\n", fails: "dependencies are dynamic"},
		{name: "syntax", text: "[project]\nname = \n", fails: "pyproject.toml:2:8: "},
		{name: "type", text: "[project]\ndependencies = 'one'\n", fails: "pyproject.toml:2:16: "},
		{name: "no project", text: "[tool.x]\n", fails: "there is no [project]"},
		{name: "poetry", text: "[tool.poetry]\nname='x'\n", fails: "there is no [project]", hint: "poetry export"},
		{name: "sources of uv", text: "[project]\nname='x'\n[tool.uv.sources]\none={path='one'}\n", fails: "[tool.uv.sources], which only uv understands", hint: "install uv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, log := machine(t, "")
			o.File, o.Extras = filepath.Join(filepath.Dir(o.File), "pyproject.toml"), c.extras
			write(t, o.File, c.text, 0o644)
			_, err := Ensure(t.Context(), o)
			if c.fails != "" {
				if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), c.fails) || !strings.Contains(errs.HintOf(err), c.hint) {
					t.Errorf("error %v (hint: %s), want %s (hint: %s)", err, errs.HintOf(err), c.fails, c.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(string(data)) {
				if r, ok := strings.CutPrefix(line, "installs "); ok && r != "\n" {
					got = append(got, strings.TrimSpace(r))
				}
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("installed %q, want %q", got, c.want)
			}
		})
	}
}

// A new version of the project itself leaves its environment alone.
func TestProjectVersion(t *testing.T) {
	o, _ := machine(t, "")
	o.File = filepath.Join(filepath.Dir(o.File), "pyproject.toml")
	write(t, o.File, pyproject, 0o644)
	first := folderOf(t, o)
	write(t, o.File, strings.Replace(pyproject, `version = "1"`, `version = "2"`, 1), 0o644)
	if folderOf(t, o) != first {
		t.Error("the version of the project counts")
	}
	o.Extras = []string{"gpu"}
	if folderOf(t, o) == first {
		t.Error("the extras do not count")
	}
}

func TestRequiresPython(t *testing.T) {
	for _, c := range []struct {
		spec, version string
		want          bool
	}{
		{"", "3.11.7", true}, {">=3.10", "3.11.7", true}, {">=3.12", "3.11.7", false}, {">=3.10, <3.14", "3.14.0", false},
		{"<=3.11", "3.11.7", false}, {">3.11", "3.11.7", true}, {"==3.11.*", "3.11.7", true}, {"==3.11", "3.11.7", false}, {"==3.11", "3.11.0", true},
		{"!=3.11.*", "3.11.7", false}, {"!=3.11.6", "3.11.7", true}, {"~=3.10", "3.11.7", true}, {"~=3.10.2", "3.11.7", false}, {"~=3.12", "3.11.7", false},
		{">=3.13", "3.13.0rc1", true}, {"===3.9", "3.11.7", true}, {">=3.11.0a1", "3.11.7", true},
	} {
		if got := allows(c.spec, c.version); got != c.want {
			t.Errorf("%s allows %s: %v", c.spec, c.version, got)
		}
	}
	o, log := machine(t, "")
	o.File = filepath.Join(filepath.Dir(o.File), "pyproject.toml")
	write(t, o.File, "[project]\nname='x'\nrequires-python='>=3.12'\n", 0o644)
	_, err := Ensure(t.Context(), o)
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "asks for Python >=3.12, and ") || !strings.HasSuffix(err.Error(), " is 3.11.0") {
		t.Errorf("error %v", err)
	}
	if n := installs(t, log); n != 0 {
		t.Errorf("%d installations, want none", n)
	}
}

func TestLockOfUV(t *testing.T) {
	machineWithLock := func(t *testing.T) (Options, string) {
		o, log := machine(t, "")
		dir := filepath.Dir(o.File)
		o.File, o.NoUV = filepath.Join(dir, "uv.lock"), false
		write(t, o.File, "version = 1\n", 0o644)
		write(t, filepath.Join(dir, "pyproject.toml"), pyproject, 0o644)
		return o, log
	}
	t.Run("uv on PATH", func(t *testing.T) {
		o, log := machineWithLock(t)
		write(t, filepath.Join(filepath.Dir(o.File), "bin", "uv"), fakePython, 0o755)
		o.Extras = []string{"gpu"}
		folderOf(t, o)
		if n := installs(t, log); n != 1 {
			t.Errorf("%d installations, want 1", n)
		}
		if data, _ := os.ReadFile(log); !strings.Contains(string(data), "sync --frozen ") || !strings.Contains(string(data), "--extra gpu") {
			t.Errorf("calls:\n%s", data)
		}
	})
	for _, pip := range []string{"22.2", "23.0"} {
		t.Run("uv fetched once by pip "+pip, func(t *testing.T) {
			o, log := machineWithLock(t)
			o.Env = append(o.Env, "PIP="+pip)
			folderOf(t, o)
			write(t, o.File, "version = 1\n# other\n", 0o644)
			folderOf(t, o)
			if n := installs(t, log); n != 3 { // uv itself, two environments
				t.Errorf("%d installations, want 3", n)
			}
		})
	}
	t.Run("uv forbidden", func(t *testing.T) {
		o, _ := machineWithLock(t)
		o.NoUV = true
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "python.uv: never") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no project", func(t *testing.T) {
		o, _ := machineWithLock(t)
		if err := os.Remove(filepath.Join(filepath.Dir(o.File), "pyproject.toml")); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.NotFound {
			t.Errorf("error %v", err)
		}
	})
}

func TestOtherFiles(t *testing.T) {
	o, _ := machine(t, "one\n")
	o.Extras = []string{"x"}
	if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "has no extras") {
		t.Errorf("extras of a requirements file: %v", err)
	}
	o.Extras = nil
	o.File = filepath.Join(filepath.Dir(o.File), "poetry.lock")
	write(t, o.File, "", 0o644)
	if _, err := Ensure(t.Context(), o); errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "knows no other") {
		t.Errorf("poetry.lock: %v", err)
	}
}
