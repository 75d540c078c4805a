// Package dvcfile turns the files of a DVC project into Go values and back:
// dvc.yaml, dvc.lock, .dvc files, params files, and the bytes that DVC hashes.
//
// Everything here is pure: bytes in, values or bytes out. No file is opened.
//
// Where to begin:
//
//   - Value, Map, Int, Float: what a file holds. Numbers keep their kind,
//     mappings their order.
//   - ParseYAML, ParseYAMLNode: read YAML as DVC does; errors carry
//     file:line:col.
//   - EmitYAML, JSON, CanonicalJSON: write it as DVC does. These bytes decide
//     about run-cache keys and about noise in diffs, so they are compared with
//     files made by the real DVC: see testdata/make_vectors.py.
//   - Document: change a value in a YAML file and keep its comments.
//   - Lock, StageLock, DataFile: dvc.lock and .dvc files.
//   - ParsePipeline: dvc.yaml with its ${} templates; ReadParams, Lookup,
//     ParseOverride and ApplyOverrides: parameters.
//   - Config: a tree of settings as OmegaConf holds it, with ${} and merging:
//     what -S is applied to and what Hydra composes. ParseYAML11 and EmitYAML11
//     are the YAML of that world.
//
// A value takes this way through the package: yscan.go cuts text into tokens,
// yparse.go makes a tree of them that remembers comments, yamlread.go makes
// values of the tree. Back, emitnode.go (for values) or docattach.go (for
// edited trees) makes a tree to write, and emit.go with emitscalar.go writes it.
package dvcfile
