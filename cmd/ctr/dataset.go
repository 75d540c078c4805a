package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"ctrx/ctr"
)

// dataset reads the user's file, or makes rows up, and splits them.
func dataset(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("ctr dataset", flag.ContinueOnError)
	source := flags.String("source", "auto", "avazu: the file in the raw folder; synthetic: made-up rows; auto: the file where there is one")
	raw := flags.String("raw", "data/raw", "`folder` with train.csv, train.csv.gz or train.gz")
	out := flags.String("out", "data", "`folder` for train.csv and test.csv")
	rows := flags.Int("rows", 50000, "number of synthetic rows")
	var opt ctr.SplitOptions
	flags.Float64Var(&opt.Sample, "sample", 1, "share of the rows to use")
	flags.Float64Var(&opt.TestSize, "test-size", 0.2, "share of the rows to hold out")
	flags.Uint64Var(&opt.Seed, "seed", 42, "seed of the synthetic rows, the sample and the split")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	input, name, err := openSource(*source, *raw, *rows, opt.Seed)
	if err != nil {
		return err
	}

	var outputs ctr.Outputs
	defer outputs.Discard()
	train, err := outputs.Create(filepath.Join(*out, "train.csv"))
	if err != nil {
		return err
	}
	test, err := outputs.Create(filepath.Join(*out, "test.csv"))
	if err != nil {
		return err
	}
	n, err := ctr.Split(ctx, input, opt, train, test)
	if err != nil {
		return err
	}
	if err := outputs.Publish(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "dataset: %s: %d training rows, %d test rows, click rate %.4f\n",
		name, n.Train, n.Test, float64(n.TrainClicks+n.TestClicks)/float64(n.Train+n.Test))
	return nil
}

// openSource chooses where the rows come from, and names it for the user.
func openSource(source, raw string, rows int, seed uint64) (ctr.Source, string, error) {
	path := ""
	switch source {
	case "synthetic":
	case "auto", "avazu":
		var err error
		if path, err = ctr.FindRaw(raw); err != nil {
			return nil, "", err
		}
	default:
		return nil, "", fmt.Errorf("source %q is none of auto, avazu, synthetic", source)
	}
	switch {
	case path != "":
		return ctr.FileRows(path), path, nil
	case source == "avazu":
		return nil, "", fmt.Errorf("%s has no train.csv, train.csv.gz or train.gz: put Kaggle's file there, or set dataset.source to synthetic", raw)
	}
	return ctr.SyntheticRows(rows, seed), "synthetic rows", nil
}
