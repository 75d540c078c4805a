// Package experiment runs experiments and keeps them in Git.
//
// An experiment is one run of the pipeline with changed parameters, kept as a
// commit under refs/exps/<baseline>/<name> exactly where DVC keeps its own, and
// as one MLflow run. The user's branch, index and stash are never touched: the
// commit is written beside them, and the results stay in the work tree.
package experiment
