// Package layers holds the house's walls: which folder may import which, and
// which third-party module belongs to which folder. It is a test, so that
// nobody needs a linter for it.
package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list -json` tells of a package.
type pkg struct {
	Dir          string
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// rank orders the rooms: a package imports only packages of a lower rank, or
// those that beside names for it.
var rank = []struct {
	prefix string
	rank   int
}{
	{"ctrx/cmd/ctrx", 10},
	{"ctrx/cmd/internal/cli", 9},
	{"ctrx/bench", 9},
	{"ctrx/experiment", 8},
	{"ctrx/report", 7},
	{"ctrx/pipeline/pyenv", 2},
	{"ctrx/pipeline/dvcfile", 4},
	{"ctrx/pipeline/hydra", 5},
	{"ctrx/pipeline", 6},
	{"ctrx/gitops", 5},
	{"ctrx/tracking", 5},
	{"ctrx/storage", 3},
	{"ctrx/internal", 1},
	{"ctrx/cmd/ctr", 9},
	{"ctrx/ctr", 1},
}

// apart are pairs that may not know each other although their ranks would
// allow it: storage knows neither Git nor MLflow, tracking knows no DVC, the
// example knows nothing of the tool.
var apart = map[string][]string{
	"ctrx/tracking":       {"ctrx/pipeline", "ctrx/storage", "ctrx/gitops"},
	"ctrx/gitops":         {"ctrx/pipeline", "ctrx/storage", "ctrx/tracking"},
	"ctrx/report":         {"ctrx/gitops", "ctrx/tracking", "ctrx/storage"},
	"ctrx/pipeline":       {"ctrx/tracking", "ctrx/experiment"},
	"ctrx/pipeline/hydra": {"ctrx/storage", "ctrx/gitops", "ctrx/tracking"},
	"ctrx/ctr":            {"ctrx/internal", "ctrx/storage", "ctrx/pipeline"},
	"ctrx/cmd/ctr":        {"ctrx/internal", "ctrx/storage", "ctrx/pipeline"},
}

// forTests are packages that only tests may import.
var forTests = []string{"ctrx/internal/testbrowser", "ctrx/internal/testreq", "ctrx/internal/testserver", "ctrx/storage/backendtest"}

// systems are those that ctrx is built for; a file for one of them has imports
// of its own.
var systems = []string{"linux", "darwin", "windows"}

// owners says which folders may import a third-party module (by prefix).
var owners = map[string][]string{
	"github.com/aws/":                  {"ctrx/storage/s3"},
	"github.com/go-git/":               {"ctrx/gitops"},
	"gopkg.in/yaml.v3":                 {"ctrx/internal/settings", "ctrx/pipeline/dvcfile"},
	"github.com/pelletier/go-toml/":    {"ctrx/pipeline/dvcfile", "ctrx/pipeline/pyenv"},
	"gonum.org/v1/gonum/":              {"ctrx/experiment/sweep"},
	"gonum.org/v1/plot":                {"ctrx/report/plots/svg"},
	"modernc.org/sqlite":               {"ctrx/tracking/server"},
	"github.com/spf13/":                {"ctrx/cmd/internal/cli"},
	"github.com/vbauerster/mpb/":       {"ctrx/cmd/internal/cli"},
	"golang.org/x/term":                {"ctrx/cmd/internal/cli"},
	"golang.org/x/sync":                {"ctrx/internal/fsx", "ctrx/storage", "ctrx/pipeline", "ctrx/tracking", "ctrx/gitops", "ctrx/experiment", "ctrx/bench"},
	"golang.org/x/sys":                 {"ctrx/internal/fsx", "ctrx/internal/process", "ctrx/internal/usage", "ctrx/storage", "ctrx/pipeline", "ctrx/gitops", "ctrx/bench", "ctrx/cmd/internal/cli"},
	"github.com/pkg/sftp":              {"ctrx/storage/ssh", "ctrx/internal/testserver"},
	"github.com/kevinburke/ssh_config": {"ctrx/storage/ssh"},
	"golang.org/x/crypto/ssh":          {"ctrx/storage/ssh", "ctrx/internal/testserver"},
	"github.com/icholy/digest":         {"ctrx/storage/web"},
	"github.com/shirou/gopsutil/":      {"ctrx/internal/usage"},
	"github.com/rclone/gofakes3":       {"ctrx/storage/s3", "ctrx/storage/remote"},
	"github.com/rogpeppe/go-internal":  {"ctrx/cmd/ctrx"},
}

func TestLayers(t *testing.T) {
	for _, system := range systems {
		for _, p := range list(t, system) {
			for _, imp := range p.Imports {
				if strings.HasPrefix(imp, "ctrx/") {
					checkOwn(t, p.ImportPath, imp)
				}
			}
			all := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
			for _, imp := range all {
				if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") {
					checkThirdParty(t, p.ImportPath, imp)
				}
			}
		}
	}
}

func list(t *testing.T, system string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,ImportPath,Imports,TestImports,XTestImports", "ctrx/...")
	cmd.Env = append(os.Environ(), "GOOS="+system)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		// go test remembers a result until a file changes that the test itself
		// has looked at.
		if _, err := os.ReadDir(p.Dir); err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 15 {
		t.Fatalf("go list found %d packages only", len(pkgs))
	}
	return pkgs
}

func checkOwn(t *testing.T, from, to string) {
	t.Helper()
	if slices.Contains(forTests, to) && !slices.Contains(forTests, from) {
		t.Errorf("%s imports %s, which is for tests", from, to)
	}
	fr, fromRoom := rankOf(t, from)
	tr, toRoom := rankOf(t, to)
	inOneRoom := fromRoom == toRoom
	if tr > fr || tr == fr && !inOneRoom {
		t.Errorf("%s imports %s: imports go down only", from, to)
	}
	for _, stranger := range apart[fromRoom] {
		if within(to, stranger) {
			t.Errorf("%s imports %s: %s knows nothing of %s", from, to, fromRoom, stranger)
		}
	}
}

func rankOf(t *testing.T, importPath string) (int, string) {
	t.Helper()
	for _, r := range rank {
		if within(importPath, r.prefix) {
			return r.rank, r.prefix
		}
	}
	t.Errorf("%s has no place in the table of layers", importPath)
	return 0, ""
}

func within(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
}

func checkThirdParty(t *testing.T, from, to string) {
	t.Helper()
	longest := ""
	for prefix := range owners {
		if strings.HasPrefix(to, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	if longest == "" {
		t.Errorf("%s imports %s, which is not in the table of modules: add it with the reason in the commit", from, to)
		return
	}
	if !slices.ContainsFunc(owners[longest], func(room string) bool { return within(from, room) }) {
		t.Errorf("%s imports %s: only %v may", from, to, owners[longest])
	}
}
