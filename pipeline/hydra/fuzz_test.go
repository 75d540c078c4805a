package hydra

import (
	"testing"
	"testing/fstest"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// FuzzCompose: no config files and no override make the composition panic or run
// on, and what fails says whose fault it is.
func FuzzCompose(f *testing.F) {
	f.Add("defaults:\n- db: a\n- _self_\nx: ${db.y}\n", "y: 1\n", "db=b")
	f.Add("defaults:\n- override db: b\n", "# @package _global_\ndefaults:\n- /db: b\n", "+db@x.y=a")
	f.Add("defaults:\n- db@_group_.x: [a, b]\n- optional no: ${db}\n", "defaults:\n- config\n", "~db")
	f.Add("a: &x {b: 1}\nc: {<<: *x, d: '${..a}'}\n", "[1]\n", "a.b={c: ${oc.decode:1}}")
	f.Fuzz(func(t *testing.T, config, option, override string) {
		var ovs []dvcfile.Override
		if override != "" {
			var err error
			if ovs, err = dvcfile.ParseOverride(override); err != nil {
				return
			}
		}
		files := fstest.MapFS{}
		for name, text := range map[string]string{"config.yaml": config, "db/a.yaml": option, "db/b.yaml": "z: 2\n"} {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		composed, err := Compose(Options{Files: files, FolderName: "conf", ConfigName: "config", Overrides: ovs})
		if err != nil {
			if kind := errs.KindOf(err); kind != errs.Usage && kind != errs.ProjectFile {
				t.Errorf("kind %v of %v", kind, err)
			}
			return
		}
		if _, err := dvcfile.ParseYAML11("params.yaml", Params("params.yaml", composed)); err != nil {
			t.Errorf("the result is unreadable: %v", err)
		}
	})
}
