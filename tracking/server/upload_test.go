package server

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"
)

// TestCutUpload: what a client did not send to its end is no artifact, also where
// the connection ends as io.ReadFull would say of a whole last block.
func TestCutUpload(t *testing.T) {
	f := newFixture(t)
	for _, size := range []int{0, 10, uploadBlock, uploadBlock + 10, 3 * uploadBlock} {
		content := bytes.Repeat([]byte("x"), size)
		for _, end := range []error{io.ErrUnexpectedEOF, errors.New("reset")} {
			r := io.MultiReader(bytes.NewReader(content), iotest.ErrReader(end))
			if err := f.artifacts.put(t.Context(), "0/x/artifacts/a", r); !errors.Is(err, end) {
				t.Errorf("%d bytes, then %v: %v", size, end, err)
			}
		}
		root, err := f.artifacts.(*artifactDir).open(true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.Stat("0/x/artifacts/a"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err := f.artifacts.put(t.Context(), "0/x/artifacts/whole", iotest.OneByteReader(bytes.NewReader(content[:min(size, 1000)]))); err != nil {
			t.Error(err)
		}
		if err := f.artifacts.put(t.Context(), "0/x/artifacts/whole", bytes.NewReader(content)); err != nil {
			t.Error(err)
		}
		if got, err := root.ReadFile("0/x/artifacts/whole"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d came, %v", size, len(got), err)
		}
	}
}
