// Package warm makes measurements on virtual machines comparable.
package warm

import (
	"errors"
	"os"
)

// Memory makes sure that the next so many MiB of files find memory that the host
// of a virtual machine has given already: the first touch takes up to seconds for
// a GiB, and memory that is free for a while is taken back. A file in dir is
// written for that, and deleted.
func Memory(dir string, mib int) (err error) {
	f, err := os.CreateTemp(dir, "warm")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 1<<20)
	for range mib {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}
