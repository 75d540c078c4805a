package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// The README's table of exit codes and the help page say what the code does.
func TestExitCodesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := exitCodesTopic().Long
	for _, r := range errs.Table() {
		if row := fmt.Sprintf("| %d | %s |", r.Code, r.Text); !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row %s", row)
		}
		if line := fmt.Sprintf("%5d  %s\n", r.Code, r.Text); !strings.Contains(help, line) {
			t.Errorf("the help page lacks %q", line)
		}
	}
}

// The README begins with the two commands that must work on a fresh machine.
func TestReadmeBeginsWithTheTwoCommands(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(readme), "go run ./cmd/ctrx exp run")
	second := strings.Index(string(readme), "go test ./...")
	if first < 0 || second < first || second > 1500 {
		t.Errorf("the two commands stand at %d and %d", first, second)
	}
}
