package experiment

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ctrx/internal/fsx"
	"ctrx/internal/settings"
	"ctrx/pipeline"
)

// CopySettings gives a working copy the user's config.local, the cache of the
// project, and those remotes whose place is relative to the project. dir is the
// project's folder in the copy.
func CopySettings(p *pipeline.Project, dir string) error {
	local := filepath.Join(dir, ".dvc", "config.local")
	if err := os.MkdirAll(filepath.Dir(local), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	data, err := os.ReadFile(p.Config.File(settings.Local))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(local, data, 0o600); err != nil {
		return fsx.FullDisk(err)
	}
	config, err := settings.ReadDVC(settings.Options{Root: dir, Env: func(string) string { return "" }})
	if err != nil {
		return err
	}
	if err := config.Set(settings.Local, settings.Name{Section: "cache", Key: "dir"}, p.Cache.Dir(), dir); err != nil {
		return err
	}
	for _, name := range p.Config.Remotes() {
		theirs, err := config.Remote(name)
		ours, err2 := p.Config.Remote(name)
		if err != nil || err2 != nil || theirs["url"] == ours["url"] || !filepath.IsAbs(ours["url"]) {
			continue
		}
		if err := config.Set(settings.Local, settings.Name{Kind: "remote", Section: name, Key: "url"}, ours["url"], dir); err != nil {
			return err
		}
	}
	return nil
}
