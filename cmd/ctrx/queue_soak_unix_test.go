//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctrx/internal/process"
	"ctrx/internal/testreq"
)

// queueState is `queue status --json`, as far as tests read it.
type queueState struct {
	Tasks []struct {
		ID, Rev, Name, State, Note string
		Ref                        string
		Attempt, Priority, PID     int
	}
	Workers []struct{ Slot, PID int }
}

func (p *crashProject) queue(t *testing.T) queueState {
	t.Helper()
	out, err := p.command(t, "ctrx", "queue", "status", "--json").Output()
	if err != nil {
		t.Fatalf("queue status: %v", err)
	}
	var s queueState
	check(t, json.Unmarshal(out, &s))
	return s
}

func (s queueState) count(state string) int {
	n := 0
	for _, task := range s.Tasks {
		if task.State == state {
			n++
		}
	}
	return n
}

// newQueueProject is a repository with one trivial stage, that notes each time
// it runs.
func newQueueProject(t *testing.T, stages string) *crashProject {
	t.Helper()
	p := &crashProject{top: t.TempDir()}
	p.dir = filepath.Join(p.top, "project")
	check(t, os.MkdirAll(filepath.Join(p.dir, "src"), 0o777))
	check(t, os.WriteFile(filepath.Join(p.dir, "params.yaml"), []byte("n: 0\nother: 1\n"), 0o666))
	check(t, os.WriteFile(filepath.Join(p.dir, "src", "a.py"), []byte("1\n"), 0o666))
	check(t, os.WriteFile(filepath.Join(p.dir, "dvc.yaml"), []byte(stages), 0o666))
	p.git(t, "init", "-q", "-b", "main")
	p.mustRun(t, "init", "-q")
	p.git(t, "add", "-A")
	p.git(t, "commit", "-q", "-m", "base")
	t.Cleanup(func() { // nothing may outlive the test
		for _, pid := range p.processes(t) {
			_ = process.Kill(pid.PID)
			process.KillSession(pid.PID)
		}
	})
	return p
}

const oneStage = `stages:
  s:
    cmd: cp params.yaml out
    params: [n]
    outs: [out]
`

// processes lists the living workers and runners of the queue.
func (p *crashProject) processes(t *testing.T) []process.ID {
	t.Helper()
	var alive []process.ID
	add := func(id process.ID) {
		if id.PID > 0 && id.Start+id.Host != "" && id.Alive() && !slices.Contains(alive, id) {
			alive = append(alive, id)
		}
	}
	own := filepath.Join(p.dir, ".dvc/tmp/ctrx/queue")
	for _, pattern := range []string{"slots/*.json", "tasks/*.json"} {
		names, err := filepath.Glob(filepath.Join(own, pattern))
		check(t, err)
		for _, name := range names {
			var state struct {
				Worker   process.ID
				Attempts []struct {
					Runner  process.ID
					Outcome string
				}
			}
			data, err := os.ReadFile(name)
			if err != nil || json.Unmarshal(data, &state) != nil {
				continue
			}
			add(state.Worker)
			for _, a := range state.Attempts {
				if a.Outcome == "" {
					add(a.Runner)
				}
			}
		}
	}
	return alive
}

// results counts the experiments that are there.
func (p *crashProject) results(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.dir, ".git/refs/exps/[0-9a-f][0-9a-f]/*/s-*"))
	check(t, err)
	return len(names)
}

// TestQueueSurvivesKills queues experiments, and while workers run them kills
// workers and runners, one at a time or all at once. In the end each experiment
// is there exactly once.
func TestQueueSurvivesKills(t *testing.T) {
	runs, kills := 40, 12
	if testreq.Required(testreq.DVC) {
		runs, kills = 300, 50
	}
	if testing.Short() {
		runs, kills = 12, 4
	}
	p := newQueueProject(t, oneStage)
	p.mustRun(t, "exp", "run", "--queue", "-n", "s", "-S", fmt.Sprintf("n=range(1,%d)", runs+1))
	start := []string{"queue", "start", "-j", "4", "--max-attempts", "1000"}
	random := rand.New(rand.NewPCG(1, 2))
	p.mustRun(t, start...)
	// However slow the machine is, something moves: it hangs if nothing does.
	const patience = 5 * time.Minute
	moved, started := time.Now(), time.Now()
	killed, given := 0, 0
	for done := 0; done < runs; {
		if time.Since(moved) > patience {
			t.Fatalf("for %v nothing was done: %d of %d are, %d kills\n%s", patience, done, runs, killed, p.mustRun(t, "queue", "status"))
		}
		time.Sleep(time.Duration(10+random.IntN(60)) * time.Millisecond)
		if now := p.results(t); now > done {
			done, moved = now, time.Now()
		}
		before := killed
		// As many kills as there is progress, so that all are spent before the end.
		if killed < kills && killed*runs <= done*kills {
			alive := p.processes(t)
			random.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
			most := 1
			if killed%7 == 6 {
				most = len(alive)
			}
			for _, id := range alive[:min(most, len(alive))] {
				if syscall.Kill(id.PID, syscall.SIGKILL) == nil {
					killed++
				}
			}
		}
		if killed > before || time.Since(started) > time.Second {
			p.mustRun(t, start...)
			started = time.Now()
		}
	}
	for { // the last ones write down that they are done
		s := p.queue(t)
		if s.count("success") == runs && len(s.Workers) == 0 {
			break
		}
		if time.Since(moved) > patience {
			t.Fatalf("the queue does not come to rest:\n%s", p.mustRun(t, "queue", "status"))
		}
		time.Sleep(50 * time.Millisecond)
		p.mustRun(t, start...)
	}
	if killed < kills {
		t.Errorf("only %d kills", killed)
	}
	for _, task := range p.queue(t).Tasks {
		if task.Attempt > 1 {
			given++
		}
	}
	t.Logf("%d runs, %d kills, %d runs needed more than one attempt", runs, killed, given)
	p.checkQueueResults(t, runs)
}

// checkQueueResults looks for n experiments, none lost and none doubled.
func (p *crashProject) checkQueueResults(t *testing.T, n int) {
	t.Helper()
	var want []string
	for i := range n {
		name := fmt.Sprintf("s-%d", i+1)
		want = append(want, name)
		ref := strings.TrimSpace(p.git(t, "for-each-ref", "--format=%(refname)", "refs/exps/*/*/"+name))
		if text := p.git(t, "show", ref+":params.yaml"); !strings.Contains(text, fmt.Sprintf("n: %d\n", i+1)) {
			t.Errorf("%s has the parameters of another: %s", name, text)
		}
	}
	slices.Sort(want)
	lists := [][]string{{"ctrx", "exp", "list", "--name-only"}}
	if testreq.Have(testreq.DVC) && n > 100 {
		lists = append(lists, []string{"dvc", "exp", "list", "--name-only"})
	}
	for _, list := range lists {
		out, err := p.command(t, list[0], list[1:]...).Output()
		check(t, err)
		got := strings.Fields(string(out))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%v: %d experiments, want %d", list, len(got), len(want))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, ".dvc/tmp/exps/tmp*")); len(left) > 0 {
		t.Errorf("temporary folders are left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, ".dvc/tmp/exps/celery/broker/in/*")); len(left) > 0 {
		t.Errorf("messages are left: %v", left)
	}
	if out := p.git(t, "for-each-ref", "refs/exps/celery"); out != "" {
		t.Errorf("entries are left: %s", out)
	}
	if out := p.git(t, "status", "--porcelain"); out != "" {
		t.Errorf("the work tree changed: %s", out)
	}
	p.git(t, "fsck", "--no-progress", "--no-dangling")
}

// TestThousandQueued queues a thousand experiments at once, two callers at a
// time, and takes them out again.
func TestThousandQueued(t *testing.T) {
	t.Parallel()
	p := newQueueProject(t, oneStage)
	failed := make(chan error, 2)
	for _, name := range []string{"a", "b"} {
		cmd := p.command(t, "ctrx", "exp", "run", "--queue", "-n", name, "-S", "n=range(1,501)")
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			failed <- err
		}()
	}
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	s := p.queue(t)
	if s.count("queued") != 1000 {
		t.Fatalf("%d are queued", s.count("queued"))
	}
	names := map[string]bool{}
	for _, task := range s.Tasks {
		names[task.Name] = true
	}
	if len(names) != 1000 {
		t.Errorf("%d names", len(names))
	}
	p.mustRun(t, "queue", "remove", "--queued")
	if s := p.queue(t); len(s.Tasks) != 0 {
		t.Errorf("%d are left", len(s.Tasks))
	}
	if out := p.git(t, "for-each-ref", "refs/exps"); out != "" {
		t.Errorf("refs are left: %s", out)
	}
}
