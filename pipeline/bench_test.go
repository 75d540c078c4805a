package pipeline

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/event"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// The time of these grows with the number of stages: ten times the stages, ten
// times the time. See bench/README.md for what whole commands take.

func BenchmarkLoadAndPlan(b *testing.B) {
	for _, n := range []int{1000, 2000, 5000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := upToDate(b, n)
			for b.Loop() {
				p := openProject(b, dir)
				ix, err := p.WorkIndex(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				g, err := NewGraph(ix.Stages)
				if err != nil {
					b.Fatal(err)
				}
				steps, err := p.Plan(b.Context(), ix, g, PlanOptions{})
				if err != nil || len(steps) != n {
					b.Fatalf("%d steps, %v", len(steps), err)
				}
				for _, s := range steps {
					if s.Action != Skip {
						b.Fatalf("%s: %s", s.Stage.Name, s.Reason())
					}
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/stage")
		})
	}
}

// BenchmarkRecord is what writing the dvc.lock after each of n stages costs.
func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1000, 2000, 5000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := openProject(b, upToDate(b, n))
			ix, err := p.WorkIndex(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				s := ix.Stages[i%n]
				entry := *s.Lock
				entry.Cmd = fmt.Sprint(i)
				if err := p.record(s, &entry, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func openProject(tb testing.TB, dir string) *Project {
	tb.Helper()
	p, err := Open(tb.Context(), OpenOptions{Dir: dir, Env: []string{"HOME=" + dir}, Sink: event.Discard, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// upToDate makes a project of n stages in chains of twenty, with the outputs,
// the cache and the dvc.lock as a run of all of them would leave them.
func upToDate(tb testing.TB, n int) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := exec.Command("git", "init", "-q", dir).Run(); err != nil {
		tb.Skip("git is not on PATH")
	}
	write := func(name, text string, mode os.FileMode) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			tb.Fatal(err)
		}
	}
	var yaml, ignored strings.Builder
	yaml.WriteString("stages:\n")
	lock, err := dvcfile.ParseLock("dvc.lock", nil)
	if err != nil {
		tb.Fatal(err)
	}
	entry := func(path, text string) dvcfile.Entry {
		sum := md5.Sum([]byte(text))
		return dvcfile.NewEntry(path, storage.Digest(hex.EncodeToString(sum[:])), storage.Meta{Size: int64(len(text))})
	}
	write("in", "x\n", 0o666)
	write("params.yaml", "a: 1\n", 0o666)
	write(".dvc/config", "", 0o666)
	before, text := "in", "x\n"
	for i := range n {
		if i%20 == 0 {
			before, text = "in", "x\n"
		}
		cmd := fmt.Sprintf("cat %s > out/%d", before, i)
		fmt.Fprintf(&yaml, "  s%d:\n    cmd: %s\n    deps:\n    - %s\n    params:\n    - a\n    outs:\n    - out/%d\n", i, cmd, before, i)
		fmt.Fprintf(&ignored, "/%d\n", i)
		recorded := &dvcfile.StageLock{Cmd: cmd, Deps: []dvcfile.Entry{entry(before, text)}, Params: dvcfile.NewMap("params.yaml", dvcfile.NewMap("a", dvcfile.NewInt(1)))}
		before, text = fmt.Sprintf("out/%d", i), fmt.Sprintln(i)
		out := entry(before, text)
		recorded.Outs = []dvcfile.Entry{out}
		lock.SetStage(fmt.Sprintf("s%d", i), recorded)
		write(before, text, 0o666)
		write(filepath.Join(".dvc/cache/files/md5", string(out.Digest[:2]), string(out.Digest[2:])), text, 0o444)
	}
	write("dvc.yaml", yaml.String(), 0o666)
	write("dvc.lock", string(lock.Encode()), 0o666)
	write("out/.gitignore", ignored.String(), 0o666)
	return dir
}
