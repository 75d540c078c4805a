package ctr

import (
	"fmt"
	"math"
)

// CatBoost is a model that CatBoost saved with format="json": a sum of
// symmetric ("oblivious") trees over numeric features, of two classes.
//
// In such a tree all nodes of a level ask the same question, so the answers
// are the bits of the leaf's number, the first level's the lowest. Borders and
// inputs are compared as 32-bit floats, as CatBoost does. The format is
// described in
// https://catboost.ai/docs/en/concepts/c_cpp_library-model-json.
type CatBoost struct {
	names []string
	trees []obliviousTree
	scale float64
	bias  float64
}

type obliviousTree struct {
	splits []obliviousSplit
	leaves []float64 // 2^len(splits)
}

type obliviousSplit struct {
	feature   int
	border    float32
	nanAsTrue bool // the answer for a missing value
}

// catBoostFile is the part of the file that is needed.
type catBoostFile struct {
	FeaturesInfo struct {
		FloatFeatures []struct {
			FeatureID    string `json:"feature_id"`
			FeatureIndex int    `json:"feature_index"`
			FlatIndex    int    `json:"flat_feature_index"`
			NaNTreatment string `json:"nan_value_treatment"`
		} `json:"float_features"`
		CategoricalFeatures []struct{} `json:"categorical_features"`
		TextFeatures        []struct{} `json:"text_features"`
		EmbeddingFeatures   []struct{} `json:"embedding_features"`
	} `json:"features_info"`
	ModelInfo struct {
		Params struct {
			LossFunction struct {
				Type string `json:"type"`
			} `json:"loss_function"`
		} `json:"params"`
	} `json:"model_info"`
	ObliviousTrees []struct {
		LeafValues []float64 `json:"leaf_values"`
		Splits     []struct {
			Border  float64 `json:"border"`
			Feature *int    `json:"float_feature_index"`
			Type    string  `json:"split_type"`
		} `json:"splits"`
	} `json:"oblivious_trees"`
	Trees        []struct{} `json:"trees"`
	ScaleAndBias []any      `json:"scale_and_bias"`
}

// ParseCatBoost reads a model file. name is used in errors only.
func ParseCatBoost(name string, data []byte) (*CatBoost, error) {
	var file catBoostFile
	if err := parseJSON(name, data, &file); err != nil {
		return nil, err
	}
	m, err := file.model()
	if err != nil {
		return nil, &InputError{File: name, Msg: "CatBoost model: " + err.Error()}
	}
	return m, nil
}

func (f *catBoostFile) model() (*CatBoost, error) {
	info := f.FeaturesInfo
	switch loss := f.ModelInfo.Params.LossFunction.Type; {
	case len(info.CategoricalFeatures)+len(info.TextFeatures)+len(info.EmbeddingFeatures) > 0:
		return nil, fmt.Errorf("has features that are not numeric, which this program does not read")
	case len(f.Trees) > 0:
		return nil, fmt.Errorf("has trees that are not symmetric, which this program does not read")
	case loss != "Logloss" && loss != "CrossEntropy":
		return nil, fmt.Errorf("has loss function %q, a probability needs Logloss", loss)
	case len(f.ObliviousTrees) == 0:
		return nil, fmt.Errorf("has no trees")
	}
	m := &CatBoost{names: make([]string, len(info.FloatFeatures))}
	nanAsTrue := make([]bool, len(m.names))
	for i, feature := range info.FloatFeatures {
		if feature.FeatureIndex != i || feature.FlatIndex != i {
			return nil, fmt.Errorf("feature %d has the index %d", i, feature.FeatureIndex)
		}
		m.names[i] = feature.FeatureID
		if m.names[i] == "" {
			m.names[i] = fmt.Sprint(i)
		}
		nanAsTrue[i] = feature.NaNTreatment == "AsTrue"
	}
	if err := m.setScaleAndBias(f.ScaleAndBias); err != nil {
		return nil, err
	}
	for t, tree := range f.ObliviousTrees {
		if len(tree.Splits) > 30 || len(tree.LeafValues) != 1<<len(tree.Splits) {
			return nil, fmt.Errorf("tree %d has %d leaf values for %d splits", t, len(tree.LeafValues), len(tree.Splits))
		}
		out := obliviousTree{leaves: tree.LeafValues}
		for _, s := range tree.Splits {
			if s.Type != "FloatFeature" || s.Feature == nil {
				return nil, fmt.Errorf("tree %d has a split of type %q, which this program does not read", t, s.Type)
			}
			if *s.Feature < 0 || *s.Feature >= len(m.names) {
				return nil, fmt.Errorf("tree %d asks for feature %d of %d", t, *s.Feature, len(m.names))
			}
			out.splits = append(out.splits, obliviousSplit{*s.Feature, float32(s.Border), nanAsTrue[*s.Feature]})
		}
		m.trees = append(m.trees, out)
	}
	return m, nil
}

// setScaleAndBias reads [scale, [bias]], or [scale, bias] of older files.
func (m *CatBoost) setScaleAndBias(values []any) error {
	if len(values) != 2 {
		return fmt.Errorf("scale_and_bias has %d parts, not 2", len(values))
	}
	second := values[1]
	if list, ok := second.([]any); ok && len(list) == 1 {
		second = list[0]
	}
	var scaleOK, biasOK bool
	m.scale, scaleOK = values[0].(float64)
	m.bias, biasOK = second.(float64)
	if !scaleOK || !biasOK {
		return fmt.Errorf("scale_and_bias is not [number, [number]]: the model may have more than two classes")
	}
	return nil
}

// Features implements Predictor.
func (m *CatBoost) Features() []string { return m.names }

// Predict implements Predictor.
func (m *CatBoost) Predict(values []float64) float64 {
	var sum float64
	for _, tree := range m.trees {
		leaf := 0
		for bit, s := range tree.splits {
			value := values[s.feature]
			yes := float32(value) > s.border
			if math.IsNaN(value) {
				yes = s.nanAsTrue
			}
			if yes {
				leaf |= 1 << bit
			}
		}
		sum += tree.leaves[leaf]
	}
	return sigmoid(m.scale*sum + m.bias)
}
