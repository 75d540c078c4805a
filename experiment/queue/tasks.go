package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/internal/process"
	"ctrx/pipeline"
)

// Queue is the queue of one project.
type Queue struct {
	project *pipeline.Project
	git     *gitops.Repo
	layout  layout
	now     func() time.Time
}

// Open gives the queue of a project. It writes nothing.
func Open(p *pipeline.Project, now func() time.Time) (*Queue, error) {
	repo, err := p.Repo()
	if err != nil {
		return nil, err
	}
	return &Queue{project: p, git: repo, layout: layout{p.TmpDir()}, now: now}, nil
}

// State is where a task stands.
type State string

// The states. The words are what DVC's table shows; Lost is ours.
const (
	Running State = "Running"
	Queued  State = "Queued"
	Lost    State = "Lost" // taken by a worker that died; the next worker gives it back
	Failed  State = "Failed"
	Success State = "Success"
)

// Executors, by DVC's names.
const (
	InQueue     = "dvc-task"
	InTemp      = "tempdir"
	InWorkspace = "workspace"
)

// Task is one run of an experiment that waits, runs or has ended.
type Task struct {
	ID         string // of the queue's task; "" for a run beside the queue: in the workspace, or a temporary one of dvc
	Rev        string // stash commit, 40 hex digits; "workspace" for a run there
	Name       string // of the experiment
	Baseline   string // commit, 40 hex digits
	Head       string // commit that the run starts from; Baseline in all but odd cases
	Branch     string // that the result goes to; "" for a new experiment
	State      State
	Created    time.Time // when it was queued; zero where unknown
	Began      time.Time // when its last process was started; zero where unknown
	Executor   string    // InQueue, InTemp or InWorkspace
	Root       string    // folder of the repository that it runs in; "" before it started
	DVCDir     string    // of the project below Root; "." for Root itself, "" where unknown
	Log        string    // file with its output; "" where there is none
	PID        int       // of the process that runs or ran it; 0 where unknown
	ReturnCode *int      // of that process, once it has ended
	Ref        string    // of the experiment, once it succeeded
	Priority   int
	Attempt    int    // number of the present or last attempt; 0 before the first, and for DVC's workers
	Slot       int    // worker slot that runs it; 0 for none
	Note       string // what there is to say about it: why it failed, that it was given back

	message message
	file    string // name of the message file
	record  *record
}

// Tasks lists everything in the queue and every run under way: running ones
// first, then lost, queued, failed and successful ones, each in the order in
// which they were queued. It writes nothing.
func (q *Queue) Tasks(ctx context.Context) ([]Task, error) {
	files, err := q.messages()
	if err != nil {
		return nil, err
	}
	created, order, err := q.log()
	if err != nil {
		return nil, err
	}
	var tasks []Task
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		t, ok, err := q.task(f)
		if err != nil {
			q.project.Warn("%v", err) // one bad file must not hide the others
			continue
		}
		if !ok {
			continue
		}
		if t.Created = created[t.Rev]; t.Created.IsZero() {
			if c, err := q.git.Commit(t.Rev); err == nil {
				t.Created = c.Time
			} else if t.record != nil && len(t.record.Attempts) > 0 {
				t.Created = t.record.Attempts[0].Began
			}
		}
		tasks = append(tasks, t)
	}
	rank := map[State]int{Running: 0, Lost: 1, Queued: 2, Failed: 3, Success: 4}
	slices.SortStableFunc(tasks, func(a, b Task) int {
		if d := rank[a.State] - rank[b.State]; d != 0 {
			return d
		}
		if a.State == Queued && a.Priority != b.Priority {
			return b.Priority - a.Priority
		}
		return order.compare(a, b)
	})
	others, err := q.outside()
	return append(others, tasks...), err
}

// messageFile is a message in one of the two folders.
type messageFile struct {
	name  string
	taken bool
}

func (q *Queue) path(f messageFile) string {
	if f.taken {
		return filepath.Join(q.layout.taken(), f.name)
	}
	return filepath.Join(q.layout.waiting(), f.name)
}

// messages lists the message files. A message that a worker moves meanwhile is
// in the list all the same: in goes first and last.
func (q *Queue) messages() ([]messageFile, error) {
	found := map[string]bool{}
	for i, dir := range []string{q.layout.waiting(), q.layout.taken(), q.layout.waiting()} {
		names, err := listDir(dir)
		if err != nil {
			return nil, fmt.Errorf("list the queue: %w", err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, ".msg") && (i < 2 || !found[n]) {
				found[n] = i == 1
			}
		}
	}
	files := make([]messageFile, 0, len(found))
	for n, taken := range found {
		files = append(files, messageFile{n, taken})
	}
	slices.SortFunc(files, func(a, b messageFile) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func listDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// queueOrder is the place of entries in the log of the queue's ref.
type queueOrder map[string]int

// compare puts what has no place in the log behind the rest.
func (o queueOrder) compare(a, b Task) int {
	pa, okA := o[a.Rev]
	pb, okB := o[b.Rev]
	switch {
	case okA && okB:
		return pa - pb
	case okA:
		return -1
	case okB:
		return 1
	}
	if d := a.Created.Compare(b.Created); d != 0 {
		return d
	}
	return strings.Compare(a.file, b.file)
}

// log reads when and in which order entries were queued.
func (q *Queue) log() (map[string]time.Time, queueOrder, error) {
	lines, err := q.git.Reflog(stashRef)
	if err != nil {
		return nil, nil, err
	}
	created, order := make(map[string]time.Time, len(lines)), make(queueOrder, len(lines))
	for i, line := range lines {
		created[line.New] = line.By.When
		order[line.New] = i
	}
	return created, order, nil
}

// task reads all that is known of one message, in whichever folder it is.
func (q *Queue) task(f messageFile) (Task, bool, error) {
	t, ok, err := q.look(f)
	if err == nil && ok && t.State == Lost {
		// Nobody has its lease. Who let go of it since the first file was read
		// has written down before what became of the task.
		return q.look(f)
	}
	return t, ok, err
}

// readMessage reads a message and tells in which folder it was. There are no
// bytes where it was removed, and while DVC writes it. Looking into one folder
// and then into the other misses a message that moves the other way just then;
// looking twice does not.
func (q *Queue) readMessage(f messageFile) ([]byte, messageFile, error) {
	for range 4 {
		data, err := os.ReadFile(q.path(f))
		if err == nil {
			return data, f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, f, fmt.Errorf("read the queue: %w", err)
		}
		f.taken = !f.taken
	}
	return nil, f, nil
}

// look is task without a second look at one that seems lost.
func (q *Queue) look(f messageFile) (Task, bool, error) {
	data, f, err := q.readMessage(f)
	if err != nil || len(data) == 0 {
		return Task{}, false, err
	}
	m, ok, err := decodeMessage(q.path(f), data)
	if err != nil || !ok {
		return Task{}, false, err
	}
	t := taskOf(m, f.name)
	// The result is written last: read first, it does not belong to files that
	// are older than it.
	var result taskResult
	if f.taken {
		if _, err := readJSON(q.layout.result(m.ID), &result); err != nil {
			result = taskResult{}
		}
	}
	if t.record, err = q.layout.readRecord(m.ID); err != nil {
		return t, false, err
	}
	if t.record != nil {
		t.Attempt = t.record.number()
		if t.record.Temp {
			t.Executor = InTemp
		}
	}
	if !f.taken {
		t.State = Queued
		if t.record != nil && t.record.crashed() > 0 {
			t.Note = fmt.Sprintf("attempt %d of %d: the one before was lost, its worker died", t.record.crashed()+1, t.record.Max)
		}
		return t, true, nil
	}
	return t, true, q.takenTask(&t, result.done())
}

// taskOf is what a message tells of its task.
func taskOf(m message, file string) Task {
	t := Task{
		ID: m.ID, Rev: m.Entry.Rev, Name: text(m.Entry.Name), Baseline: m.Entry.Baseline, Head: text(m.Entry.Head), Branch: text(m.Entry.Branch),
		State: Queued, Executor: InQueue, Priority: m.Priority, message: m, file: file,
	}
	if t.Head == "" {
		t.Head = t.Baseline
	}
	return t
}

// takenTask tells a running task from a lost one and one that is done.
func (q *Queue) takenTask(t *Task, done bool) error {
	// A file that cannot be read is one that dvc is writing, or was writing when
	// the machine went down: as good as none.
	var proc processInfo
	if ok, err := readJSON(q.layout.process(t.Rev), &proc); err == nil && ok {
		t.PID, t.ReturnCode, t.Log = proc.PID, proc.ReturnCode, text(proc.Stdout)
		t.Began = written(q.layout.pid(t.Rev), q.layout.process(t.Rev))
	}
	if _, err := os.Stat(t.Log); err != nil {
		t.Log = ""
	}
	var info runInfo
	ok, err := readJSON(q.layout.info(t.Rev), &info)
	known := err == nil && ok
	if known {
		t.Root, t.DVCDir = info.RootDir, projectBelow(info.DVCDir)
		if t.Name == "" {
			t.Name = text(info.Name)
		}
	}
	switch {
	case !done:
		return q.activeTask(t)
	case known && info.ResultHash != nil && info.ResultRef != nil:
		t.State, t.Ref = Success, *info.ResultRef
	default:
		t.State = Failed
		if t.record != nil {
			t.Note = t.record.Reason
		}
	}
	return nil
}

func (q *Queue) activeTask(t *Task) error {
	t.State, t.ReturnCode = Running, nil
	if !t.record.underWay() { // a worker of dvc took it, or one of ours died between two writes
		if !q.dvcAtWork(*t) {
			t.State, t.Note = Lost, "the worker that took it has ended; `ctrx queue start` gives it back"
		}
		return nil
	}
	alive, err := q.leaseAlive(t.ID, t.record)
	if err != nil {
		return err
	}
	if a := t.record.last(); a != nil {
		t.Slot = a.Slot
	}
	switch {
	case !alive && t.record.Temp:
		t.State, t.Note = Lost, "its process died; `ctrx queue retry` runs it in the queue"
	case !alive:
		t.State, t.Note = Lost, "its worker died; `ctrx queue start` gives it back"
	case q.layout.cancelled(t.ID):
		t.Note = "being killed"
	case t.record.number() > 1:
		t.Note = fmt.Sprintf("attempt %d", t.record.number())
	}
	if beat, err := q.layout.beat(t.ID); alive && err == nil {
		if silent := q.now().Sub(beat); silent > leaseTimeout {
			t.Note = fmt.Sprintf("no sign of life for %s (stopped, or its machine is asleep)", silent.Round(time.Minute))
		}
	}
	return nil
}

// leaseAlive tells whether the lease of a taken task is held: by the lock on
// this machine, by the heartbeat on another one.
func (q *Queue) leaseAlive(id string, r *record) (bool, error) {
	held, err := q.layout.held(id)
	if err != nil || held {
		return held, err
	}
	a := r.last()
	if a == nil || a.Worker.Here() {
		return false, nil
	}
	beat, err := q.layout.beat(id)
	return err == nil && q.now().Sub(beat) < leaseTimeout, nil
}

// dvcAtWork tells whether a worker of DVC's may have a task: a living process
// that runs it, or one that takes tasks.
func (q *Queue) dvcAtWork(t Task) bool {
	if t.PID > 0 && process.Alive(t.PID) {
		return true
	}
	names, err := filepath.Glob(filepath.Join(q.layout.celery(), "dvc-exp-worker-*.json"))
	if err != nil {
		return false
	}
	for _, n := range names {
		var worker processInfo
		if ok, err := readJSON(n, &worker); err == nil && ok && worker.ReturnCode == nil && process.Alive(worker.PID) {
			return true
		}
	}
	return false
}

// outside lists the runs that are under way beside the queue: in the workspace,
// and DVC's own ones in temporary folders.
func (q *Queue) outside() ([]Task, error) {
	var tasks []Task
	standalone := filepath.Join(q.layout.exps(), "standalone")
	dirs := []layoutRun{{q.layout, "workspace"}}
	names, err := listDir(filepath.Join(standalone, "run"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if isHash(n) {
			dirs = append(dirs, layoutRun{layout{}, filepath.Join(standalone, "run", n, n)})
		}
	}
	for _, d := range dirs {
		if t, ok := d.task(); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// layoutRun names the files of a run outside of the queue.
type layoutRun struct {
	layout layout
	name   string // "workspace", or an absolute path without the suffix
}

func (d layoutRun) task() (Task, bool) {
	base := d.name
	if !filepath.IsAbs(base) {
		base = filepath.Join(d.layout.run(d.name), d.name)
	}
	var info runInfo
	var proc processInfo
	if ok, err := readJSON(base+".run", &info); err != nil || !ok {
		return Task{}, false
	}
	if ok, err := readJSON(base+".json", &proc); err != nil || !ok {
		return Task{}, false
	}
	if info.Status >= infoSuccess || proc.ReturnCode != nil || !process.Alive(proc.PID) {
		return Task{}, false
	}
	t := Task{
		Rev: filepath.Base(base), Name: text(info.Name), Baseline: info.Baseline, Head: info.Baseline, State: Running,
		Executor: info.Location, Root: info.RootDir, DVCDir: projectBelow(info.DVCDir), Log: text(proc.Stdout), PID: proc.PID,
		Began: written(base+".pid", base+".json"),
	}
	return t, true
}

// projectBelow turns the path of a .dvc folder into that of the project.
func projectBelow(dvcDir string) string { return path.Dir(filepath.ToSlash(dvcDir)) }

// written is when the first of the files that is there was written.
func written(files ...string) time.Time {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}
