package fsx

import "os"

// openForSync asks for write access: FlushFileBuffers fails without it.
func openForSync(r *os.Root, name string) (*os.File, error) {
	return r.OpenFile(name, os.O_RDWR, 0)
}
