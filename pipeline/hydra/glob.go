package hydra

import (
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// ExpandGlobs puts the options of config groups in place of glob(...) in -S
// arguments: model=glob(*) becomes model=choice(cat,xgb), which is a sweep.
// Other arguments stay as they are. Errors are errs.Usage.
func ExpandGlobs(o Options, args []string) ([]string, error) {
	repo := &repository{folders: []folder{{files: o.Files, name: o.FolderName}}, loaded: map[string]*config{}}
	out := make([]string, len(args))
	for i, arg := range args {
		ov, glob := dvcfile.ParseGlob(arg)
		if glob == nil || ov.File != dvcfile.DefaultParamsFile {
			out[i] = arg
			continue
		}
		if !repo.isGroup(ov.Key) {
			return nil, usage("'%s': glob() names options of a config group, and %s is none in %s", arg, ov.Key, o.FolderName)
		}
		var chosen []string
		all := repo.options(ov.Key)
		for _, option := range all {
			if glob.Match(option) {
				chosen = append(chosen, option)
			}
		}
		if len(chosen) == 0 {
			return nil, errs.Hint(usage("'%s' matches no option of '%s'", arg, ov.Key), "available options in '%s': %s", ov.Key, strings.Join(all, ", "))
		}
		out[i] = ov.WithOptions(chosen)
	}
	return out, nil
}
