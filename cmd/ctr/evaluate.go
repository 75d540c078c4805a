package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ctrx/ctr"
)

// evaluate predicts the held-out rows and judges the predictions.
func evaluate(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("ctr evaluate", flag.ContinueOnError)
	model := flags.String("model", "models/click.model", "model `file`: CatBoost JSON or LightGBM text")
	features := flags.String("features", "data/features/test.csv", "feature `file` to predict")
	threshold := flags.Float64("threshold", 0.5, "probability above which a click is predicted")
	metrics := flags.String("metrics", "metrics.json", "`file` for the metrics")
	plots := flags.String("plots", "plots", "`folder` for roc.csv and calibration.csv")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if !(*threshold > 0 && *threshold < 1) {
		return fmt.Errorf("threshold %v is not between 0 and 1", *threshold)
	}
	predictor, err := ctr.LoadPredictor(*model)
	if err != nil {
		return err
	}
	table, err := os.Open(*features)
	if err != nil {
		return fmt.Errorf("open features: %w", err)
	}
	defer table.Close()
	predictions, err := ctr.Predict(ctx, predictor, *features, table)
	if err != nil {
		return err
	}
	evaluation, err := ctr.Evaluate(predictions, *threshold)
	if err != nil {
		return err
	}

	var outputs ctr.Outputs
	defer outputs.Discard()
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{*metrics, evaluation.WriteMetrics},
		{filepath.Join(*plots, "roc.csv"), evaluation.WriteROC},
		{filepath.Join(*plots, "calibration.csv"), evaluation.WriteCalibration},
	} {
		w, err := outputs.Create(file.path)
		if err != nil {
			return err
		}
		if err := file.write(w); err != nil {
			return err
		}
	}
	if err := outputs.Publish(); err != nil {
		return err
	}
	m := evaluation.Metrics
	fmt.Fprintf(stdout, "evaluate: %d rows: ROC AUC %.4f, log loss %.4f, F1 %.4f\n", len(predictions), m.ROCAUC, m.LogLoss, m.F1Score)
	return nil
}
