package hydra

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// folder is a place where config files are looked for.
type folder struct {
	files fs.FS
	name  string // as it is shown: conf
}

// repository finds and reads config files. The first folder that has a file
// gives it; Hydra's own configs come before all.
type repository struct {
	folders []folder
	loaded  map[string]*config
}

// config is a config file that was read.
type config struct {
	root     *dvcfile.Node // without its defaults list
	pkg      string        // of the header # @package
	hasPkg   bool
	defaults []*entry
}

// fileName is the file of a config path: the extension may be left out.
func fileName(config string) string {
	if strings.HasSuffix(config, ".yaml") {
		return config
	}
	return config + ".yaml"
}

// inside gives a path as an fs.FS wants it; ok is false for one that leads out of
// the folder.
func inside(name string) (string, bool) {
	name = path.Clean(name)
	return name, fs.ValidPath(name)
}

// find gives the folder that has a config.
func (r *repository) find(config string) (folder, string, bool) {
	name, ok := inside(fileName(config))
	if !ok {
		return folder{}, "", false
	}
	for _, f := range r.folders {
		if info, err := fs.Stat(f.files, name); err == nil && !info.IsDir() {
			return f, name, true
		}
	}
	return folder{}, "", false
}

func (r *repository) hasConfig(config string) bool {
	if _, ok := builtIn(config); ok {
		return true
	}
	_, _, ok := r.find(config)
	return ok
}

// isGroup tells whether a path is a config group: a folder.
func (r *repository) isGroup(group string) bool {
	if isBuiltInGroup(group) {
		return true
	}
	name, ok := inside(group)
	if !ok {
		return false
	}
	return slices.ContainsFunc(r.folders, func(f folder) bool {
		info, err := fs.Stat(f.files, name)
		return err == nil && info.IsDir()
	})
}

// options lists the configs of a group.
func (r *repository) options(group string) []string {
	options := builtInOptions(group)
	name, ok := inside(group)
	for _, f := range r.folders {
		if !ok {
			break
		}
		list, err := fs.ReadDir(f.files, name)
		if err != nil {
			continue
		}
		for _, e := range list {
			if option, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && !e.IsDir() {
				options = append(options, option)
			}
		}
	}
	slices.Sort(options)
	return slices.Compact(options)
}

// load reads a config; nil where there is none.
func (r *repository) load(name string) (*config, error) {
	if c, ok := r.loaded[name]; ok {
		return c, nil
	}
	c, err := r.read(name)
	if err != nil {
		return nil, err
	}
	r.loaded[name] = c
	return c, nil
}

func (r *repository) read(name string) (*config, error) {
	if defaults, ok := builtIn(name); ok {
		return &config{root: &dvcfile.Node{Value: &dvcfile.Map{}}, defaults: defaults}, nil
	}
	f, rel, ok := r.find(name)
	if !ok {
		return nil, nil
	}
	file := path.Join(f.name, rel)
	data, err := fs.ReadFile(f.files, rel)
	if err != nil {
		return nil, errs.New(errs.NotFound, "read %s: %w", file, err)
	}
	return parseConfig(name, file, data)
}

// parseConfig reads the text of a config file.
func parseConfig(name, file string, data []byte) (*config, error) {
	c := &config{}
	if err := c.header(file, data); err != nil {
		return nil, err
	}
	root, err := dvcfile.ParseYAML11(file, data)
	if err != nil {
		return nil, err
	}
	// A text in place of a mapping is read once more; one word is a key.
	if s, ok := root.Value.(string); ok {
		again, err := dvcfile.ParseYAML11(file, []byte(s))
		if err != nil {
			return nil, err
		}
		if word, ok := again.Value.(string); ok {
			again.Value = dvcfile.NewMap(word, nil)
			again.Keys = []*dvcfile.Node{{Pos: root.Pos, Value: word}}
			again.Items = []*dvcfile.Node{{Pos: root.Pos}}
		}
		root = again
	}
	if root.Value == nil {
		root.Value = &dvcfile.Map{}
	}
	switch root.Value.(type) {
	case *dvcfile.Map:
		c.root, c.defaults, err = splitDefaults(name, root)
		return c, err
	case []dvcfile.Value:
		c.root = root
		return c, nil
	}
	return nil, errs.At(root.Pos, "a config is a mapping, not %s", dvcfile.PyStr(root.Value))
}

// headerChars is how much of a file is looked at for header lines.
const headerChars = 512

// header reads the lines `# @key value` at the top of a file.
func (c *config) header(file string, data []byte) error {
	if !utf8.Valid(data) {
		return errs.At(errs.Pos{File: file}, "the file is not UTF-8")
	}
	head := []rune(string(data))
	head = head[:min(len(head), headerChars)]
	for i, line := range strings.Split(strings.ReplaceAll(string(head), "\r", "\n"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		rest, ok := strings.CutPrefix(line, "#")
		if !ok || !strings.HasPrefix(strings.TrimSpace(rest), "@") {
			return nil
		}
		words := strings.Fields(strings.TrimLeft(line, "#"))
		if len(words) != 2 {
			return errs.At(errs.NewText(file, data).At(i+1, 1), "Expected header format: KEY VALUE, got '%s'", strings.TrimSpace(strings.TrimLeft(line, "#")))
		}
		if words[0] == "@package" {
			c.pkg, c.hasPkg = words[1], true
		}
	}
	return nil
}

// splitDefaults takes the defaults list off a config.
func splitDefaults(name string, root *dvcfile.Node) (*dvcfile.Node, []*entry, error) {
	_, list := root.Entry("defaults")
	if list == nil {
		return root, nil, nil
	}
	rest := &dvcfile.Node{Pos: root.Pos}
	m := &dvcfile.Map{}
	for i, key := range root.Keys {
		if root.Items[i] != list {
			rest.Keys, rest.Items = append(rest.Keys, key), append(rest.Items, root.Items[i])
			m.SetKey(key.Value, root.Items[i].Value)
		}
	}
	rest.Value = m
	var defaults []*entry
	switch v := list.Value.(type) {
	case []dvcfile.Value:
		for _, item := range list.Items {
			e, err := parseEntry(name, item)
			if err != nil {
				return nil, nil, err
			}
			defaults = append(defaults, e)
		}
	case string:
		if v != "???" {
			return nil, nil, errNotList(name, list)
		}
	default:
		return nil, nil, errNotList(name, list)
	}
	return rest, defaults, nil
}

func errNotList(name string, n *dvcfile.Node) error {
	return errs.At(n.Pos, "Invalid defaults list in '%s', defaults must be a list (got %s)", name, pyType(n.Value))
}

// pyType names the type of a value as Hydra's messages do.
func pyType(v dvcfile.Value) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case dvcfile.Int:
		return "int"
	case dvcfile.Float:
		return "float"
	case []dvcfile.Value:
		return "list"
	case *dvcfile.Map:
		return "mapping"
	}
	return "str"
}

// errNoFolder is the error about the folder of the primary config.
func errNoFolder(f folder) error {
	err := errs.New(errs.ProjectFile, "Primary config directory not found. Check that the config directory '%s' exists and is readable", f.name)
	return errs.Hint(err, "ctrx config hydra.config_dir FOLDER")
}

// check tells whether the folder is there.
func (f folder) check() error {
	if info, err := fs.Stat(f.files, "."); err != nil || !info.IsDir() {
		return errors.Join(errNoFolder(f), err)
	}
	return nil
}
