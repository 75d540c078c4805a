package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// file is one config file.
type file struct {
	level    Level
	path     string     // absolute
	shown    *errs.Text // for messages
	sections []*section
}

// readFile reads the file of a level; a missing one is empty.
func (d *DVC) readFile(level Level) (*file, error) {
	f := &file{level: level, path: d.paths[level]}
	read := os.ReadFile
	if level == Repo && d.readRepo != nil {
		read = func(string) ([]byte, error) { return d.readRepo() }
	}
	data, err := read(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	f.shown = errs.NewText(f.path, quotable(data))
	root, err := parseConfigObj(f.path, data)
	if err != nil {
		return nil, err
	}
	if len(root.keys) > 0 {
		return nil, f.fail(root.keys[0].line, "%s stands outside of any [section]", root.keys[0].key)
	}
	for _, s := range root.sections {
		if err := f.add(s); err != nil {
			return nil, err
		}
	}
	return f, f.resolvePaths(d.home)
}

var namedSection = regexp.MustCompile(`^\s*(remote|machine|db)\s*"(.*)"\s*$`)

// add takes in a section as it was read. Names are compared in lower case.
func (f *file) add(s *section) error {
	s.name = strings.ToLower(s.name)
	if m := namedSection.FindStringSubmatch(s.name); m != nil {
		s.kind, s.name = m[1], m[2]
		return f.put(s)
	}
	if !slices.Contains(namedSections(), s.name) {
		return f.put(s)
	}
	// [remote] with [[name]] below it: the other spelling of ['remote "name"'].
	if len(s.keys) > 0 {
		return f.fail(s.keys[0].line, "%s: write ['%s \"name\"'] and put the key below it", s.keys[0].key, s.name)
	}
	// As in DVC, this spelling replaces what came before it.
	f.sections = slices.DeleteFunc(f.sections, func(old *section) bool { return old.kind == s.name })
	for _, c := range s.sections {
		c.kind, c.name = s.name, strings.ToLower(c.name)
		if err := f.put(c); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) put(s *section) error {
	if len(s.sections) > 0 {
		return f.fail(s.sections[0].line, "section %s cannot hold section %s", s.name, s.sections[0].name)
	}
	seen := map[string]bool{}
	for i := len(s.keys) - 1; i >= 0; i-- { // of keys that differ in case only, the last counts
		key := strings.ToLower(s.keys[i].key)
		if s.keys[i].key = key; seen[key] {
			s.keys = slices.Delete(s.keys, i, i+1)
		}
		seen[key] = true
	}
	for i, old := range f.sections {
		if old.kind == s.kind && old.name == s.name {
			f.sections[i] = s
			return nil
		}
	}
	f.sections = append(f.sections, s)
	return nil
}

func (f *file) pos(line int) errs.Pos {
	if f.shown == nil {
		return errs.Pos{File: f.path, Line: line}
	}
	return f.shown.At(line, 0)
}

func (f *file) fail(line int, format string, args ...any) error {
	return errs.At(f.pos(line), format, args...)
}

// find gives the section or nil.
func (f *file) find(kind, name string) *section {
	for _, s := range f.sections {
		if s.kind == kind && s.name == name {
			return s
		}
	}
	return nil
}

// set writes an option, making what is missing.
func (f *file) set(kind, name, key string, v value) {
	s := f.find(kind, name)
	if s == nil {
		s = &section{kind: kind, name: name}
		f.sections = append(f.sections, s)
	}
	if o := s.option(key); o != nil {
		o.value = v
		return
	}
	s.keys = append(s.keys, &option{key: key, value: v})
}

// unset removes an option and tells whether it was there.
func (f *file) unset(kind, name, key string) bool {
	s := f.find(kind, name)
	if s == nil || s.option(key) == nil {
		return false
	}
	s.keys = slices.DeleteFunc(s.keys, func(o *option) bool { return o.key == key })
	return true
}

func (f *file) remove(kind, name string) {
	f.sections = slices.DeleteFunc(f.sections, func(s *section) bool { return s.kind == kind && s.name == name })
}

// encode gives the bytes that DVC would write: plain sections that are not
// empty, then the named ones by kind.
func (f *file) encode() ([]byte, error) {
	var out []*section
	for _, s := range f.sections {
		if s.kind == "" && len(s.keys) > 0 {
			out = append(out, s)
		}
	}
	for _, kind := range namedSections() {
		for _, s := range f.sections {
			if s.kind == kind {
				out = append(out, &section{name: kind + ` "` + s.name + `"`, keys: s.keys})
			}
		}
	}
	return emitConfigObj(out)
}

func (f *file) save() error {
	data, err := f.encode()
	if err != nil {
		return fmt.Errorf("write config %s: %w", f.path, err)
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o777); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	return fsx.WriteFile(f.path, data, 0o666)
}
