// Package ctr is the click-through-rate example: it reads mobile advertising
// impressions in the layout of Kaggle's Avazu competition, turns them into
// numbers, and judges the models that train.py makes of them.
//
// The way of a row through the pipeline of the root dvc.yaml:
//
//	FileRows or SyntheticRows  ->  Split       data/train.csv, data/test.csv
//	FitEncoder, WriteFeatures                  data/features/*.csv, encoder.json
//	train.py (CatBoost or LightGBM)            models/click.model
//	LoadPredictor, Evaluate                    metrics.json, plots/*.csv
//
// To add a column, begin with Column in row.go; to add a model feature, with
// features in feature.go; to read another model format, implement Predictor
// in a file of its own and name it in ParsePredictor.
//
// The package needs the standard library only. Everything that depends on
// chance takes a seed, and gives the same bytes on every machine.
package ctr
