package ctr

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestOutputs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "folder")
	path := filepath.Join(dir, "a.csv")
	write := func(o *Outputs, path, text string) {
		t.Helper()
		w, err := o.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	var o Outputs
	write(&o, path, "first")
	write(&o, filepath.Join(dir, "b.csv"), "second")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is there before Publish (error %v)", err)
	}
	if err := o.Publish(); err != nil {
		t.Fatal(err)
	}
	o.Discard()
	if got := fileNames(t, dir); len(got) != 2 || got[0] != "a.csv" || got[1] != "b.csv" {
		t.Errorf("files after Publish: %v", got)
	}

	var thrown Outputs
	write(&thrown, path, "third")
	thrown.Discard()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "first" {
		t.Errorf("after Discard the file has %q, error %v", data, err)
	}
	if got := fileNames(t, dir); len(got) != 2 {
		t.Errorf("files after Discard: %v", got)
	}

	// A name that cannot be replaced: nothing temporary stays behind.
	if err := os.MkdirAll(filepath.Join(dir, "taken", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	var failing Outputs
	write(&failing, filepath.Join(dir, "taken"), "text")
	if err := failing.Publish(); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if got := fileNames(t, dir); len(got) != 3 {
		t.Errorf("files after a failed Publish: %v", got)
	}
}
