// Package ui is what a browser sees of a tracking server: MLflow's own
// interface where a copy of it is on the machine, else a page that is built
// into the program and needs neither a network nor Python.
//
// Choose finds out which one and gives an http.Handler for "/" and
// "/static-files/...", the two places that package server hands out. All data
// comes from the REST API beside it. Both interfaces have the same addresses:
// #/experiments/ID/runs and #/experiments/ID/runs/RUN.
package ui

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ctrx/internal/errs"
)

// Mode says which interface is wanted.
type Mode string

// The modes. Auto takes MLflow's interface of a tested version where there is
// one, and the built-in page else.
const (
	Auto    Mode = "auto"
	MLflow  Mode = "mlflow"
	Builtin Mode = "builtin"
)

// Options say where an interface is looked for.
type Options struct {
	Mode Mode                // "": Auto
	Dir  string              // a project: its .venv and venv are looked into; "": none
	Env  func(string) string // VIRTUAL_ENV, PATH, HOME and the like

	// Landing gives the id of the experiment that "/" shows.
	Landing func(context.Context) (string, error)
}

// UI is a chosen interface. It answers "/" and "/static-files/...".
type UI struct {
	http.Handler
	Name string // what it is: "MLflow 3.17.2 of FOLDER", "built-in page"
	Why  string // why it is not the one that could be expected; "" where it is
}

// Choose takes an interface. It runs no program but, where the python3 of PATH
// is a script that stands for another one, that python3.
func Choose(ctx context.Context, o Options) (*UI, error) {
	switch o.Mode {
	case Builtin:
		return builtin(o, "")
	case "", Auto, MLflow:
	default:
		return nil, errs.Hint(errs.New(errs.Usage, "no interface is called '%s'", o.Mode), "--ui auto, --ui mlflow or --ui builtin")
	}
	b, why := o.find(ctx)
	switch {
	case b != nil && (why == "" || o.Mode == MLflow):
		return &UI{Handler: &mlflowUI{dir: b.dir, landing: o.Landing}, Name: "MLflow " + b.version + " of " + b.from, Why: why}, nil
	case o.Mode == MLflow:
		return nil, errs.Hint(errs.New(errs.NotFound, "MLflow's interface is not on this machine: %s", why), "ctrx ui install")
	}
	return builtin(o, why)
}

// Policies for what a page may load and run. The built-in page is all files of
// this server. MLflow's has styles made by scripts, shows HTML artifacts in
// sandboxed frames, which run under the same policy, and compiles schemas;
// neither may talk to another server.
const (
	builtinPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	mlflowPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; frame-src 'self' blob: data:; " +
		"connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)

// allow refuses what is no reading. It tells whether the request may go on.
func allow(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "this is a page to read", http.StatusMethodNotAllowed)
	return false
}

// startScript answers the script that leads "/" to the runs of an experiment,
// with more lines before it. An address that names a page of the interface is
// left alone. It is made for each request, because the experiment may not exist
// before the first run.
func startScript(w http.ResponseWriter, r *http.Request, landing func(context.Context) (string, error), lines, query string) {
	id := "0"
	if landing != nil {
		if found, err := landing(r.Context()); err == nil && found != "" && strings.Trim(found, "0123456789") == "" {
			id = found
		}
	}
	w.Header().Set("Content-Type", contentType("start.js"))
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, fmt.Sprintf("%sif (!location.hash) location.replace(\"#/experiments/%s/runs%s\");\n", lines, id, query))
}
