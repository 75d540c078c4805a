package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The soak in small: `go run ./bench/soak` is the whole one.
func TestSoak(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "ctrx.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "ctrx/cmd/ctrx").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := soak{runs: 120, clients: 8, kills: 4}
	report, err := s.run(t.Context(), program, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if report.kills != 4 || report.disk && report.spooled == 0 {
		t.Errorf("%+v", report)
	}
}
