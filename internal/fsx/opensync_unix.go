//go:build unix

package fsx

import "os"

func openForSync(r *os.Root, name string) (*os.File, error) { return r.Open(name) }
