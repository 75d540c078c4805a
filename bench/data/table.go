package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is the same work done by several programs, several times.
type row struct {
	work  string
	goal  string
	costs map[string][]cost
}

func newRow(goal, work string, args ...any) *row {
	return &row{work: fmt.Sprintf(work, args...), goal: goal, costs: map[string][]cost{}}
}

func (r *row) add(program string, c cost) { r.costs[program] = append(r.costs[program], c) }

// middle is the median of each part by itself.
func (r *row) middle(program string) (cost, bool) {
	all := r.costs[program]
	if len(all) == 0 {
		return cost{}, false
	}
	wall, cpu, rss := make([]time.Duration, 0, len(all)), make([]time.Duration, 0, len(all)), int64(0)
	for _, c := range all {
		wall, cpu, rss = append(wall, c.wall), append(cpu, c.cpu), max(rss, c.rss)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return cost{wall[len(wall)/2], cpu[len(cpu)/2], rss}, true
}

// head says where and when this was measured.
func (b *bench) head() {
	version := "dvc"
	if out, err := exec.CommandContext(b.ctx, "dvc", "--version").Output(); err == nil {
		version = "DVC " + strings.TrimSpace(string(out))
	}
	fmt.Fprint(b.out, "# Data commands, measured\n\nMade by `go run ./bench/data -out docs/benchmarks.md`: what is measured against what stands in the comment of\n`bench/data/main.go`, why the numbers are what they are in [ADR 19](adr/0019-adding-data.md). The ratios count: absolute times\nvary with the machine. MD5 runs at about 700 MB/s on one core, `cp` at 2 GB/s into memory, so one large file takes more than `cp`.\n\n")
	fmt.Fprintf(b.out, "Measured on %s: %s, %d processors, %s; %d runs of each, medians.\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), version, b.runs)
}

// table prints rows that have a yardstick of `cp`.
func (b *bench) table(title string, rows ...*row) {
	fmt.Fprintf(b.out, "\n%s\n\n| work | ctrx | dvc | dvc / ctrx | cp -r | ctrx / cp | cp -r, sync | ctrx / that | CPU ctrx, dvc, cp | memory | goal |\n|---|---|---|---|---|---|---|---|---|---|---|\n", title)
	for _, r := range rows {
		mine, _ := r.middle("ctrx")
		theirs, _ := r.middle("dvc")
		plain, limited := r.middle("cp")
		synced, _ := r.middle("cp+sync")
		cells := []string{r.work, show(mine.wall), show(theirs.wall), ratio(theirs.wall, mine.wall), "", "", "", "", show(mine.cpu) + ", " + show(theirs.cpu)}
		if limited {
			copy(cells[4:8], []string{show(plain.wall), ratio(mine.wall, plain.wall), show(synced.wall), ratio(mine.wall, synced.wall)})
			cells[8] += ", " + show(plain.cpu)
		}
		fmt.Fprintf(b.out, "| %s | %s | %s |\n", strings.Join(cells, " | "), mib(mine.rss), r.goal)
	}
}

// columns prints rows of many programs.
func (b *bench) columns(title string, programs []string, rows ...*row) {
	fmt.Fprintf(b.out, "\n%s\n\n| work | %s | memory of ctrx | goal |\n|---|%s---|---|\n", title, strings.Join(programs, " | "), strings.Repeat("---|", len(programs)))
	for _, r := range rows {
		mine, _ := r.middle("ctrx")
		var cells []string
		for _, p := range programs {
			c, ok := r.middle(p)
			switch {
			case !ok:
				cells = append(cells, "")
			case p == "ctrx":
				cells = append(cells, show(c.wall))
			default:
				cells = append(cells, fmt.Sprintf("%s (%s)", show(c.wall), ratio(c.wall, mine.wall)))
			}
		}
		fmt.Fprintf(b.out, "| %s | %s | %s | %s |\n", r.work, strings.Join(cells, " | "), mib(mine.rss), r.goal)
	}
}

func ratio(a, b time.Duration) string {
	if b == 0 {
		return ""
	}
	q := float64(a) / float64(b)
	if q >= 10 {
		return fmt.Sprintf("%.0f", q)
	}
	return fmt.Sprintf("%.2f", q)
}

func show(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
