package sweep

import (
	"context"
	_ "embed" // the Optuna driver
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/pipeline/pyenv"
)

// optimiser picks the values of trials. Trials are numbered from 1.
type optimiser interface {
	// ask gives the values of a trial, in the order of the axes; ok is false
	// when there are no more. It may be asked again before it is told.
	ask(ctx context.Context, trial int) (set []dvcfile.Override, ok bool, err error)
	// tell says what became of a trial: its value, or why it failed.
	tell(ctx context.Context, trial int, value *float64, failed string) error
	close() error
}

// The methods that are programs of their own.
const (
	methodTPE    = "tpe"
	optunaPrefix = "optuna:"
	execPrefix   = "exec:"
)

func checkMethod(method string) error {
	switch method {
	case methodGrid, methodRandom, methodHalton, methodLHS, methodTPE:
		return nil
	case "":
		return errs.Hint(errs.New(errs.Usage, "--method is missing"), "--method random; there are grid, random, halton, lhs, tpe, optuna:SAMPLER and exec:COMMAND")
	}
	for _, prefix := range []string{optunaPrefix, execPrefix} {
		if rest, ok := strings.CutPrefix(method, prefix); ok && strings.TrimSpace(rest) != "" {
			return nil
		}
	}
	return unknownMethod(method)
}

// newOptimiser makes the optimiser of the plan; history is what came before.
func (s *sweeper) newOptimiser(ctx context.Context, history []past) (optimiser, error) {
	method := s.plan.Method
	var c command
	options := map[string]string{}
	switch {
	case method == methodTPE, strings.HasPrefix(method, optunaPrefix):
		options["sampler"] = "TPESampler"
		if name, ok := strings.CutPrefix(method, optunaPrefix); ok {
			options["sampler"] = name
		}
		var err error
		c, err = optunaCommand(ctx, filepath.Join(s.p.SharedDir(), "optuna"), pyenv.Options{
			Dir: filepath.Join(s.p.SharedDir(), "envs"), For: "--method " + method, Env: s.o.Env, NoUV: s.p.Ctrx.Python.UV == "never", Sink: s.o.Sink,
		})
		if err != nil {
			return nil, err
		}
	case strings.HasPrefix(method, execPrefix):
		text := strings.TrimPrefix(method, execPrefix)
		c = command{name: "`" + text + "`", argv: []string{"/bin/sh", "-c", text}, dir: s.p.Abs(s.plan.Dir), env: s.o.Env}
		if runtime.GOOS == "windows" {
			c.argv = []string{"cmd", "/c", text}
		}
	default:
		sets, err := points(method, s.space, s.plan.Trials, s.plan.Seed)
		return listed{sets}, err
	}
	direction := "maximize"
	if s.plan.Direction == Minimize {
		direction = "minimize"
	}
	a, err := greet(ctx, c, defaultLimits(), hello{
		Sweep: s.plan.Name, Direction: direction, Seed: s.plan.Seed, Trials: s.plan.Trials, Parallel: max(s.o.Jobs, 1),
		History: history, Options: options,
	}, s.space)
	if err != nil {
		return nil, err
	}
	s.p.Info("Optimiser: %s", a.program.name)
	return a, nil
}

//go:embed optuna/driver.py
var optunaDriver []byte

//go:embed optuna/requirements.txt
var optunaRequirements []byte

// optunaCommand writes Optuna's driver and requirements into a folder, makes the
// Python environment for them where it is not there yet, and gives the command
// that starts the driver in it. o says all about the environment but its file.
func optunaCommand(ctx context.Context, dir string, o pyenv.Options) (command, error) {
	driver := filepath.Join(dir, "driver.py")
	o.File = filepath.Join(dir, "optuna.txt")
	for file, content := range map[string][]byte{driver: optunaDriver, o.File: optunaRequirements} {
		if old, err := os.ReadFile(file); err == nil && string(old) == string(content) {
			continue
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return command{}, fsx.FullDisk(err)
		}
		if err := fsx.WriteFile(file, content, 0o666); err != nil {
			return command{}, err
		}
	}
	env, err := pyenv.Ensure(ctx, o)
	if err != nil {
		return command{}, err
	}
	python := filepath.Join(env.Bin, "python")
	if runtime.GOOS == "windows" {
		python += ".exe"
	}
	// -I: what lies about in the user's folders is not imported.
	return command{name: "Optuna", argv: []string{python, "-I", driver}, dir: dir, env: env.Environ(o.Env)}, nil
}
