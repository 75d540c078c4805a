package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"ctrx/pipeline/dvcfile"
	"ctrx/pipeline/pyenv"
)

// stageEnv is the environment of a stage's commands: the user's own, what the
// caller adds, DVC's variables, and the Python environment that the stage asks
// for in meta.ctrx.python. While that is made the repository lock is given
// back.
func (w worker) stageEnv(ctx context.Context, s *Stage) ([]string, error) {
	p := w.p
	env := slices.Concat(p.env, w.o.Env)
	if lookup(env)("DVC_ROOT") == "" {
		env = append(env, "DVC_ROOT="+p.Root)
	}
	env = append(env, "DVC_STAGE="+s.Address(p.Dir))
	wants, err := s.python()
	if err != nil || wants.file == "" {
		return env, err
	}
	rel := resolveRel(s.WDir, wants.file)
	if !slices.ContainsFunc(s.Deps, func(d *Dependency) bool { return d.Rel == rel }) {
		p.Warn("%s: stage '%s' runs in an environment made from %s, which is not among its deps: a change of it will not run the stage again", s.Pos, s.Address(p.Dir), wants.file)
	}
	w.lock.leave()
	python, err := pyenv.Ensure(ctx, pyenv.Options{
		Dir:    filepath.Join(p.shared, "envs"),
		File:   p.Abs(rel),
		Extras: wants.extras,
		Env:    p.env,
		NoUV:   p.Ctrx.Python.UV == "never",
		Sink:   p.sink,
	})
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := errors.Join(err, w.lock.join(again)); err != nil {
		return nil, fmt.Errorf("%s: stage '%s': %w", s.Pos, s.Address(p.Dir), err)
	}
	return python.Environ(env), nil
}

// pythonWants is meta.ctrx.python of a stage:
//
//	python: requirements.txt
//	python: {file: pyproject.toml, extras: [gpu]}
type pythonWants struct {
	file   string // relative to the stage's folder; "" when the stage wants none
	extras []string
}

func (s *Stage) python() (w pythonWants, err error) {
	own, err := s.ownMeta()
	if own == nil || err != nil {
		return w, err
	}
	v, ok := own.Get("python")
	if !ok {
		return w, nil
	}
	var wrong error = s.wrongMeta("python", v, "the path of a requirements file, pyproject.toml or uv.lock, or {file: pyproject.toml, extras: [...]}")
	m, ok := v.(*dvcfile.Map)
	if !ok {
		if w.file, _ = v.(string); w.file == "" {
			return w, wrong
		}
		return w, nil
	}
	for _, key := range m.Keys() {
		v, _ := m.Get(key)
		switch key {
		case "file":
			w.file, _ = v.(string)
		case "extras":
			list, ok := v.([]dvcfile.Value)
			for _, item := range list {
				name, isText := item.(string)
				ok = ok && isText && name != ""
				w.extras = append(w.extras, name)
			}
			if !ok {
				return w, wrong
			}
		default:
			return w, wrong
		}
	}
	if w.file == "" {
		return w, wrong
	}
	return w, nil
}
