// Package sweep searches for the parameters that make a metric best.
//
// A sweep is a search space (dvcfile.Space), a method that picks points of it,
// and trials: experiments NAME-1, NAME-2, ... of one baseline, each run in a
// working copy of its own. Grid, random, Halton and Latin hypercube sampling
// know all points beforehand; Optuna's samplers and other optimisers are
// programs that are asked for the next point and told what came out
// (docs/ask-tell.md).
//
// What happened is one append-only file, .dvc/tmp/ctrx/sweeps/NAME.jsonl. A
// line is on the disk before the thing that it announces begins, so a sweep
// that was killed goes on from the file: finished trials are not repeated,
// trials that finished without anybody writing it down are taken up from their
// experiments, the others run again with the values that they had.
package sweep
