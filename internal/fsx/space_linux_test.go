package fsx

import (
	"os"
	"testing"

	"ctrx/internal/errs"
)

func TestFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	_, err = f.Write([]byte("x"))
	if err == nil {
		t.Fatal("/dev/full took a byte")
	}
	got := FullDisk(err)
	if errs.HintOf(got) == "" {
		t.Errorf("no hint in %v", got)
	}
	if FullDisk(got) != got {
		t.Error("wrapped twice")
	}
	if FullDisk(os.ErrNotExist) != os.ErrNotExist || FullDisk(nil) != nil {
		t.Error("another error was changed")
	}
}
