package ctr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
)

// Predictor is a trained model of two classes.
type Predictor interface {
	// Features names the model's inputs, in the order in which Predict wants
	// them.
	Features() []string
	// Predict gives the probability of a click, between 0 and 1. values has
	// one number per feature; NaN is a missing one.
	Predict(values []float64) float64
}

// LoadPredictor reads a model file: CatBoost's JSON or LightGBM's text.
func LoadPredictor(path string) (Predictor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return ParsePredictor(path, data)
}

// ParsePredictor tells the format by its first character. name is used in
// errors only.
func ParsePredictor(name string, data []byte) (Predictor, error) {
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return nil, &InputError{File: name, Msg: "is empty: a model was expected"}
	case trimmed[0] == '{':
		return ParseCatBoost(name, data)
	case bytes.HasPrefix(trimmed, []byte("tree")):
		return ParseLightGBM(name, data)
	}
	return nil, &InputError{File: name, Line: 1, Msg: "is neither a CatBoost model in JSON nor a LightGBM model in text form"}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// parseJSON is json.Unmarshal with errors that have a line and a column.
func parseJSON(name string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	offset := int64(-1)
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &wrongType):
		offset = wrongType.Offset
	}
	bad := &InputError{File: name, Msg: err.Error()}
	if offset >= 0 && offset <= int64(len(data)) {
		before := data[:offset]
		bad.Line = 1 + bytes.Count(before, []byte("\n"))
		bad.Col = max(1, len(before)-bytes.LastIndexByte(before, '\n')-1)
	}
	return bad
}
