package hydra

import (
	"slices"
	"testing"
	"testing/fstest"

	"ctrx/internal/errs"
)

func TestExpandGlobs(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"config", "train/model/dbscan", "train/model/hdbscan", "train/model/kmeans", "train/model/it's odd", "train/model/1"} {
		files[name+".yaml"] = &fstest.MapFile{}
	}
	o := Options{Files: files, FolderName: "conf"}
	for arg, want := range map[string]string{
		"train/model=glob(*)":                         `train/model=choice('1',dbscan,hdbscan,'it\'s odd',kmeans)`,
		"train/model=glob(*scan)":                     "train/model=choice(dbscan,hdbscan)",
		"train/model=glob([*scan,k*],exclude=h*)":     "train/model=choice(dbscan,kmeans)",
		"train/model@x=glob('[!dh]means',exclude=[])": "train/model@x=choice(kmeans)",
		"+train/model=glob(k*)":                       "+train/model=choice(kmeans)",
		"lr=1,2":                                      "lr=1,2",
		"other.yaml:a=glob(*)":                        "other.yaml:a=glob(*)",
		"a=glob(":                                     "a=glob(",
		"lr=glob(*)":                                  "",
		"train/model=glob(x*)":                        "",
	} {
		got, err := ExpandGlobs(o, []string{"first=1", arg})
		if want == "" {
			if errs.KindOf(err) != errs.Usage {
				t.Errorf("%s: %v", arg, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, []string{"first=1", want}) {
			t.Errorf("%s: got %q, %v", arg, got, err)
		}
	}
}
