package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
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
	if !s.paramDeps && lasting(taken.data.Content()) {
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
	c := report.ExpContent{Params: reportFiles(taken.Params), Metrics: reportFiles(taken.Metrics)}
	for i := range c.Metrics {
		c.Metrics[i].Data = report.Metrics(c.Metrics[i].Data)
	}
	for _, dep := range taken.Deps {
		c.Deps = append(c.Deps, recordedPath(dep))
	}
	for _, out := range taken.Outs {
		c.Outs = append(c.Outs, report.ExpOut{ExpDep: recordedPath(out.RecordedPath), Cached: out.Cached, Source: out.Source})
	}
	d := report.NewExpData(c)
	d.Rev = report.Workspace
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
func lasting(d report.ExpContent) bool {
	for _, files := range [][]report.File{d.Params, d.Metrics} {
		for _, f := range files {
			if kind := errs.KindOf(f.Err); f.Err != nil && kind != errs.ProjectFile && kind != errs.NotFound {
				return false
			}
		}
	}
	return true
}

// keptHead is the first line of a file; the JSON of the content follows.
type keptHead struct {
	Commit  string   `json:"commit"`
	Time    int64    `json:"time"` // Unix
	Parents []string `json:"parents"`
	Size    int      `json:"size"` // of the content
	Sum     uint32   `json:"sum"`  // its CRC-32
}

// write keeps a snapshot. Where that fails, the next listing takes longer.
func (s *snapshots) write(commit string, taken snapshot) {
	text := taken.data.Text()
	head, err := json.Marshal(keptHead{commit, taken.data.Time.Unix(), taken.parents, len(text), crc32.ChecksumIEEE(text)})
	file := s.file(commit)
	if err == nil && os.MkdirAll(filepath.Dir(file), 0o777) == nil {
		_ = fsx.WriteFileAs(file, slices.Concat(head, []byte("\n"), text), 0o666, fsx.Fast)
	}
}

// read gives a kept snapshot; ok is false where there is none that is whole.
func (s *snapshots) read(commit string) (known snapshot, ok bool) {
	data, err := os.ReadFile(s.file(commit))
	if err != nil {
		return known, false
	}
	line, text, _ := bytes.Cut(data, []byte("\n"))
	var head keptHead
	if json.Unmarshal(line, &head) != nil || head.Commit != commit || head.Size != len(text) || head.Sum != crc32.ChecksumIEEE(text) {
		return known, false
	}
	known.data = report.KeptExpData(text)
	known.data.Rev, known.data.Time, known.parents = commit, time.Unix(head.Time, 0), head.Parents
	return known, true
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
