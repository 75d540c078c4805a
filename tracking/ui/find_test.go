package ui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t testing.TB, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

const index = `<!doctype html><html><head><script defer src="static-files/static/js/main.1.js"></script></head><body></body></html>`

// packageAt makes an mlflow package with an interface in a folder of packages.
func packageAt(t testing.TB, site, version string) {
	t.Helper()
	write(t, filepath.Join(site, "mlflow", "version.py"), "import re\n\nVERSION: str = \""+version+"\"\nIS_TRACING = False\n", 0o666)
	write(t, filepath.Join(site, "mlflow", "server", "js", "build", "index.html"), index, 0o666)
}

func TestChoose(t *testing.T) {
	const site = "lib/python3.12/site-packages"
	for _, c := range []struct {
		name      string
		mode      Mode
		packages  map[string]string // version of the mlflow in a folder of packages
		installed []string          // copies in the cache
		env       map[string]string // ~ is the test's folder
		want      string            // in the name
		why       string            // in why
		err       string
	}{
		{name: "nothing there", want: "built-in", why: "no Python environment here has MLflow"},
		{name: "nothing there, but wanted", mode: MLflow, err: "is not on this machine"},
		{name: "active environment", packages: map[string]string{"env/" + site: "3.17.2"}, env: map[string]string{"VIRTUAL_ENV": "~/env"}, want: "MLflow 3.17.2"},
		{name: "built-in is wanted", mode: Builtin, packages: map[string]string{"env/" + site: "3.17.2"}, env: map[string]string{"VIRTUAL_ENV": "~/env"}, want: "built-in"},
		{name: "the project's environment", packages: map[string]string{"project/.venv/" + site: "3.16.0"}, want: "MLflow 3.16.0"},
		{name: "Windows has another layout", packages: map[string]string{"project/venv/Lib/site-packages": "3.16.0"}, want: "MLflow 3.16.0"},
		{name: "beside python3 on PATH", packages: map[string]string{"usr/lib/python3/dist-packages": "3.14.1"}, env: map[string]string{"PATH": "~/usr/bin"}, want: "MLflow 3.14.1"},
		{name: "of the user", packages: map[string]string{"home/.local/" + site: "3.12.0"}, want: "MLflow 3.12.0"},
		{name: "too old", packages: map[string]string{"project/venv/" + site: "2.9.2"}, want: "built-in", why: "MLflow 2.9.2 of "},
		{name: "too old, but wanted", mode: MLflow, packages: map[string]string{"project/venv/" + site: "2.9.2"}, want: "MLflow 2.9.2", why: "is not one of the versions 3.12 to 3.18"},
		{name: "too new, and a tested copy", packages: map[string]string{"project/venv/" + site: "4.0.0"}, installed: []string{"3.13.0", "3.17.2", "3.9.0"}, want: "MLflow 3.17.2"},
		{name: "an installed copy", installed: []string{"3.9.10", "3.15.0"}, want: "MLflow 3.15.0"},
		{name: "a release candidate", packages: map[string]string{"project/venv/" + site: "3.18.0rc1"}, want: "MLflow 3.18.0rc1"},
		{name: "an unknown mode", mode: "fancy", err: "no interface is called 'fancy'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "usr", "bin", "python3"), "\x7fELF", 0o777)
			for at, version := range c.packages {
				packageAt(t, filepath.Join(dir, filepath.FromSlash(at)), version)
			}
			env := func(name string) string {
				if name == "HOME" {
					return filepath.Join(dir, "home")
				}
				return strings.ReplaceAll(c.env[name], "~", dir)
			}
			for _, v := range c.installed {
				write(t, filepath.Join(CacheDir(env), v, "index.html"), index, 0o666)
			}
			u, err := Choose(t.Context(), Options{Mode: c.mode, Dir: filepath.Join(dir, "project"), Env: env})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(u.Name, c.want) || !strings.Contains(u.Why, c.why) || c.why == "" && u.Why != "" {
				t.Errorf("%q because %q, want %q because %q", u.Name, u.Why, c.want, c.why)
			}
		})
	}
}

// A package without an interface, such as mlflow-skinny, is passed over.
func TestSkinny(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "venv", "lib", "python3.12", "site-packages", "mlflow", "version.py"), `VERSION: str = "3.17.2"`, 0o666)
	packageAt(t, filepath.Join(dir, "home", ".local", "lib", "python3.12", "site-packages"), "3.16.0")
	env := func(name string) string { return map[string]string{"HOME": filepath.Join(dir, "home")}[name] }
	b, why := Options{Dir: dir, Env: env}.find(t.Context())
	if b == nil || b.version != "3.16.0" {
		t.Errorf("found %v, %s", b, why)
	}
}
