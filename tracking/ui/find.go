package ui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The versions of MLflow whose interface was tried on this server, first and
// last, by major and minor number.
// Older ones show errors with it (3.11 and 3.10 on a comparison with a run that
// has no artifacts, 3.8 on every list).
var oldest, newest = [2]int{3, 12}, [2]int{3, 18}

// Version is the one that is installed where none is named.
const Version = "3.17.2"

// build is a folder with MLflow's built interface.
type build struct {
	dir     string
	version string
	from    string // where it was found, for the user
}

// inPackage is the place of the built interface inside the package.
var inPackage = filepath.Join("server", "js", "build")

// find looks for MLflow's interface: in the Python environments that the user
// would start `mlflow ui` from, then among the copies that Install made. Where
// none is of a tested version it says why, with the first one that is there.
func (o Options) find(ctx context.Context) (b *build, why string) {
	var all []*build
	for _, dir := range o.sitePackages() {
		all = append(all, packaged(filepath.Join(dir, "mlflow")))
	}
	if len(all) == 0 || !slices.ContainsFunc(all, func(b *build) bool { return b != nil }) {
		all = append(all, o.askPython(ctx))
	}
	all = append(all, installed(CacheDir(o.Env))...)
	all = slices.DeleteFunc(all, func(b *build) bool { return b == nil })
	for _, b := range all {
		if tested(b.version) {
			return b, ""
		}
	}
	span := fmt.Sprintf("%d.%d to %d.%d", oldest[0], oldest[1], newest[0], newest[1])
	if len(all) > 0 {
		return all[0], fmt.Sprintf("MLflow %s of %s is not one of the versions %s that were tested; `ctrx ui install` fetches one", all[0].version, all[0].from, span)
	}
	return nil, "no Python environment here has MLflow " + span + "; `ctrx ui install` fetches its interface"
}

func tested(version string) bool {
	v, ok := number(version)
	return ok && slices.Compare(v[:], oldest[:]) >= 0 && slices.Compare(v[:], newest[:]) <= 0
}

// number reads major and minor of a version.
func number(version string) ([2]int, bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return [2]int{}, false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return [2]int{major, minor}, err1 == nil && err2 == nil
}

// packaged gives the interface of an installed package, nil where it has none:
// mlflow-skinny has not.
func packaged(dir string) *build {
	b := &build{dir: filepath.Join(dir, inPackage), from: dir}
	if !isFile(filepath.Join(b.dir, "index.html")) {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "version.py"))
	if err != nil {
		return nil
	}
	found := regexp.MustCompile(`(?m)^VERSION\s*(?::[^=]*)?=\s*["']([0-9][^"']*)["']`).FindSubmatch(text)
	if found == nil {
		return nil
	}
	b.version = string(found[1])
	return b
}

// sitePackages are the folders of installed packages, best first: those of the
// active environment, of the project's own, of the mlflow and python3 on PATH,
// and of the user.
func (o Options) sitePackages() []string {
	var dirs []string
	prefix := func(p string) {
		for _, pattern := range []string{
			"lib/python3*/site-packages", "lib64/python3*/site-packages", "Lib/site-packages",
			"lib/python3/dist-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages",
		} {
			found, _ := filepath.Glob(filepath.Join(escapeGlob(p), filepath.FromSlash(pattern)))
			slices.Reverse(found) // of two Pythons the newer one, roughly
			for _, dir := range found {
				if !slices.Contains(dirs, dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	if env := o.Env("VIRTUAL_ENV"); env != "" {
		prefix(env)
	}
	if env := o.Env("CONDA_PREFIX"); env != "" {
		prefix(env)
	}
	for _, name := range []string{".venv", "venv"} {
		if o.Dir != "" {
			prefix(filepath.Join(o.Dir, name))
		}
	}
	for _, name := range []string{"mlflow", "python3", "python"} {
		program := o.program(name)
		if program == "" {
			continue
		}
		// A python in a virtual environment is a link out of it: its place
		// counts. An mlflow that a tool installed is a link into one.
		prefix(above(program))
		if real, err := filepath.EvalSymlinks(program); err == nil {
			prefix(above(real))
		}
	}
	if home := o.Env("HOME"); home != "" {
		prefix(filepath.Join(home, ".local"))
	}
	return dirs
}

// above gives PREFIX of PREFIX/bin/python3, or of PREFIX\python.exe.
func above(program string) string {
	dir := filepath.Dir(program)
	switch strings.ToLower(filepath.Base(dir)) {
	case "bin", "scripts":
		return filepath.Dir(dir)
	}
	return dir
}

func escapeGlob(p string) string {
	if runtime.GOOS == "windows" {
		return p
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// program looks a name up on the PATH of the environment; "" where it is not.
func (o Options) program(name string) string {
	for _, dir := range filepath.SplitList(o.Env("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // never a program of the folder we happen to be in
		}
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	return ""
}

// askPython asks the python3 of PATH where its MLflow is, if python3 is a
// script: that of a version manager, whose place tells nothing.
func (o Options) askPython(ctx context.Context) *build {
	python := o.program("python3")
	if python == "" || !isScript(python) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	const script = "import importlib.util as u; s = u.find_spec('mlflow'); print(s.origin if s and s.origin else '')"
	cmd := exec.CommandContext(ctx, python, "-c", script)
	cmd.Dir = o.Dir
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	file := string(bytes.TrimSpace(out))
	if err != nil || !filepath.IsAbs(file) {
		return nil
	}
	return packaged(filepath.Dir(file))
}

func isScript(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [2]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "#!"
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// CacheDir is where copies of MLflow's interface are kept for a user; "" where
// the environment names no home.
func CacheDir(env func(string) string) string {
	for _, at := range []struct{ dir, below string }{{env("XDG_CACHE_HOME"), "ctrx"}, {env("LOCALAPPDATA"), "ctrx"}, {env("HOME"), filepath.Join(".cache", "ctrx")}} {
		if at.dir != "" {
			return filepath.Join(at.dir, at.below, "mlflow-ui")
		}
	}
	return ""
}

// installed gives the copies below a cache folder, the newest version first.
func installed(cache string) []*build {
	if cache == "" {
		return nil
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		return nil
	}
	var out []*build
	for _, e := range entries {
		dir := filepath.Join(cache, e.Name())
		if _, ok := number(e.Name()); ok && isFile(filepath.Join(dir, "index.html")) {
			out = append(out, &build{dir: dir, version: e.Name(), from: dir})
		}
	}
	slices.SortFunc(out, func(a, b *build) int { return compareVersions(b.version, a.version) })
	return out
}

// compareVersions compares number by number; what is no number counts as less.
func compareVersions(a, b string) int {
	split := func(v string) []int {
		var out []int
		for part := range strings.SplitSeq(v, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				n = -1
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(split(a), split(b))
}
