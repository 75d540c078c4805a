package experiment

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/pipeline/hydra"
)

// composed is the params file that the config groups of a project give.
type composed struct {
	Rel  string
	Data []byte
}

// isNew tells whether the file has another content now.
func (c *composed) isNew(p *pipeline.Project) bool {
	now, err := os.ReadFile(p.Abs(c.Rel))
	return err != nil || !bytes.Equal(now, c.Data)
}

// composeParams makes params.yaml anew out of the config groups of a project
// that sets hydra.enabled, as DVC does before each experiment. The overrides of
// params.yaml choose groups and change values there; rest are those of other
// files. Where Hydra is not enabled, or is turned off, it gives nil and all
// overrides. Nothing is written.
func composeParams(p *pipeline.Project, overrides []dvcfile.Override, off bool) (c *composed, rest []dvcfile.Override, err error) {
	if off || !p.Config.Bool("hydra", "enabled", false) {
		return nil, overrides, nil
	}
	o, err := hydraOptions(p)
	if err != nil {
		return nil, nil, err
	}
	for _, ov := range overrides {
		if ov.File == dvcfile.DefaultParamsFile {
			o.Overrides = append(o.Overrides, ov)
		} else {
			rest = append(rest, ov)
		}
	}
	params, err := hydra.Compose(o)
	if err != nil {
		return nil, nil, err
	}
	rel, err := p.Rel(dvcfile.DefaultParamsFile)
	if err != nil {
		return nil, nil, err
	}
	return &composed{Rel: rel, Data: hydra.Params(rel, params)}, rest, nil
}

// hydraOptions are the settings of .dvc/config: where the config groups are, and
// the name of the primary config.
func hydraOptions(p *pipeline.Project) (hydra.Options, error) {
	if module, ok := p.Config.Get("hydra", "config_module"); ok {
		err := errs.New(errs.ProjectFile, "hydra.config_module is '%s', and ctrx composes without Python: it reads folders of config files, not modules", module)
		return hydra.Options{}, errs.Hint(err, "ctrx config --unset hydra.config_module && ctrx config hydra.config_dir FOLDER, with the folder of the module")
	}
	setting := func(key, otherwise string) string {
		if v, ok := p.Config.Get("hydra", key); ok {
			return v
		}
		return otherwise
	}
	dir := setting("config_dir", "conf")
	return hydra.Options{
		Files:      os.DirFS(p.Abs(dir)),
		FolderName: dir,
		ConfigName: setting("config_name", "config"),
		Env:        p.Surroundings(),
		Folder: func(path string) (fs.FS, bool) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(p.Abs(p.Dir), path)
			}
			info, err := os.Stat(path)
			return os.DirFS(path), err == nil && info.IsDir()
		},
	}, nil
}

// ExpandGlobs puts the options of config groups in place of glob(...) in -S
// arguments, where Hydra is enabled: `-S 'model=glob(*)'` is one run for each
// model. Call it before the arguments are parsed.
func ExpandGlobs(p *pipeline.Project, args []string, noHydra bool) ([]string, error) {
	if noHydra || !p.Config.Bool("hydra", "enabled", false) {
		return args, nil
	}
	o, err := hydraOptions(p)
	if err != nil {
		return nil, err
	}
	return hydra.ExpandGlobs(o, args)
}
