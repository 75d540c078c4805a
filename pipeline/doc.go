// Package pipeline opens a DVC project and answers its one question: what must
// run, and why; then it runs it.
//
// The way of a value through the package:
//
//	Project   an opened repository: root, configuration, cache, Git
//	Source    the files it is read from: the work tree or a commit
//	Index     every stage of every dvc.yaml and .dvc file of a Source
//	Graph     who needs whose output; cycles and overlaps are found here
//	Plan      []Step{Stage, Skip|Restore|Run, Reason}: a value that only reading made
//	Execute   does what the plan says, stage by stage, and writes dvc.lock after each
//
// Data commands (Add, Checkout, Push, Fetch, Status) work on the same Index.
// The package knows nothing of experiments and nothing of MLflow.
package pipeline
