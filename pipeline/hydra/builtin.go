package hydra

import (
	"slices"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// Hydra brings a config of its own, hydra/config, which stands before the
// primary config. Its content has no part in the result, but its groups can be
// chosen like others (override hydra/job_logging: disabled) and its keys be
// changed (hydra.run.dir=x), so their names are needed. The content of its
// groups is left to the plugins that a project may have: any option passes.

// ownConfig is the path of Hydra's config.
const ownConfig = "hydra/config"

// ownGroups are Hydra's groups with the options that come with it; the first
// is the default, "" is null.
func ownGroups() []struct {
	name    string
	options []string
} {
	return []struct {
		name    string
		options []string
	}{
		{"output", []string{"default"}},
		{"launcher", []string{"basic"}},
		{"sweeper", []string{"basic"}},
		{"help", []string{"default"}},
		{"hydra_help", []string{"default"}},
		{"hydra_logging", []string{"default", "disabled", "hydra_debug", "none"}},
		{"job_logging", []string{"default", "disabled", "none", "stdout"}},
		{"callbacks", []string{""}},
		{"env", []string{"default"}},
	}
}

// builtIn gives the defaults list of a config that comes with Hydra.
func builtIn(config string) (defaults []*entry, ok bool) {
	for _, g := range ownGroups() {
		if config == ownConfig {
			e := &entry{isGroup: true, path: g.name}
			if option := g.options[0]; option != "" {
				e.option = &option
			}
			defaults = append(defaults, e)
			continue
		}
		option, below := strings.CutPrefix(config, "hydra/"+g.name+"/")
		if below && option != "" && slices.Contains(g.options, option) {
			return nil, true
		}
	}
	return defaults, config == ownConfig
}

func isBuiltInGroup(group string) bool {
	if group == "hydra" {
		return true
	}
	for _, g := range ownGroups() {
		if group == "hydra/"+g.name && g.options[0] != "" {
			return true
		}
	}
	return false
}

func builtInOptions(group string) []string {
	for _, g := range ownGroups() {
		if group == "hydra/"+g.name && g.options[0] != "" {
			return slices.Clone(g.options)
		}
	}
	return nil
}

// isOwnGroup tells whether plugins may add options to a group.
func isOwnGroup(group string) bool { return strings.HasPrefix(group, "hydra/") }

// ownSettings are the keys below hydra, so that a misspelt one is an error.
// Where plugins bring keys of their own, and where Hydra has a mapping that is
// free, null stands here and everything is let through.
func ownSettings() *dvcfile.Map {
	blank := func(names ...string) *dvcfile.Map {
		m := &dvcfile.Map{}
		for _, n := range names {
			m.Set(n, "???")
		}
		return m
	}
	job := blank("name", "chdir", "override_dirname", "id", "num", "config_name", "env_set", "env_copy")
	job.Set("config", dvcfile.NewMap("override_dirname", blank("kv_sep", "item_sep", "exclude_keys")))
	return dvcfile.NewMap(
		"mode", "???", "searchpath", "???", "run", blank("dir"), "sweep", blank("dir", "subdir"),
		"hydra_logging", nil, "job_logging", nil, "sweeper", nil, "launcher", nil, "callbacks", nil,
		"help", blank("app_name", "header", "footer", "template"), "hydra_help", blank("hydra_help", "template"),
		"output_subdir", "???", "overrides", blank("hydra", "task"), "job", job,
		"runtime", blank("version", "version_base", "cwd", "config_sources", "output_dir", "choices"), "verbose", "???",
	)
}
