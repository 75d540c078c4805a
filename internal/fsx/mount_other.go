//go:build !linux

package fsx

// Mount tells on what file system a path is. It is not known on this system.
func Mount(string) (kind, source string) { return "", "" }
