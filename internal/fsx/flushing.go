package fsx

import "os"

// FlushStep is how many bytes of a large file are written before the disk is
// asked to begin with them. Smaller steps cost calls, larger ones leave more to
// wait for at the end.
const FlushStep = 8 << 20

// Flushing writes a file that will be flushed. What it gets goes to the disk
// while the file grows, so that the flush at the end is short.
type Flushing struct {
	f          *os.File
	size, sent int64 // bytes
}

// NewFlushing writes to f from its beginning.
func NewFlushing(f *os.File) *Flushing { return &Flushing{f: f} }

// Write writes, and lets the disk begin when there is enough for it.
func (w *Flushing) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.size += int64(n)
	if w.size-w.sent >= FlushStep {
		StartFlush(w.f, w.sent, w.size-w.sent)
		w.sent = w.size
	}
	return n, err
}
