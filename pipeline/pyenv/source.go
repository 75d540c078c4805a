package pyenv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

type kind int

const (
	requirementsFile kind = iota
	pyProject
	uvLock
)

// source is what a file asks for.
type source struct {
	kind         kind
	content      []byte   // equal for files that ask for the same
	requirements []string // of a pyproject.toml, for pip
	uvOnly       string   // what in it pip cannot do, or ""
	python       string   // versions of Python that a project allows (">=3.10"), or ""
}

func readSource(o Options) (src source, err error) {
	data, err := os.ReadFile(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return src, errs.Hint(errs.New(errs.NotFound, "%s does not exist, but a stage names it as its Python environment (meta.ctrx.python)", o.File),
			"create it, or correct the stage")
	}
	if err != nil {
		return src, errs.New(errs.ProjectFile, "the stage's Python environment (meta.ctrx.python) cannot be read: %w", err)
	}
	var content bytes.Buffer
	add := func(parts ...string) {
		for _, p := range parts {
			fmt.Fprintf(&content, "%d:%s\n", len(p), p)
		}
	}
	name := filepath.Base(o.File)
	switch {
	case name == "pyproject.toml":
		src.kind = pyProject
		err = src.readProject(o, data, add)
	case name == "uv.lock":
		src.kind = uvLock
		err = readUVLock(o, data, add)
	case slices.Contains([]string{".lock", ".toml", ".yaml", ".yml", ".json", ".cfg", ".py"}, filepath.Ext(name)) || name == "Pipfile":
		return src, errs.New(errs.ProjectFile, "%s: meta.ctrx.python takes a requirements file, a pyproject.toml or a uv.lock, and knows no other", o.File)
	case len(o.Extras) > 0:
		return src, errs.New(errs.ProjectFile, "%s: a requirements file has no extras; they belong to a pyproject.toml or uv.lock", o.File)
	default:
		r := requirementsReader{add: add, seen: map[string]bool{}, env: o.Env}
		if err = r.read(o.File, data); r.local {
			add(filepath.Dir(o.File))
		}
	}
	src.content = content.Bytes()
	return src, err
}

// readUVLock takes the lock and the project file beside it, which says how uv
// is to read it.
func readUVLock(o Options, data []byte, add func(...string)) error {
	project, err := os.ReadFile(filepath.Join(filepath.Dir(o.File), "pyproject.toml"))
	if err != nil {
		return errs.New(errs.NotFound, "uv reads a uv.lock together with its pyproject.toml: %w", err)
	}
	add("uv.lock", string(data), string(project))
	add(sorted(o.Extras)...)
	for _, m := range packageSource.FindAllStringSubmatch(string(data), -1) {
		if m[1] != "." && !strings.Contains(m[1], "://") { // lies beside the lock
			add(filepath.Dir(o.File))
			break
		}
	}
	return nil
}

// packageSource finds where the packages of a uv.lock come from. "." is the
// project itself.
var packageSource = regexp.MustCompile(`(?m)^source = \{ (?:path|directory|editable|registry) = "([^"]*)"`)

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// requirementsReader reads a requirements file with all that it includes.
type requirementsReader struct {
	add   func(...string)
	seen  map[string]bool
	env   []string
	local bool // it names files or folders, so it means something in its own folder only
}

var (
	lineComment = regexp.MustCompile(`(^|\s)#.*$`)
	include     = regexp.MustCompile(`^(-r|-c|--requirement|--constraint)\s*=?\s*(.+)$`)
	localOption = regexp.MustCompile(`^(?:-e|--editable|-f|--find-links|-i|--index-url|--extra-index-url)\s*=?\s*(.+)$`)
	variable    = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)
)

func (r *requirementsReader) read(file string, data []byte) error {
	if r.seen[file] {
		return nil
	}
	r.seen[file] = true
	r.add(string(data))
	for i, line := range strings.Split(string(data), "\n") {
		text := strings.TrimSpace(lineComment.ReplaceAllString(strings.TrimPrefix(line, "\ufeff"), ""))
		text = strings.TrimSpace(strings.TrimSuffix(text, `\`))
		m := include.FindStringSubmatch(text)
		if m == nil {
			r.lookLocal(file, text)
			continue
		}
		name := r.expand(strings.Trim(m[2], `"'`))
		if strings.Contains(name, "://") {
			continue
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(file), filepath.FromSlash(name))
		}
		included, err := os.ReadFile(name)
		if err != nil {
			pos := errs.Pos{File: file, Line: i + 1, Col: strings.Index(line, m[1]) + 1}
			return errs.At(pos, "%s: %w", m[0], err)
		}
		if err := r.read(name, included); err != nil {
			return err
		}
	}
	return nil
}

// expand puts in environment variables as pip does.
func (r *requirementsReader) expand(s string) string {
	return variable.ReplaceAllStringFunc(s, func(ref string) string {
		for _, kv := range slices.Backward(r.env) {
			if v, ok := strings.CutPrefix(kv, ref[2:len(ref)-1]+"="); ok {
				return v
			}
		}
		return ref
	})
}

// lookLocal notes a requirement that is a path. The content of a file counts
// for the environment; a folder is taken as it is when that is made.
func (r *requirementsReader) lookLocal(file, text string) {
	if m := localOption.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	text, _, _ = strings.Cut(text, " ;")
	if strings.Contains(text, "://") || strings.Contains(text, " @ ") || !strings.ContainsAny(text, `/\`) && !strings.HasPrefix(text, ".") {
		return
	}
	r.local = true
	name, _, _ := strings.Cut(r.expand(text), "[")
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(file), filepath.FromSlash(name))
	}
	if data, err := os.ReadFile(name); err == nil {
		r.add(string(data))
	}
}
