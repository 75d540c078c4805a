package ctr

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vectors is testdata/vectors.json, made by testdata/make_models.py with the
// real libraries. null is a missing value.
type vectors struct {
	Features    []string
	Rows        [][]*float64
	Predictions map[string][]float64
}

func TestPredictorsAgreeWithTheirLibraries(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Predictions) == 0 || len(v.Rows) == 0 {
		t.Fatal("vectors.json is empty")
	}
	for name, want := range v.Predictions {
		t.Run(name, func(t *testing.T) {
			model, err := LoadPredictor(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(model.Features(), v.Features) {
				t.Errorf("features are %v, want %v", model.Features(), v.Features)
			}
			for i, row := range v.Rows {
				values := make([]float64, len(row))
				for j, value := range row {
					values[j] = math.NaN()
					if value != nil {
						values[j] = *value
					}
				}
				if got := model.Predict(values); !(math.Abs(got-want[i]) < 1e-12) {
					t.Errorf("row %d %v: %v, want %v", i, values, got, want[i])
				}
			}
		})
	}
}

func TestParsePredictorErrors(t *testing.T) {
	fixture := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	cat, light := fixture("nan_min.catboost.json"), fixture("default.lightgbm.txt")
	for name, test := range map[string]struct{ text, want string }{
		"empty":              {"\n", "m: is empty: a model was expected"},
		"other format":       {"\x80pickle", "m:1: is neither a CatBoost model in JSON nor a LightGBM model in text form"},
		"cut JSON":           {cat[:200], "m:11:10: unexpected end of JSON input"},
		"wrong type":         {strings.Replace(cat, `"leaf_values": [`, `"leaf_values": ["x",`, 1), "m:"},
		"no trees":           {`{"model_info":{"params":{"loss_function":{"type":"Logloss"}}},"scale_and_bias":[1,[0]]}`, "has no trees"},
		"regression":         {strings.Replace(cat, "Logloss", "RMSE", 1), `has loss function "RMSE"`},
		"other split":        {strings.Replace(cat, `"FloatFeature"`, `"OnlineCtr"`, 1), `split of type "OnlineCtr"`},
		"feature index":      {strings.Replace(cat, `"float_feature_index": 0`, `"float_feature_index": 4`, 1), "asks for feature 4 of 4"},
		"missing leaf":       {strings.Replace(cat, `"border":`, `"x":`, 1) + "x", "m:"},
		"categories":         {strings.Replace(cat, `"features_info": {`, `"features_info": {"categorical_features": [{}],`, 1), "not numeric"},
		"multiclass":         {strings.Replace(cat, "\"scale_and_bias\": [\n  1,\n  [", "\"scale_and_bias\": [\n  1,\n  [0,", 1), "more than two classes"},
		"not symmetric":      {strings.Replace(cat, `"oblivious_trees"`, `"trees"`, 1), "not symmetric"},
		"cut text":           {light[:len(light)/2], `ends without "end of trees"`},
		"light multiclass":   {strings.Replace(light, "num_tree_per_iteration=1", "num_tree_per_iteration=3", 1), "two classes"},
		"light regression":   {strings.Replace(light, "objective=binary", "objective=regression", 1), "a probability needs binary"},
		"random forest":      {strings.Replace(light, "label_index", "average_output\nlabel_index", 1), "random forest"},
		"categorical split":  {strings.Replace(light, "num_cat=0", "num_cat=1", 1), "categorical splits"},
		"linear tree":        {strings.Replace(light, "is_linear=0", "is_linear=1", 1), "linear leaves"},
		"loop":               {strings.Replace(light, "left_child=1", "left_child=0", 1), "outside the tree"},
		"child too far":      {strings.Replace(light, "right_child=", "right_child=9 ", 1), "right_child has 5 values, not 4"},
		"no number":          {strings.Replace(light, "threshold=", "threshold=x", 1), "threshold: \"x"},
		"key twice":          {strings.Replace(light, "num_cat=0", "num_cat=0\nnum_cat=0", 1), `m:15: LightGBM model: "num_cat" stands twice`},
		"feature names":      {strings.Replace(light, "max_feature_idx=3", "max_feature_idx=7", 1), `max_feature_idx is "7" for 4`},
		"text without trees": {light[:strings.Index(light, "Tree=0")] + "end of trees\n", "has no trees"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePredictor("m", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "m:") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := LoadPredictor(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is no such file", err)
	}
}

// fuzzModel checks that a model that is accepted can be asked anything.
// The small models are quicker to mutate than the files of the pattern.
func fuzzModel(f *testing.F, pattern string, small []string, parse func(data []byte) (Predictor, error)) {
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatal("no models in testdata", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range small {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		model, err := parse(data)
		if err != nil {
			return
		}
		values := make([]float64, len(model.Features()))
		for _, value := range []float64{0, 1, -1e300, math.NaN(), math.Inf(1)} {
			for i := range values {
				values[i] = value
			}
			if p := model.Predict(values); p < 0 || p > 1 {
				t.Fatalf("probability %v", p)
			}
		}
	})
}

func FuzzParseCatBoost(f *testing.F) {
	small := []string{`{"features_info":{"float_features":[{"feature_index":0,"flat_feature_index":0,"nan_value_treatment":"AsTrue"}]},` +
		`"model_info":{"params":{"loss_function":{"type":"Logloss"}}},"scale_and_bias":[1,[0]],` +
		`"oblivious_trees":[{"leaf_values":[0,1],"splits":[{"border":0.5,"float_feature_index":0,"split_type":"FloatFeature"}]}]}`}
	fuzzModel(f, "*.catboost.json", small, func(data []byte) (Predictor, error) {
		m, err := ParseCatBoost("fuzz", data)
		return m, err
	})
}

func FuzzParseLightGBM(f *testing.F) {
	small := []string{"tree\nnum_tree_per_iteration=1\nmax_feature_idx=0\nobjective=binary sigmoid:1\nfeature_names=a\n\n" +
		"Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=10\nleft_child=-1\nright_child=-2\n" +
		"leaf_value=-1 1\n\nend of trees\n"}
	fuzzModel(f, "*.lightgbm.txt", small, func(data []byte) (Predictor, error) {
		m, err := ParseLightGBM("fuzz", data)
		return m, err
	})
}
