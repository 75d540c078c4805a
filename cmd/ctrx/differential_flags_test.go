package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/testreq"
)

// TestDifferentialFlags takes random graphs through random calls of repro, with
// edits and losses between them, once by ctrx and once by the real dvc. Both
// must say the same of each stage, in the same order, and leave the same files.
func TestDifferentialFlags(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	if testing.Short() {
		t.Skip("takes a minute")
	}
	first, cases := envNumber(t, differentialSeed, 1), envNumber(t, differentialCases, 24)
	work := t.TempDir()
	d := startDVC(t, filepath.Join(work, "site"))
	defer d.stop()
	for i := range cases {
		compareFlags(t, d, work, uint64(first+i))
	}
}

// verdictLine is a line in which repro says what it does with a stage.
var verdictLine = regexp.MustCompile(`(?m)^(Running stage .*|Stage '.*' (is cached|didn't change).*|Verifying .*|'.*' didn't change.*)$`)

func compareFlags(t *testing.T, d *manyDVC, work string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	g := randomStages(r)
	byDVC, byCtrx := filepath.Join(work, fmt.Sprint("f", seed, "d")), filepath.Join(work, fmt.Sprint("f", seed, "c"))
	var story strings.Builder
	for _, dir := range []string{byDVC, byCtrx} {
		writeFiles(t, dir, g.files())
	}
	for step := range 6 {
		if step > 0 {
			edit := g.randomEdit(r)
			fmt.Fprintf(&story, "%s\n", edit.what)
			for _, dir := range []string{byDVC, byCtrx} {
				if err := edit.do(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		args := []string{"repro"}
		if step > 0 {
			args = append(args, g.randomFlags(r)...)
		}
		fmt.Fprintf(&story, "$ %s\n", strings.Join(args, " "))
		theirs, ours := d.run(t, byDVC, args), runCtrx(t, byCtrx, args)
		fail := func(why string) {
			t.Errorf("seed %d: %s\n%s\n--- dvc.yaml\n%s--- dvc ends with %d\n%s\n--- ctrx ends with %d\n%s",
				seed, why, &story, g.files()["dvc.yaml"], theirs.Code, theirs.Output, ours.Code, ours.Output)
		}
		if slices.Contains(args, "--dry") { // dvc's stops at a missing input, ctrx's also tells of what may run
			continue
		}
		if (theirs.Code == 0) != (ours.Code == 0) {
			fail("one fails")
			return
		}
		theySay, weSay := verdictLine.FindAllString(theirs.Output, -1), verdictLine.FindAllString(ours.Output, -1)
		if !slices.Equal(theySay, weSay) {
			if theirs.Code != 0 {
				break // ctrx looks at what is missing before it removes anything, dvc after
			}
			slices.Sort(theySay)
			slices.Sort(weSay)
			if len(args) > 1 && slices.Equal(theySay, weSay) {
				break // dvc takes some selected stages in the order of a hash that is new in each process
			}
			fail("different stages: ctrx\n" + strings.Join(weSay, "\n") + "\ndvc\n" + strings.Join(theySay, "\n"))
			return
		}
		if diff := differentFiles(t, byDVC, byCtrx); diff != "" && theirs.Code != 0 {
			break
		} else if diff != "" {
			fail("different files\n" + diff)
			return
		}
	}
	for _, dir := range []string{byDVC, byCtrx} {
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	}
}

// stageGraph is a random pipeline, partly in a folder of its own.
type stageGraph struct {
	stages  []graphStage
	version map[string]int // of commands
}

type graphStage struct {
	name, dir, extra string   // extra: further lines of the stage
	deps             []string // paths from the root
	fails            bool     // while the file "broken" is there
}

func (s graphStage) out() string { return filepath.ToSlash(filepath.Join(s.dir, "out-"+s.name)) }

func randomStages(r *rand.Rand) *stageGraph {
	g := &stageGraph{version: map[string]int{}}
	for i := range 3 + r.IntN(5) {
		s := graphStage{name: fmt.Sprintf("%c%d", 'a'+r.IntN(3), i)}
		if r.IntN(4) == 0 {
			s.dir = "sub"
		}
		for range r.IntN(3) {
			if dep := fmt.Sprintf("src%d", r.IntN(3)); i == 0 || r.IntN(3) == 0 {
				s.deps = append(s.deps, dep)
			} else {
				s.deps = append(s.deps, g.stages[r.IntN(i)].out())
			}
		}
		switch r.IntN(9) {
		case 0:
			s.extra = "    frozen: true\n"
		case 1:
			s.extra = "    always_changed: true\n"
		case 2:
			s.extra = "    params: [p]\n"
		}
		s.fails = r.IntN(6) == 0
		g.stages = append(g.stages, s)
	}
	return g
}

func (g *stageGraph) files() map[string]string {
	files := map[string]string{
		"src0": "zero\n", "src1": "one\n", "src2": "two\n", "params.yaml": "p: 1\n", "sub/params.yaml": "p: 1\n",
		".dvc/config": "[core]\n    no_scm = true\n", "dvc.yaml": "stages:\n",
	}
	for _, s := range g.stages {
		files[filepath.ToSlash(filepath.Join(s.dir, "dvc.yaml"))] = "stages:\n"
	}
	for _, s := range g.stages {
		name := filepath.ToSlash(filepath.Join(s.dir, "dvc.yaml"))
		files[name] += s.text(g.version[s.name])
	}
	if files["dvc.yaml"] == "stages:\n" {
		files["dvc.yaml"] = "stages: {}\n"
	}
	return files
}

func (s graphStage) text(version int) string {
	var b strings.Builder
	up := ""
	if s.dir != "" {
		up = "../"
	}
	cmd := fmt.Sprintf("echo %s %d > out-%s", s.name, version, s.name)
	if s.fails {
		cmd = "test ! -e " + up + "broken && " + cmd
	}
	seen := map[string]bool{}
	deps := ""
	for _, d := range s.deps {
		if !seen[d] {
			deps += "    - " + up + d + "\n"
			cmd += " && cat " + up + d + " >> out-" + s.name
		}
		seen[d] = true
	}
	fmt.Fprintf(&b, "  %s:\n    cmd: %s\n", s.name, cmd)
	if deps != "" {
		b.WriteString("    deps:\n" + deps)
	}
	b.WriteString(s.extra + "    outs: [out-" + s.name + "]\n")
	return b.String()
}

// graphEdit changes a project between two runs.
type graphEdit struct {
	what string
	do   func(dir string) error
}

func (g *stageGraph) randomEdit(r *rand.Rand) graphEdit {
	write := func(name, text string) graphEdit {
		return graphEdit{"edit " + name, func(dir string) error {
			_ = os.Remove(filepath.Join(dir, name)) // it may be a link into the cache
			return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666)
		}}
	}
	remove := func(name string) graphEdit {
		return graphEdit{"remove " + name, func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }}
	}
	s := g.stages[r.IntN(len(g.stages))]
	switch r.IntN(9) {
	case 0, 1:
		return write(fmt.Sprintf("src%d", r.IntN(3)), fmt.Sprintf("edited %d\n", r.IntN(3)))
	case 2:
		return write("params.yaml", fmt.Sprintf("p: %d\n", r.IntN(3)))
	case 3:
		return remove(s.out())
	case 4:
		return write(s.out(), "not what was made\n")
	case 5:
		return remove(".dvc/cache/files")
	case 6:
		return remove("dvc.lock")
	case 7:
		if r.IntN(2) == 0 {
			return remove("broken")
		}
		return write("broken", "")
	}
	g.version[s.name]++
	files := g.files()
	return graphEdit{"new command of " + s.name, func(dir string) error {
		name := filepath.Join(s.dir, "dvc.yaml")
		return os.WriteFile(filepath.Join(dir, name), []byte(files[filepath.ToSlash(name)]), 0o666)
	}}
}

func (g *stageGraph) randomFlags(r *rand.Rand) []string {
	s := g.stages[r.IntN(len(g.stages))]
	target := s.name
	if s.dir != "" {
		target = s.dir + "/dvc.yaml:" + s.name
	}
	pattern := target
	if s.dir == "" { // dvc takes a pattern that nothing matches for no target at all; ctrx refuses it
		pattern = s.name[:1] + "*"
	}
	all := [][]string{
		{}, {}, {"-f"}, {"-s", target}, {"-f", "-s", target}, {"-p", target}, {"-P"}, {"-R", "."}, {"--downstream", target}, {"--force-downstream"},
		{"--force-downstream", target}, {"--allow-missing"}, {"--allow-missing", "-P"}, {"--dry"}, {"-k"}, {"-k", "-P"}, {"--ignore-errors"}, {"--glob", pattern},
		{"--no-commit"}, {"--no-run-cache"}, {"--no-run-cache", "-f"}, {target}, {"-f", target}, {"--no-commit", target},
	}
	return all[r.IntN(len(all))]
}
