// Package storage keeps data by content: it hashes files and folders, stores
// each content once in a cache, puts it back into the workspace, and moves it
// to and from remotes.
//
// The words:
//
//   - a Digest is the MD5 of a file, or of a directory object with ".dir" at
//     its end;
//   - a DirObject lists the files of a folder with their digests, and is itself
//     stored as an object;
//   - a Hasher turns a path into a Tree (digest, size, members), helped by a
//     State that remembers what was hashed before;
//   - a Cache holds objects on this machine: Commit moves workspace data into
//     it, Checkout brings it back;
//   - a Backend holds objects elsewhere (storage/local, storage/s3): Push,
//     Fetch and Status work on a Cache and a Backend.
//
// All formats are those of DVC 3, so that a cache or remote may be shared with
// it: layout files/md5/<2 digits>/<rest>, objects of mode 0444, members before
// the directory object that names them.
//
// # What a crash leaves behind
//
// An object appears under its name in one step (temporary file, rename), after
// its content was checked against its digest. Mode 0444 marks an object as
// whole and on the disk; whoever meets another mode hashes the object before
// trusting it, in DVC as here. Large objects are flushed one by one; small ones
// get mode 0444 only after one flush of the file system for a whole batch. So a
// kill -9 or a power cut costs at most a second hashing, never a wrong byte.
package storage
