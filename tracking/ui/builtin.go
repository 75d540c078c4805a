package ui

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed page
var pageFiles embed.FS

// builtinUI serves the page that is part of the program. Its files lie below
// an address that names their content, so that browsers keep them until the
// program changes, and modules that belong together are never mixed.
type builtinUI struct {
	packed
	files   map[string][]byte // by name below page/
	index   []byte
	base    string // static-files/ctrx-HASH/
	landing func(context.Context) (string, error)
}

func builtin(o Options, why string) (*UI, error) {
	b := &builtinUI{files: map[string][]byte{}, landing: o.Landing}
	sum := sha256.New()
	err := fs.WalkDir(pageFiles, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := pageFiles.ReadFile(name)
		b.files[strings.TrimPrefix(name, "page/")] = data
		fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the built-in page: %w", err)
	}
	b.base = "static-files/ctrx-" + hex.EncodeToString(sum.Sum(nil))[:12] + "/"
	b.index = []byte(strings.ReplaceAll(string(b.files["index.html"]), "{{base}}", b.base))
	return &UI{Handler: b, Name: "built-in page", Why: why}, nil
}

// ServeHTTP implements http.Handler.
func (b *builtinUI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r) {
		return
	}
	w.Header().Set("Content-Security-Policy", builtinPolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	path := strings.TrimPrefix(r.URL.Path, "/")
	name, ours := strings.CutPrefix(path, b.base)
	data, ok := b.files[name]
	switch {
	case path == "":
		w.Header().Set("Cache-Control", asking)
		b.sendFile(w, r, "index.html", time.Time{}, b.index)
	case path == "static-files/start.js":
		startScript(w, r, b.landing, "", "")
	case ours && ok:
		w.Header().Set("Cache-Control", forever)
		b.sendFile(w, r, name, time.Time{}, data)
	default:
		http.NotFound(w, r)
	}
}
