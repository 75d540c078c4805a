// Package pyenv makes the Python virtual environments that stages run in.
//
// An environment belongs to what a file asks for and to the version of the
// interpreter: the first stage that needs it waits for it to be made, every
// later one finds it, whatever its file is called. It is usable only once its
// ready mark is written, so a killed installer leaves nothing that is mistaken
// for an environment.
//
// The file is a requirements file, a pyproject.toml (the dependencies of its
// [project], not the project itself) or a uv.lock. uv installs them where it is
// on PATH, else venv and pip; a uv.lock is for uv alone, so without one on PATH
// pip fetches it into an environment of its own.
package pyenv

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// Options says what environment is needed.
type Options struct {
	Dir    string     // folder that holds all environments; absolute
	File   string     // absolute path of the requirements file, pyproject.toml or uv.lock
	Extras []string   // optional dependencies of a project to install, too
	Env    []string   // environment of the installer
	NoUV   bool       // use pip even where uv is installed
	For    string     // what needs the environment, for messages; "" is a stage's meta.ctrx.python
	Sink   event.Sink // progress
}

// Environment is a ready virtual environment.
type Environment struct {
	Dir string // VIRTUAL_ENV
	Bin string // folder of its python
}

// lockWait bounds how long one process waits for another that makes the same
// environment.
const lockWait = time.Hour

// Ensure gives the environment for a file, making it if needed. A file that is
// missing is errs.NotFound, one that cannot be understood errs.ProjectFile with
// its position, an installer that fails errs.Failed with its last lines.
func Ensure(ctx context.Context, o Options) (Environment, error) {
	src, err := readSource(o)
	if err != nil {
		return Environment{}, err
	}
	python, version, err := interpreter(ctx, o)
	if err != nil {
		return Environment{}, err
	}
	if _, number, _ := strings.Cut(version, " "); !allows(src.python, number) {
		number, _, _ = strings.Cut(number, " ")
		return Environment{}, errs.Hint(errs.New(errs.NotFound, "%s asks for Python %s, and %s is %s", o.File, src.python, python, number),
			"put such a Python first on PATH, then repeat the command")
	}
	key := sha256.Sum256(bytes.Join([][]byte{[]byte("3"), []byte(version), src.content}, []byte{0}))
	return ensure(ctx, o, hex.EncodeToString(key[:8]), func(e Environment) error { return e.install(ctx, python, version, src, o) })
}

func newEnvironment(dir string) Environment {
	bin := "bin"
	if runtime.GOOS == "windows" {
		bin = "Scripts"
	}
	return Environment{Dir: dir, Bin: filepath.Join(dir, bin)}
}

func (e Environment) program(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(e.Bin, name)
}

// readyMark is the file that names the one environment in its folder that is
// whole.
const readyMark = "ready"

// ready gives the environment of a folder, if it is whole and the interpreter
// that it was made from is still there.
func ready(dir string) (Environment, bool) {
	name, err := os.ReadFile(filepath.Join(dir, readyMark))
	if err != nil || !filepath.IsLocal(string(name)) {
		return Environment{}, false
	}
	e := newEnvironment(filepath.Join(dir, string(name)))
	_, err = os.Stat(e.program("python"))
	return e, err == nil
}

// ensure gives the environment that key names, made by install if it is not
// ready. Of several processes one makes it and the others wait.
//
// Each try has a folder of its own: an installer that outlives a ctrx that was
// killed writes on, and must not write into the environment of the next try.
func ensure(ctx context.Context, o Options, key string, install func(Environment) error) (Environment, error) {
	dir := filepath.Join(o.Dir, key)
	if e, ok := ready(dir); ok {
		return e, nil
	}
	name := filepath.Join(dir, "lock")
	lock, err := fsx.TryLock(name)
	if _, busy := errors.AsType[*fsx.LockedError](err); busy {
		o.Sink.Send(event.Event{Type: event.Info, Text: fmt.Sprintf("Waiting for another process that makes the Python environment for %s", filepath.Base(o.File))})
		lock, err = fsx.Lock(ctx, name, lockWait)
	}
	if err != nil {
		return Environment{}, fmt.Errorf("wait for the Python environment %s: %w", dir, err)
	}
	defer lock.Unlock()
	if e, ok := ready(dir); ok { // another process was faster
		return e, nil
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "env-*")) // what killed processes left
	for _, d := range stale {
		_ = os.RemoveAll(d)
	}
	made, err := os.MkdirTemp(dir, "env-")
	if err == nil {
		err = os.Chmod(made, 0o755)
	}
	if err != nil {
		return Environment{}, fmt.Errorf("make Python environment: %w", fsx.FullDisk(err))
	}
	e := newEnvironment(made)
	if err := install(e); err != nil {
		_ = os.RemoveAll(made) // of no use to anybody
		return Environment{}, err
	}
	return e, fsx.WriteFile(filepath.Join(dir, readyMark), []byte(filepath.Base(made)), 0o666)
}

// Environ gives base with the environment first on PATH.
func (e Environment) Environ(base []string) []string {
	var out []string
	path := ""
	for _, kv := range base {
		switch k, v, _ := strings.Cut(kv, "="); strings.ToUpper(k) {
		case "PATH":
			path = v
		case "PYTHONHOME", "VIRTUAL_ENV":
		default:
			out = append(out, kv)
		}
	}
	return append(out, "PATH="+e.Bin+string(os.PathListSeparator)+path, "VIRTUAL_ENV="+e.Dir)
}

// interpreter finds Python 3 and its version.
func interpreter(ctx context.Context, o Options) (path, version string, err error) {
	for _, name := range []string{"python3", "python"} {
		found, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, found, "-c", "import sys; print(sys.implementation.cache_tag, sys.version.split()[0], sys.prefix)")
		cmd.Env = o.Env
		if out, err := cmd.Output(); err == nil && bytes.Contains(out, []byte(" 3.")) {
			return found, strings.TrimSpace(string(out)), nil
		}
	}
	if ctx.Err() != nil {
		return "", "", context.Cause(ctx)
	}
	return "", "", errs.Hint(errs.New(errs.NotFound, "no Python 3 on PATH, but %s needs one", cmp.Or(o.For, "a stage (meta.ctrx.python)")), "install Python 3.10 or newer, then repeat the command")
}

// install fills an empty environment.
func (e Environment) install(ctx context.Context, python, version string, src source, o Options) error {
	uv := ""
	if found, err := exec.LookPath("uv"); err == nil && !o.NoUV {
		uv = found
	}
	if src.kind == uvLock && uv == "" {
		if o.NoUV {
			return errs.Hint(errs.New(errs.ProjectFile, "%s is for uv, and ctrx.yaml forbids it (python.uv: never)", o.File), "name a requirements file in meta.ctrx.python, or set python.uv to auto")
		}
		helper, err := uvEnvironment(ctx, python, version, o)
		if err != nil {
			return err
		}
		uv = helper.program("uv")
	}
	installer := "uv"
	if uv == "" {
		installer = "pip"
		if src.uvOnly != "" {
			return errs.Hint(errs.New(errs.ProjectFile, "%s: %s, which only uv understands", o.File, src.uvOnly), "install uv, then repeat the command")
		}
	}
	e.announce(filepath.Base(o.File), installer, o)
	for _, s := range src.steps(ctx, e, uv, python, o) {
		if err := s.run(ctx, filepath.Dir(o.File), o); err != nil {
			return err
		}
	}
	return nil
}

func (e Environment) announce(what, installer string, o Options) {
	o.Sink.Send(event.Event{Type: event.Info, Text: fmt.Sprintf("Making the Python environment for %s with %s (once; kept in %s)", what, installer, e.Dir)})
}

// uvEnvironment gives an environment that holds uv itself.
func uvEnvironment(ctx context.Context, python, version string, o Options) (Environment, error) {
	sum := sha256.Sum256([]byte(version))
	env, err := ensure(ctx, o, "uv-"+hex.EncodeToString(sum[:4]), func(e Environment) error {
		e.announce("uv itself", "pip", o)
		venv, pip := e.pip(ctx, python, o)
		for _, argv := range [][]string{venv, append(pip, "uv")} {
			if err := (step{argv: argv}).run(ctx, filepath.Dir(o.File), o); err != nil {
				return err
			}
		}
		return nil
	})
	if errs.KindOf(err) == errs.Failed {
		err = errs.Hint(err, "install uv yourself (%s needs it), then repeat the command", filepath.Base(o.File))
	}
	return env, err
}

// pipVersion finds the version in what pip says of itself.
var pipVersion = regexp.MustCompile(`^pip (\d+)\.(\d+)`)

// pip gives the command that makes an empty environment and the one that
// installs into it. A pip of the interpreter that can install into another
// environment (22.3 and newer) saves the seconds that it takes to put one into
// the new environment, and serves where Python comes without ensurepip.
func (e Environment) pip(ctx context.Context, python string, o Options) (venv, install []string) {
	venv = []string{python, "-m", "venv", e.Dir}
	install = []string{e.program("python"), "-m", "pip"}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "--version")
	cmd.Env = installerEnv(o.Env)
	if out, err := cmd.Output(); err == nil {
		if m := pipVersion.FindSubmatch(out); m != nil {
			major, _ := strconv.Atoi(string(m[1]))
			minor, _ := strconv.Atoi(string(m[2]))
			if major > 22 || major == 22 && minor >= 3 {
				venv = []string{python, "-m", "venv", "--without-pip", e.Dir}
				install = []string{python, "-m", "pip", "--python", e.program("python")}
			}
		}
	}
	return venv, append(install, "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
}

// steps are the commands that make the environment. uv is its path, or "" for
// pip.
func (src source) steps(ctx context.Context, e Environment, uv, python string, o Options) []step {
	var extras []string
	for _, x := range o.Extras {
		extras = append(extras, "--extra", x)
	}
	if src.kind == uvLock {
		return []step{{
			argv: slices.Concat([]string{uv, "sync", "--frozen", "--no-install-workspace", "--no-dev", "--python", python}, extras),
			env:  []string{"UV_PROJECT_ENVIRONMENT=" + e.Dir, "UV_NO_DEFAULT_GROUPS=1"},
		}}
	}
	if uv != "" {
		return []step{
			{argv: []string{uv, "venv", "--python", python, e.Dir}},
			{argv: slices.Concat([]string{uv, "pip", "install", "--python", e.program("python"), "-r", o.File}, extras)},
		}
	}
	venv, pip := e.pip(ctx, python, o)
	file := o.File
	if src.kind == pyProject {
		file = filepath.Join(e.Dir, "requirements.txt")
	}
	return []step{{argv: venv}, {argv: append(pip, "-r", file), requirements: src.requirements}}
}
