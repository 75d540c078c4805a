// Package settings reads and writes what a user can set: DVC's config files
// (LoadDVC, in DVC's own format and at its four levels) and ctrx.yaml
// (LoadCtrx, at the root of a project).
//
// A DVC value is a snapshot of the merged files. Its editing methods change
// one file, byte for byte as DVC would, and then read everything again.
package settings

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// Level is a config file's place in the order of precedence.
type Level int

// The levels, weakest first. Merged stands for all of them together where
// something is read, and for Repo where something is written.
const (
	Merged Level = iota
	System       // /etc/xdg/dvc/config
	Global       // ~/.config/dvc/config
	Repo         // .dvc/config, committed
	Local        // .dvc/config.local, ignored by Git: the place for secrets
)

// String is the level's flag without the dashes.
func (l Level) String() string {
	return [...]string{"merged", "system", "global", "project", "local"}[l]
}

// DVC is DVC's configuration. Read methods are safe for concurrent use.
type DVC struct {
	root     string
	home     string
	paths    map[Level]string
	readRepo func() ([]byte, error)
	files    []*file // weakest first
}

// Options says where the configuration is.
type Options struct {
	Root string              // the folder that holds .dvc; "" outside of a repository
	Env  func(string) string // os.Getenv
	// RepoConfig reads .dvc/config in place of the file in the work tree, for
	// the configuration of a commit. A missing one is fs.ErrNotExist.
	RepoConfig func() ([]byte, error)
}

// LoadDVC reads and checks the configuration of the repository at root; with
// root "" only the user's and the machine's.
func LoadDVC(root string, env func(string) string) (*DVC, error) {
	d, err := ReadDVC(Options{Root: root, Env: env})
	if err != nil {
		return nil, err
	}
	return d, d.Validate()
}

// ReadDVC reads the configuration without checking names and types of options,
// for the commands that are used to repair it.
func ReadDVC(o Options) (*DVC, error) {
	d := &DVC{root: o.Root, home: HomeDir(o.Env), paths: map[Level]string{}, readRepo: o.RepoConfig}
	if d.root != "" {
		var err error
		if d.root, err = filepath.Abs(d.root); err != nil {
			return nil, fmt.Errorf("read config: %w", err)
		}
		d.paths[Repo] = filepath.Join(d.root, ".dvc", "config")
		d.paths[Local] = filepath.Join(d.root, ".dvc", "config.local")
	}
	d.paths[System] = filepath.Join(systemDir(o.Env), "config")
	d.paths[Global] = filepath.Join(globalDir(o.Env, d.home), "config")
	return d, d.reload()
}

func (d *DVC) reload() error {
	var files []*file
	for level := System; level <= Local; level++ {
		if d.paths[level] == "" {
			continue
		}
		f, err := d.readFile(level)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	d.files = files
	return nil
}

// HomeDir is the home folder by the environment; "" where that names none.
func HomeDir(env func(string) string) string {
	if runtime.GOOS == "windows" {
		return env("USERPROFILE")
	}
	return env("HOME")
}

func systemDir(env func(string) string) string {
	if dir := env("DVC_SYSTEM_CONFIG_DIR"); dir != "" {
		return dir
	}
	switch runtime.GOOS {
	case "darwin":
		return "/Library/Application Support/dvc"
	case "windows":
		return filepath.Join(env("PROGRAMDATA"), "iterative", "dvc")
	}
	first, _, _ := strings.Cut(env("XDG_CONFIG_DIRS"), ":")
	if first == "" {
		first = "/etc/xdg"
	}
	return filepath.Join(first, "dvc")
}

func globalDir(env func(string) string, home string) string {
	if dir := env("DVC_GLOBAL_CONFIG_DIR"); dir != "" {
		return dir
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "dvc")
	case "windows":
		return filepath.Join(env("LOCALAPPDATA"), "iterative", "dvc")
	}
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "dvc")
	}
	return filepath.Join(home, ".config", "dvc")
}

// File is the absolute path of a level's file, "" for the levels of a
// repository when there is none.
func (d *DVC) File(level Level) string { return d.paths[level] }

// at gives the files that count for a level: one, or all for Merged.
func (d *DVC) at(level Level) []*file {
	if level == Merged {
		return d.files
	}
	return slices.DeleteFunc(slices.Clone(d.files), func(f *file) bool { return f.level != level })
}

// Find gives the option with the file and line that set it, at one level or
// Merged.
func (d *DVC) Find(level Level, n Name) (Option, bool) {
	for _, f := range slices.Backward(d.at(level)) {
		if s := f.find(n.Kind, n.Section); s != nil {
			if o := s.option(n.Key); o != nil {
				return f.exported(s, o), true
			}
		}
	}
	return Option{}, false
}

// Option is the value of one option and where it was set.
type Option struct {
	Name  Name
	Value string   // the text; a list joined by commas. Paths are absolute
	List  []string // the items of a list; nil for a plain text
	Level Level
	Pos   errs.Pos
}

func (f *file) exported(s *section, o *option) Option {
	x := Option{Name: Name{s.kind, s.name, o.key}, Value: o.value.text, Level: f.level, Pos: f.pos(o.line)}
	if o.value.many {
		x.List = append([]string{}, o.value.list...)
		x.Value = strings.Join(o.value.list, ",")
	}
	return x
}

// Get gives the merged value of an option of a plain section ("core",
// "remote").
func (d *DVC) Get(section, key string) (string, bool) {
	o, ok := d.Find(Merged, Name{Section: section, Key: key})
	return o.Value, ok
}

// Bool gives a true/false option of a plain section, or what stands for it
// when it is not set.
func (d *DVC) Bool(section, key string, otherwise bool) bool {
	text, _ := d.Get(section, key)
	if b, ok := parseBool(text); ok {
		return b
	}
	return otherwise
}

// Int gives a numeric option of a plain section.
func (d *DVC) Int(section, key string) (int, bool) {
	text, _ := d.Get(section, key)
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil
}

// List gives a list option of a plain section: the items of a list, or of a
// text with commas. It is nil when the option is not set.
func (d *DVC) List(section, key string) []string {
	o, ok := d.Find(Merged, Name{Section: section, Key: key})
	if !ok {
		return nil
	}
	return value{text: o.Value, list: o.List, many: o.List != nil}.items()
}

// Remotes gives the names of all remotes, in the order in which DVC lists
// them.
func (d *DVC) Remotes() []string { return d.remotesAt(Merged) }

func (d *DVC) remotesAt(level Level) []string {
	var names []string
	for _, f := range d.at(level) {
		for _, s := range f.sections {
			if s.kind == "remote" && !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
		}
	}
	return names
}

// DefaultRemote gives the name in core.remote.
func (d *DVC) DefaultRemote() (string, bool) {
	name, ok := d.Get("core", "remote")
	return strings.ToLower(name), ok && name != ""
}

// Remote gives the merged options of a remote, its URL under "url" (a folder
// as an absolute path). A remote:// URL takes over the options of the remote
// that it names. An unknown name is errs.NotFound.
func (d *DVC) Remote(name string) (map[string]string, error) {
	return d.remote(strings.ToLower(name), nil)
}

func (d *DVC) remote(name string, through []string) (map[string]string, error) {
	if slices.Contains(through, name) {
		return nil, errs.New(errs.ProjectFile, "remote %s refers to itself through remote://", name)
	}
	options := map[string]string{}
	found := false
	for _, f := range d.files {
		s := f.find("remote", name)
		if s == nil {
			continue
		}
		found = true
		for _, o := range s.keys {
			options[o.key] = f.exported(s, o).Value
		}
	}
	if !found {
		return nil, d.noRemote(name)
	}
	rest, ok := strings.CutPrefix(options["url"], "remote://")
	if !ok {
		return options, nil
	}
	base, sub, _ := strings.Cut(rest, "/")
	merged, err := d.remote(strings.ToLower(base), append(through, name))
	if err != nil {
		return nil, fmt.Errorf("remote %s: %w", name, err)
	}
	url := merged["url"]
	maps.Copy(merged, options)
	if merged["url"] = url; strings.Trim(sub, "/") != "" {
		merged["url"] = strings.TrimRight(url, "/") + "/" + strings.TrimLeft(sub, "/")
	}
	return merged, nil
}

func (d *DVC) noRemote(name string) error {
	known := d.Remotes()
	err := errs.New(errs.NotFound, "remote %q does not exist", name)
	switch {
	case len(known) == 0:
		return errs.Hint(err, "there are no remotes yet: ctrx remote add %s URL", name)
	case nearest(name, known) != "":
		return errs.Hint(err, "did you mean %s? (remotes: %s)", nearest(name, known), strings.Join(known, ", "))
	}
	return errs.Hint(err, "remotes: %s", strings.Join(known, ", "))
}

// Lines gives the options that are set at a level (Merged: each level in
// turn) in the order of `dvc config -l`: remotes, machines and databases first.
func (d *DVC) Lines(level Level) []Option {
	var lines []Option
	for _, f := range d.at(level) {
		for _, kind := range append(namedSections(), "") {
			for _, s := range f.sections {
				if s.kind != kind {
					continue
				}
				for _, o := range s.keys {
					lines = append(lines, f.exported(s, o))
				}
			}
		}
	}
	return lines
}

// Text is the value as DVC prints it: a list in Python's notation.
func (o Option) Text() string {
	if o.List == nil {
		return o.Value
	}
	quoted := make([]string, len(o.List))
	for i, s := range o.List {
		q := "'"
		if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
			q = `"`
		}
		s = strings.ReplaceAll(s, `\`, `\\`)
		if q == "'" {
			s = strings.ReplaceAll(s, "'", `\'`)
		}
		quoted[i] = q + s + q
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
