// Package hydra composes a configuration out of config groups the way Hydra 1.3
// does, without Python: defaults lists, packages, overrides and interpolation.
// DVC writes what it gives into params.yaml before each `exp run` where
// hydra.enabled is set.
//
// Where to begin:
//
//   - Compose: a folder of config files, the name of the primary config and
//     overrides in, the composed config out.
//   - repository: finds and reads config files; entry and tree: the defaults
//     lists and the order that follows from them.
//
// Values, override grammar, merging and ${} are dvcfile's (Config). Nothing is
// written here, and files are read through an fs.FS.
//
// Hydra's own settings (the key hydra and the groups below hydra/) may stand in
// config files and overrides as anywhere; they have no part in the result.
package hydra
