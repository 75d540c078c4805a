package hydra

import (
	"io/fs"
	"path"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Options are what a config is composed of.
type Options struct {
	Files      fs.FS  // the folder of config files
	FolderName string // as errors show it: conf
	ConfigName string // the primary config: config, or sub/config
	// Overrides choose options of groups (model=xgb, model@package=xgb,
	// +group=option, ~group) and change values. Each has one value.
	Overrides []dvcfile.Override
	Env       dvcfile.Surroundings
	// Folder opens a folder of hydra.searchpath; ok is false for one that is not
	// there. nil finds none.
	Folder func(path string) (files fs.FS, ok bool)
}

// Compose gives the composed config with all interpolations resolved, without
// Hydra's own settings. Keys are in the order of composition; a value that is
// still to be given is the string ???. Errors are errs.ProjectFile with
// file:line:col, or errs.Usage about an override, in Hydra's wording where it has
// one.
func Compose(o Options) (*dvcfile.Map, error) {
	main := folder{files: o.Files, name: o.FolderName}
	if err := main.check(); err != nil {
		return nil, err
	}
	repo := &repository{folders: []folder{main}, loaded: map[string]*config{}}
	if err := addSearchPath(repo, o); err != nil {
		return nil, err
	}
	choices, err := sortOverrides(repo, o.Overrides)
	if err != nil {
		return nil, err
	}
	b := &builder{repo: repo, choices: choices, env: o.Env}
	results, err := b.order(o.ConfigName)
	if err != nil {
		return nil, err
	}
	cfg := dvcfile.NewConfig(o.Env)
	for _, r := range results {
		if err := merge(cfg, repo, r); err != nil {
			return nil, err
		}
	}
	cfg.Close()
	for _, ov := range choices.values {
		own, err := checkOwnOverride(ov)
		if err == nil && !own {
			err = cfg.Override(ov)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := cfg.Resolve(); err != nil {
		return nil, err
	}
	return cfg.Value(), nil
}

// Params gives the bytes that DVC writes into a params file for a composed config.
func Params(file string, composed *dvcfile.Map) []byte {
	if strings.EqualFold(path.Ext(file), ".json") {
		return dvcfile.JSON(composed)
	}
	return dvcfile.EmitYAML11(composed)
}

// merge puts a config where it belongs.
func merge(cfg *dvcfile.Config, repo *repository, r result) error {
	if _, own := builtIn(r.config); own {
		return nil
	}
	loaded, err := repo.load(r.config)
	if err != nil {
		return err
	}
	root := loaded.root
	if own, below := strings.CutPrefix(r.pkg+".", "hydra."); below {
		if !r.primary && strings.HasPrefix(own, "searchpath.") {
			return errSearchPath(r, root)
		}
		return checkOwn(root, ownSettings(), strings.Split(strings.TrimSuffix(own, "."), "."))
	}
	if _, own := root.Entry("hydra"); own != nil && r.pkg == "" {
		if !r.primary && own.Get("searchpath") != nil {
			return errSearchPath(r, own)
		}
		if err := checkOwn(own, ownSettings(), nil); err != nil {
			return err
		}
		root = without(root, "hydra")
	}
	if err := cfg.Merge(root, r.pkg); err != nil {
		return err
	}
	return nil
}

func errSearchPath(r result, n *dvcfile.Node) error {
	return errs.At(n.Pos, "In '%s': Overriding hydra.searchpath is only supported from the primary config", r.config)
}

// without gives a mapping without one of its keys.
func without(n *dvcfile.Node, key string) *dvcfile.Node {
	out := &dvcfile.Node{Pos: n.Pos}
	m := &dvcfile.Map{}
	for i, k := range n.Keys {
		if s, ok := k.Value.(string); ok && s == key {
			continue
		}
		out.Keys, out.Items = append(out.Keys, k), append(out.Items, n.Items[i])
		m.SetKey(k.Value, n.Items[i].Value)
	}
	out.Value = m
	return out
}

// checkOwn refuses keys that Hydra's settings do not have. below is the path
// that the content belongs to.
func checkOwn(n *dvcfile.Node, known *dvcfile.Map, below []string) error {
	for _, key := range below {
		if key == "" {
			continue
		}
		v, ok := known.Get(key)
		if !ok {
			return errs.At(n.Pos, "Key '%s' is none of Hydra's settings", key)
		}
		next, isMap := v.(*dvcfile.Map)
		if !isMap {
			return nil // a plugin's, or a value
		}
		known = next
	}
	if _, ok := n.Map(); !ok {
		return nil
	}
	for i, k := range n.Keys {
		name, ok := k.Value.(string)
		v, there := known.Get(name)
		if !ok || !there {
			return errs.At(k.Pos, "Key '%s' is none of Hydra's settings", dvcfile.PyStr(k.Value))
		}
		if m, isMap := v.(*dvcfile.Map); isMap {
			if err := checkOwn(n.Items[i], m, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOwnOverride tells whether an override is about Hydra's settings, and
// refuses a key that they do not have.
func checkOwnOverride(o dvcfile.Override) (own bool, err error) {
	if o.Key != "hydra" && !strings.HasPrefix(o.Key, "hydra.") {
		return false, nil
	}
	if o.Op != dvcfile.OpSet || o.Key == "hydra" {
		return true, nil
	}
	keys := strings.Split(o.Key, ".")[1:]
	at := &dvcfile.Node{Value: dvcfile.NewMap()}
	if err := checkOwn(at, ownSettings(), keys); err != nil {
		return true, errs.Hint(usage("Could not override '%s'.", o.Key), "to append to your config use -S +%s", o.Input)
	}
	return true, nil
}

// addSearchPath adds the folders of hydra.searchpath, which the primary config or
// an override may set.
func addSearchPath(repo *repository, o Options) error {
	list, pos, err := searchPath(repo, o)
	if err != nil || list == nil {
		return err
	}
	bad := func() error {
		text := "hydra.searchpath must be a list of strings. Got: " + dvcfile.PyStr(list)
		if pos.Line > 0 {
			return errs.At(pos, "%s", text)
		}
		return usage("%s", text)
	}
	items, ok := list.([]dvcfile.Value)
	if !ok {
		return bad()
	}
	for _, item := range items {
		place, ok := item.(string)
		if !ok {
			return bad()
		}
		scheme, rest, found := strings.Cut(place, "://")
		if !found {
			rest = place
		} else if scheme != "file" {
			err := errs.New(errs.Usage, "hydra.searchpath has '%s', and ctrx reads folders only, no Python packages", place)
			return errs.Hint(err, "name the folder of the package's config files: file://path/to/conf")
		}
		if o.Folder == nil {
			continue
		}
		if files, ok := o.Folder(rest); ok {
			repo.folders = append(repo.folders, folder{files: files, name: rest})
		}
	}
	return nil
}

func searchPath(repo *repository, o Options) (dvcfile.Value, errs.Pos, error) {
	for _, ov := range o.Overrides {
		if ov.Key == "hydra.searchpath" && ov.Op == dvcfile.OpSet && !ov.HasPackage() {
			return ov.Value, errs.Pos{}, nil
		}
	}
	primary, err := repo.load(o.ConfigName)
	if err != nil || primary == nil {
		return nil, errs.Pos{}, err
	}
	if _, ok := primary.root.Map(); !ok {
		return nil, errs.Pos{}, errs.At(primary.root.Pos, "primary config '%s' must be a mapping, got a list", o.ConfigName)
	}
	n := primary.root.Get("hydra").Get("searchpath")
	if n == nil || n.Value == nil {
		return nil, errs.Pos{}, nil
	}
	resolved := dvcfile.Clone(n.Value)
	if items, ok := resolved.([]dvcfile.Value); ok {
		root, _ := primary.root.Map()
		for i, item := range items {
			if s, ok := item.(string); ok && strings.Contains(s, "${") {
				if items[i], err = dvcfile.ResolveText(s, root, o.Env); err != nil {
					return nil, n.Pos, errs.At(n.Pos, "hydra.searchpath: %w", err)
				}
			}
		}
	}
	return resolved, n.Pos, nil
}
