package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// mlflowUI serves a folder with MLflow's built interface.
type mlflowUI struct {
	packed
	dir     string
	landing func(context.Context) (string, error)
}

// trainingView is what makes MLflow 3 show runs and not traces. A browser that
// comes for the first time is told so for the addresses without it as well, and
// that the panel of the assistant, which this server does not have, was opened
// before; what its user chooses later stays.
const (
	trainingView = "?workflowType=machine_learning"
	firstVisit   = `try {
  for (const [key, value] of [["mlflow.workflowType_v1", '"machine_learning"'], ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"]]) {
    if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
  }
} catch { /* a browser that keeps nothing */ }
`
)

// ServeHTTP implements http.Handler. The files are read anew for each request:
// the environment that they belong to may be upgraded meanwhile.
func (m *mlflowUI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r) {
		return
	}
	w.Header().Set("Content-Security-Policy", mlflowPolicy)
	name, ok := strings.CutPrefix(r.URL.Path, "/static-files/")
	switch {
	case r.URL.Path == "/":
		name = "index.html"
	case !ok:
		http.NotFound(w, r)
		return
	case name == "start.js":
		startScript(w, r, m.landing, firstVisit, trainingView)
		return
	}
	if err := m.send(w, r, name); errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
	} else if err != nil {
		http.Error(w, "this file of MLflow's interface cannot be read", http.StatusInternalServerError)
	}
}

func (m *mlflowUI) send(w http.ResponseWriter, r *http.Request, name string) error {
	name = filepath.FromSlash(name)
	if !filepath.IsLocal(name) {
		return fs.ErrNotExist
	}
	// Below a root, so that no link leads out of the folder.
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	cache := asking
	if strings.HasPrefix(filepath.ToSlash(name), "static/") { // these names carry a hash of the content
		cache = forever
	}
	w.Header().Set("Cache-Control", cache)
	if name == "index.html" {
		data = withStart(data)
	}
	m.sendFile(w, r, name, info.ModTime(), data)
	return nil
}

// withStart puts the script that leads to the runs before all others.
func withStart(index []byte) []byte {
	at := bytes.Index(index, []byte("<script"))
	if at < 0 {
		return index
	}
	const script = `<script src="static-files/start.js"></script>`
	return append(append(append([]byte{}, index[:at]...), script...), index[at:]...)
}
