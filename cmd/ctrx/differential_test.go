package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/cmd/internal/cli"
	"ctrx/internal/testreq"
)

// How many random projects a test makes, and where it begins. To see one case
// alone: CTRX_DIFFERENTIAL_SEED=<its seed> CTRX_DIFFERENTIAL_CASES=1.
const (
	differentialSeed  = "CTRX_DIFFERENTIAL_SEED"
	differentialCases = "CTRX_DIFFERENTIAL_CASES"
)

// TestDifferential runs random projects with ctrx and with the real dvc, each in
// a folder of its own, and wants the same files of both, byte for byte, dvc.lock,
// the cache and the run cache included.
func TestDifferential(t *testing.T) {
	const cases, valid = 235, 200 // some projects are refused by both, which compares little
	count := compareMany(t, cases, func(seed uint64) *project { return randomProject(seed, nil) })
	if done := count["done"]; count["done"]+count["refused"] == cases && done < valid {
		t.Errorf("the random projects are no good: only %d of %d are valid, want %d", done, cases, valid)
	}
}

// TestDifferentialBroken breaks small random projects in every known way: what
// dvc refuses ctrx must refuse, and where dvc sees nothing wrong the files must
// be the same.
func TestDifferentialBroken(t *testing.T) {
	all := mutations()
	compareMany(t, len(all), func(seed uint64) *project { return randomProject(seed, &all[int(seed-1)%len(all)]) })
}

// compareMany compares the projects of many seeds and counts what became of them.
func compareMany(t *testing.T, cases int, make func(seed uint64) *project) map[string]int {
	testreq.NeedModules(t, "dvc")
	if testing.Short() {
		t.Skip("takes a minute or two")
	}
	first, cases := envNumber(t, differentialSeed, 1), envNumber(t, differentialCases, cases)
	work := t.TempDir()
	var wait sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	const workers = 2
	for w := range workers {
		wait.Go(func() {
			d := startDVC(t, filepath.Join(work, "site"+strconv.Itoa(w)))
			defer d.stop()
			for i := w; i < cases; i += workers {
				outcome := compareWithDVC(t, d, work, make(uint64(first+i)))
				mu.Lock()
				count[outcome]++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	t.Logf("seeds %d to %d: %v", first, first+cases-1, count)
	return count
}

func envNumber(t *testing.T, name string, missing int) int {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return missing
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// compareWithDVC writes a project twice and runs both. It tells what became of it:
// done, refused (by both) or different.
func compareWithDVC(t *testing.T, d *manyDVC, work string, p *project) string {
	outcome := "done"
	byDVC, byCtrx := filepath.Join(work, fmt.Sprint(p.seed, "d")), filepath.Join(work, fmt.Sprint(p.seed, "c"))
	for step, files := range p.steps {
		writeFiles(t, byDVC, files)
		writeFiles(t, byCtrx, files)
		theirs := d.run(t, byDVC, p.args)
		ours := runCtrx(t, byCtrx, p.args)
		switch {
		case (theirs.Code == 0) != (ours.Code == 0):
			t.Errorf("%s\n--- one refuses (step %d): dvc ends with %d, ctrx with %d", p.report(theirs, ours), step, theirs.Code, ours.Code)
			return "different"
		case theirs.Code != 0: // how far each came before does not matter
			outcome = "refused"
			if p.broken == "" { // the generator is to blame, if these are many
				t.Logf("seed %d is refused: %s", p.seed, theirs.Output[max(0, len(theirs.Output)-300):])
			}
			continue
		}
		if diff := differentTrees(t, byDVC, byCtrx, p.loose); diff != "" {
			t.Errorf("%s\n--- different files (step %d)\n%s", p.report(theirs, ours), step, diff)
			return "different"
		}
	}
	for _, dir := range []string{byDVC, byCtrx} {
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	}
	return outcome
}

// report shows a case, so that it can be judged without running it again.
func (p *project) report(theirs, ours answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: repro %v", p.seed, p.args)
	if p.broken != "" {
		b.WriteString(", broken: " + p.broken)
	}
	for step, files := range p.steps {
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "\n--- step %d: %s\n%s", step, name, files[name])
		}
	}
	fmt.Fprintf(&b, "\n--- dvc says\n%s\n--- ctrx says\n%s", theirs.Output, ours.Output)
	return b.String()
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(file), 0o777)
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o666)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// answer is what one command did.
type answer struct {
	Code   int    `json:"code"`
	Output string `json:"output"`
}

func runCtrx(t *testing.T, dir string, args []string) answer {
	var out bytes.Buffer
	code := mainInto(t, dir, args, &out, &out)
	return answer{code, out.String()}
}

// stdoutOfCtrx is runCtrx with the standard output alone.
func stdoutOfCtrx(t *testing.T, dir string, args []string) answer {
	var out bytes.Buffer
	code := mainInto(t, dir, args, &out, io.Discard)
	return answer{code, out.String()}
}

func mainInto(t *testing.T, dir string, args []string, out, errOut io.Writer) int {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	return cli.Main(ctx, args, cli.Streams{
		In: strings.NewReader(""), Out: out, Err: errOut, Dir: dir, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 1)),
		Env: append(os.Environ(), "SHELL=/bin/sh", "HOME="+filepath.Join(dir, ".home")),
	})
}

// manyDVC is a process that runs dvc again and again.
type manyDVC struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startDVC(t *testing.T, site string) *manyDVC {
	script, err := filepath.Abs(filepath.Join("testdata", "differential", "dvc_many.py"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "SHELL=/bin/sh", "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore",
		"DVC_SITE_CACHE_DIR="+site, "DVC_SYSTEM_CONFIG_DIR="+site, "DVC_GLOBAL_CONFIG_DIR="+site)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &manyDVC{cmd: cmd, in: in, out: bufio.NewReader(out)}
}

func (d *manyDVC) run(t *testing.T, dir string, args []string) answer {
	return d.ask(t, map[string]any{"dir": dir, "args": args})
}

// stdout is run with the standard output alone.
func (d *manyDVC) stdout(t *testing.T, dir string, args []string) answer {
	return d.ask(t, map[string]any{"dir": dir, "args": args, "quiet": true})
}

func (d *manyDVC) ask(t *testing.T, request map[string]any) answer {
	var a answer
	err := json.NewEncoder(d.in).Encode(request)
	if err == nil {
		var line []byte
		if line, err = d.out.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &a)
		}
	}
	if err != nil {
		t.Errorf("ask dvc: %v", err)
		return answer{Code: -1}
	}
	return a
}

func (d *manyDVC) stop() {
	d.in.Close()
	_ = d.cmd.Wait()
}

// differentFiles compares two projects without their temporary files. "" is: no
// difference.
func differentFiles(t *testing.T, a, b string) string { return differentTrees(t, a, b, false) }

// differentTrees is differentFiles; with loose the stages of a dvc.lock may stand
// in any order.
func differentTrees(t *testing.T, a, b string, loose bool) string {
	left, right := readTree(t, a), readTree(t, b)
	var diff strings.Builder
	for _, name := range sortedNames(left, right) {
		x, inA := left[name]
		y, inB := right[name]
		switch {
		case !inB:
			fmt.Fprintf(&diff, "%s only by dvc:\n%s\n", name, x)
		case !inA:
			fmt.Fprintf(&diff, "%s only by ctrx:\n%s\n", name, y)
		case loose && path.Base(name) == "dvc.lock" && slices.Equal(lockEntries(x), lockEntries(y)):
		case x != y:
			fmt.Fprintf(&diff, "%s: %s", name, differentLines(x, y))
		}
	}
	return diff.String()
}

// lockEntries cuts a dvc.lock into its stages, sorted.
func lockEntries(text string) []string {
	entries := strings.Split(regexp.MustCompile(`(?m)^  (\S)`).ReplaceAllString(text, "\x00$1"), "\x00")
	slices.Sort(entries)
	return entries
}

// differentLines shows what two texts have between their common start and end.
func differentLines(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	start := 0
	for start < min(len(x), len(y)) && x[start] == y[start] {
		start++
	}
	end := 0
	for end < min(len(x), len(y))-start && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	return fmt.Sprintf("from line %d on, by dvc:\n%s\nby ctrx:\n%s\n", start, // the first line is the mode
		strings.Join(x[start:len(x)-end], "\n"), strings.Join(y[start:len(y)-end], "\n"))
}

func sortedNames(trees ...map[string]string) []string {
	var names []string
	for _, tree := range trees {
		for name := range tree {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// readTree gives content and execute bit of every file but those below .dvc/tmp.
func readTree(t *testing.T, dir string) map[string]string {
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if name == ".dvc/tmp" || name == ".home" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		tree[name] = fmt.Sprintf("%s\n%s", info.Mode(), data)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return tree
}
