//go:build unix

package server

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// fullReader is an upload in which the disk becomes full.
type fullReader struct{}

func (fullReader) Read([]byte) (int, error) { return 0, fmt.Errorf("write x: %w", syscall.ENOSPC) }

func TestNoSpaceForArtifact(t *testing.T) {
	f := newFixture(t)
	err := f.artifacts.put(t.Context(), "0/x/artifacts/a", fullReader{})
	if e := asAPIError(err); e.httpStatus() != 503 || !strings.Contains(e.message, "no space left on the disk") {
		t.Errorf("%d %s", e.httpStatus(), e.message)
	}
	if files, err := f.artifacts.list(t.Context(), "0/x/artifacts"); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	if err := f.artifacts.put(t.Context(), "0/x/artifacts/a", bytes.NewReader([]byte("x"))); err != nil {
		t.Error(err)
	}
}
