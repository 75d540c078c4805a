package experiment

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

// snapshotFormat is raised when what is kept of a commit, or how, changes.
const snapshotFormat = "1"

// snapshots reads what commits hold and remembers it below
// .dvc/tmp/ctrx/exps: a commit never changes, so a listing costs what is new.
//
// It is the one thing that `exp show` writes. Nothing depends on it: it may be
// deleted at any time, and a file that is torn or of another format counts as
// missing. What depends on more than the commit is not kept: a result that is
// missing in the cache of data, and a listing with --param-deps.
type snapshots struct {
	project   *pipeline.Project
	dir       string
	paramDeps bool
	fresh     bool // take nothing from the files
}

// snapshot is what is known of a commit.
type snapshot struct {
	data    *report.ExpData // nil where err says why
	err     error
	parents []string
}

func newSnapshots(p *pipeline.Project, o ShowOptions) *snapshots {
	return &snapshots{
		project: p, paramDeps: o.ParamDeps, fresh: o.Force,
		dir: filepath.Join(p.TmpDir(), "ctrx", "exps", snapshotFormat+"-"+o.Version),
	}
}

func (s *snapshots) file(commit string) string {
	return filepath.Join(s.dir, commit[:2], commit[2:]+".json")
}

// of gives what a commit holds. The error is that of an interruption; what is
// wrong with the commit's files is part of the snapshot.
func (s *snapshots) of(ctx context.Context, commit string) (snapshot, error) {
	if !s.fresh && !s.paramDeps {
		if known, ok := s.read(commit); ok {
			return known, nil
		}
	}
	info, err := s.project.Git.Commit(commit)
	if err != nil {
		return snapshot{err: err}, nil
	}
	taken := snapshot{parents: info.Parents}
	src, err := s.project.Commit(commit)
	if err == nil {
		taken.data, err = collect(ctx, s.project, src, s.paramDeps)
	}
	if ctx.Err() != nil {
		return snapshot{}, context.Cause(ctx)
	}
	if taken.err = err; err != nil {
		return taken, nil
	}
	taken.data.Rev, taken.data.Time = commit, info.Time
	if !s.paramDeps && lasting(taken.data) {
		s.write(commit, taken)
	}
	return taken, nil
}

// collect reads what a source holds.
func collect(ctx context.Context, p *pipeline.Project, src pipeline.Source, paramDeps bool) (*report.ExpData, error) {
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return nil, err
	}
	taken, err := p.Snapshot(ctx, ix, paramDeps)
	if err != nil {
		return nil, err
	}
	d := &report.ExpData{Rev: report.Workspace, Params: reportFiles(taken.Params), Metrics: reportFiles(taken.Metrics)}
	for i := range d.Metrics {
		d.Metrics[i].Data = report.Metrics(d.Metrics[i].Data)
	}
	for _, dep := range taken.Deps {
		d.Deps = append(d.Deps, recordedPath(dep))
	}
	for _, out := range taken.Outs {
		d.Outs = append(d.Outs, report.ExpOut{ExpDep: recordedPath(out.RecordedPath), Cached: out.Cached, Source: out.Source})
	}
	return d, nil
}

func reportFiles(files []pipeline.FileValues) []report.File {
	out := make([]report.File, len(files))
	for i, f := range files {
		name := filepath.FromSlash(f.Path)
		out[i] = report.File{Path: name, Rel: name, Data: f.Values, Err: f.Err}
	}
	return out
}

func recordedPath(r pipeline.RecordedPath) report.ExpDep {
	d := report.ExpDep{Path: filepath.FromSlash(r.Path)}
	if e := r.Recorded; e != nil {
		d.Hash = string(e.Digest)
		if e.HasSize {
			d.Size = &e.Meta.Size
		}
		if e.HasNFiles {
			n := int64(e.Meta.NFiles)
			d.NFiles = &n
		}
	}
	return d
}

// lasting tells whether a snapshot will be the same next time: what is broken
// in a commit stays broken, what is missing in the cache may come.
func lasting(d *report.ExpData) bool {
	for _, files := range [][]report.File{d.Params, d.Metrics} {
		for _, f := range files {
			if kind := errs.KindOf(f.Err); f.Err != nil && kind != errs.ProjectFile && kind != errs.NotFound {
				return false
			}
		}
	}
	return true
}

// write keeps a snapshot. Where that fails, the next listing takes longer.
func (s *snapshots) write(commit string, taken snapshot) {
	d := taken.data
	var parents []dvcfile.Value
	for _, p := range taken.parents {
		parents = append(parents, p)
	}
	v := dvcfile.NewMap("commit", commit, "time", dvcfile.NewInt(d.Time.Unix()), "parents", parents,
		"params", keptFiles(d.Params), "metrics", keptFiles(d.Metrics))
	var deps, outs []dvcfile.Value
	for _, dep := range d.Deps {
		deps = append(deps, keptPath(dep))
	}
	for _, out := range d.Outs {
		outs = append(outs, append(keptPath(out.ExpDep), out.Cached, out.Source))
	}
	v.Set("deps", deps)
	v.Set("outs", outs)
	file := s.file(commit)
	if os.MkdirAll(filepath.Dir(file), 0o777) == nil {
		_ = fsx.WriteFileAs(file, dvcfile.JSON(v), 0o666, fsx.Fast)
	}
}

// keptFiles is [[path, data], [path, null, kind, text], ...].
func keptFiles(files []report.File) []dvcfile.Value {
	out := make([]dvcfile.Value, len(files))
	for i, f := range files {
		if f.Err != nil {
			out[i] = []dvcfile.Value{f.Path, nil, dvcfile.NewInt(int64(errs.KindOf(f.Err))), f.Err.Error()}
			continue
		}
		out[i] = []dvcfile.Value{f.Path, f.Data}
	}
	return out
}

func keptPath(d report.ExpDep) []dvcfile.Value {
	number := func(n *int64) dvcfile.Value {
		if n == nil {
			return nil
		}
		return dvcfile.NewInt(*n)
	}
	return []dvcfile.Value{d.Path, d.Hash, number(d.Size), number(d.NFiles)}
}

// read gives a kept snapshot; ok is false where there is none that can be
// used.
func (s *snapshots) read(commit string) (known snapshot, ok bool) {
	text, err := os.ReadFile(s.file(commit))
	if err != nil {
		return known, false
	}
	v, err := dvcfile.ReadData("snapshot.json", text)
	m, isMap := v.(*dvcfile.Map)
	if err != nil || !isMap {
		return known, false
	}
	r := reader{m: m, ok: true}
	d := &report.ExpData{Rev: commit, Time: time.Unix(r.int(r.get("time")), 0)}
	if r.text(r.get("commit")) != commit {
		return known, false
	}
	for _, p := range r.list(r.get("parents")) {
		known.parents = append(known.parents, r.text(p))
	}
	d.Params, d.Metrics = r.files("params"), r.files("metrics")
	for _, item := range r.list(r.get("deps")) {
		d.Deps = append(d.Deps, r.path(r.list(item)))
	}
	for _, item := range r.list(r.get("outs")) {
		fields := r.list(item)
		if len(fields) != 6 {
			return known, false
		}
		cached, isBool := fields[4].(bool)
		source, areBools := fields[5].(bool)
		r.ok = r.ok && isBool && areBools
		d.Outs = append(d.Outs, report.ExpOut{ExpDep: r.path(fields[:4]), Cached: cached, Source: source})
	}
	known.data = d
	return known, r.ok
}

// reader takes a kept snapshot apart; ok turns false at what is not expected.
type reader struct {
	m  *dvcfile.Map
	ok bool
}

func (r *reader) get(key string) dvcfile.Value {
	v, _ := r.m.Get(key)
	return v
}

func (r *reader) text(v dvcfile.Value) string {
	s, ok := v.(string)
	r.ok = r.ok && ok
	return s
}

func (r *reader) int(v dvcfile.Value) int64 {
	i, isInt := v.(dvcfile.Int)
	n, small := i.Int64()
	r.ok = r.ok && isInt && small
	return n
}

func (r *reader) list(v dvcfile.Value) []dvcfile.Value {
	l, ok := v.([]dvcfile.Value)
	r.ok = r.ok && ok
	return l
}

func (r *reader) path(fields []dvcfile.Value) report.ExpDep {
	if len(fields) != 4 {
		r.ok = false
		return report.ExpDep{}
	}
	d := report.ExpDep{Path: r.text(fields[0]), Hash: r.text(fields[1])}
	if fields[2] != nil {
		n := r.int(fields[2])
		d.Size = &n
	}
	if fields[3] != nil {
		n := r.int(fields[3])
		d.NFiles = &n
	}
	return d
}

func (r *reader) files(key string) []report.File {
	var files []report.File
	for _, item := range r.list(r.get(key)) {
		fields := r.list(item)
		switch len(fields) {
		case 2:
			name := r.text(fields[0])
			files = append(files, report.File{Path: name, Rel: name, Data: fields[1]})
		case 4:
			name := r.text(fields[0])
			err := errs.New(errs.Kind(r.int(fields[2])), "%w", errors.New(r.text(fields[3])))
			files = append(files, report.File{Path: name, Rel: name, Err: err})
		default:
			r.ok = false
		}
	}
	return files
}

// clean removes what ctrx keeps of commits for listings.
func (s *snapshots) clean() error {
	err := os.RemoveAll(filepath.Dir(s.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Clean removes what is kept of commits for listings.
func Clean(_ context.Context, p *pipeline.Project) error {
	return newSnapshots(p, ShowOptions{}).clean()
}
