package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"ctrx/ctr"
)

// featurize fits the encoder on the training rows and applies it to both parts.
func featurize(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("ctr featurize", flag.ContinueOnError)
	in := flags.String("in", "data", "`folder` with train.csv and test.csv")
	out := flags.String("out", "data/features", "`folder` for train.csv, test.csv and encoder.json")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	encoder, err := ctr.FitEncoder(ctx, ctr.FileRows(filepath.Join(*in, "train.csv")))
	if err != nil {
		return err
	}

	var outputs ctr.Outputs
	defer outputs.Discard()
	state, err := outputs.Create(filepath.Join(*out, "encoder.json"))
	if err != nil {
		return err
	}
	if err := encoder.WriteJSON(state); err != nil {
		return err
	}
	var rows [2]int
	for i, name := range []string{"train.csv", "test.csv"} {
		w, err := outputs.Create(filepath.Join(*out, name))
		if err != nil {
			return err
		}
		rows[i], err = encoder.WriteFeatures(ctx, ctr.FileRows(filepath.Join(*in, name)), w)
		if err != nil {
			return err
		}
	}
	if err := outputs.Publish(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "featurize: %d features of %d training rows and %d test rows\n", ctr.NumFeatures, rows[0], rows[1])
	return nil
}
