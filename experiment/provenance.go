package experiment

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// What a run carries so that its code, parameters and data can be had back
// (docs/adr/0014): dvc.lock, the other stage files and the params files as
// artifacts of their own paths, and below ctrx/ the patch from the commit that
// the user stood on to what the run saw, and a record of it all.
const (
	patchArtifact  = "ctrx/run.patch"
	recordArtifact = "ctrx/run.json"

	lockTag         = "ctrx.dvc_lock.md5"      // of the dvc.lock where the user stood
	treeTag         = "ctrx.git.tree"          // the Git tree that the run saw
	commitTag       = "ctrx.experiment.commit" // the experiment commit, of a run that made one
	refTag          = "ctrx.experiment.ref"
	baseTag         = "mlflow.source.git.commit"
	patchTag        = "ctrx.patch"          // the artifact's path
	patchOmittedTag = "ctrx.patch.left_out" // paths that the patch does not hold
	stageTag        = "ctrx.stage/"
	outputTag       = "ctrx.output/"
	outputURLTag    = "ctrx.output_url/"
	noneTag         = "none" // of the two tags of the patch: nothing any more
)

// PatchLimit bounds, in bytes, the files that the patch of a run is made of.
// What exceeds it is left out, the largest files first, and named in the tag
// ctrx.patch.left_out and in the record.
const PatchLimit = 10 << 20

// tagLimit bounds the stages and the outputs that get tags of their own; the
// record has all.
const tagLimit = 100

// runRecord is the artifact ctrx/run.json (docs/json-output.md). A reader takes
// what it knows: fields are added, and none changes its meaning, while Version
// stays.
type runRecord struct {
	Version int            `json:"version"` // 1
	Name    string         `json:"name"`
	Entry   string         `json:"entry_point"`
	Git     *recordGit     `json:"git,omitempty"`
	Patch   *recordPatch   `json:"patch,omitempty"`
	Locks   []recordFile   `json:"locks"`
	Files   []string       `json:"files"` // of the project that are artifacts under their own paths
	Stages  []recordStage  `json:"stages"`
	Inputs  []recordData   `json:"inputs"`
	Outputs []recordOutput `json:"outputs"`
}

type recordGit struct {
	Commit     string `json:"commit"` // that the user stood on; "" before the first one
	Branch     string `json:"branch,omitempty"`
	Repo       string `json:"repo,omitempty"` // address of origin, without secrets
	Project    string `json:"project"`        // folder of the project in the repository
	Tree       string `json:"tree"`
	Experiment string `json:"experiment_commit,omitempty"`
	Ref        string `json:"experiment_ref,omitempty"`
	// Untracked are files that were there, that Git neither knew nor ignored and
	// no stage named: they are in none of the above. At most untrackedLimit.
	Untracked []string `json:"untracked,omitempty"`
}

type recordPatch struct {
	Path    string            `json:"path,omitempty"` // artifact; "" where nothing is in it
	Size    int               `json:"size"`
	LeftOut []recordOmittance `json:"left_out,omitempty"`
}

type recordOmittance struct {
	Path string `json:"path"` // from the root of the repository
	Size int64  `json:"size"`
	Why  string `json:"why"` // "size" or "credentials"
}

type recordFile struct {
	Path string `json:"path"`
	MD5  string `json:"md5"`
}

type recordStage struct {
	Stage   string  `json:"stage"`  // address from the project root
	Action  string  `json:"action"` // run, restore, skip, verify
	Reason  string  `json:"reason"`
	Seconds float64 `json:"seconds"` // of the commands; 0 where none ran
	Error   string  `json:"error,omitempty"`
}

type recordData struct {
	Path   string   `json:"path"`
	MD5    string   `json:"md5"` // with .dir for a folder
	Kept   string   `json:"kept_by"`
	MadeBy string   `json:"made_by,omitempty"` // stage
	Stages []string `json:"stages"`            // that read it
	URL    string   `json:"url,omitempty"`     // of its object at the remote
}

type recordOutput struct {
	Path   string `json:"path"`
	MD5    string `json:"md5"`
	Hash   string `json:"hash,omitempty"` // "md5"; "" for one that DVC 2 recorded
	Size   int64  `json:"size"`
	Files  int    `json:"nfiles,omitempty"`
	Exec   bool   `json:"isexec,omitempty"`
	Kept   string `json:"kept_by"`
	Stage  string `json:"stage"`
	Remote string `json:"remote,omitempty"`
	URL    string `json:"url,omitempty"`
}

// seen is what a run sees of the repository.
type seen struct {
	tree      string
	patch     gitops.Patch
	untracked []string // paths that are in neither
}

const untrackedLimit = 100

// look writes the Git tree of the work tree as it is now and the patch that
// leads there from the commit that the user stands on. Of a run that made an
// experiment commit the tree is that one's.
func (t *tracker) look(ctx context.Context, outcome *Outcome) (seen, error) {
	p := t.project
	if p.Git == nil {
		return seen{}, nil
	}
	var s seen
	var err error
	if s.tree = outcome.Tree; s.tree == "" {
		if s.tree, err = p.Git.WriteTree(ctx, smallOnes(p, filesToKeep(p, t.index, t.description.Steps))); err != nil {
			return s, fmt.Errorf("write down the work tree: %w", err)
		}
	}
	s.patch, err = p.Git.Diff(ctx, gitops.PatchSpec{From: t.description.Head.Commit, To: s.tree, Limit: PatchLimit, Refuse: holdsCredentials(p)})
	if err == nil && outcome.Result != nil {
		s.untracked, err = p.Git.UntrackedBeside(ctx, s.tree)
	}
	return s, err
}

// smallOnes leaves out files and folders that Git does not know and that would
// not fit into a patch: without an experiment commit nothing is to be put into
// Git's objects for them. Paths are from the root of the repository.
func smallOnes(p *pipeline.Project, names []string) []string {
	left := int64(PatchLimit)
	return slices.DeleteFunc(names, func(name string) bool {
		if p.Git.Tracked(name) {
			return false
		}
		var size int64
		_ = filepath.WalkDir(filepath.Join(p.Git.Root(), filepath.FromSlash(name)), func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil
			}
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
			if size > left {
				return fs.SkipAll
			}
			return nil
		})
		if size > left {
			return true
		}
		left -= size
		return false
	})
}

// credential is what a setting looks like that must not leave the machine:
// a password within a URL, or a key whose name says it.
var credential = regexp.MustCompile(`(?i)(secret|password|passwd|token|access_key|account_key|sas|connection_string|credential)[a-z_]*["']?\s*[=:]\s*\S|://[^/\s"']+@`)

// holdsCredentials refuses the settings files of a project that hold
// credentials: a patch takes the user's files elsewhere, and these do not belong
// there.
func holdsCredentials(p *pipeline.Project) func(string, []byte) bool {
	settings := []string{p.GitPath(".dvc/config"), p.GitPath(".dvc/config.local"), p.GitPath("ctrx.yaml")}
	return func(path string, content []byte) bool {
		return slices.Contains(settings, path) && credential.Match(content)
	}
}

// logSeen keeps the patch with the run, and the tag of the tree that it leads
// to.
func (t *tracker) logSeen(ctx context.Context, s seen) error {
	if s.tree == "" || s.tree == t.seen.tree {
		t.seen.untracked = s.untracked
		return nil
	}
	tags := []tracking.Tag{{Key: treeTag, Value: s.tree}}
	var omitted []string
	for _, o := range s.patch.LeftOut {
		omitted = append(omitted, o.Path)
	}
	if len(omitted) > 0 || len(t.seen.patch.LeftOut) > 0 {
		tags = append(tags, tracking.Tag{Key: patchOmittedTag, Value: cmp.Or(strings.Join(omitted, ", "), noneTag)})
	}
	if len(s.patch.Text) > 0 {
		if err := t.run.LogArtifact(ctx, patchArtifact, bytes.NewReader(s.patch.Text)); err != nil {
			return err
		}
	}
	if len(s.patch.Text) > 0 || len(t.seen.patch.Text) > 0 {
		value := patchArtifact
		if len(s.patch.Text) == 0 {
			value = noneTag // the one of the start holds no longer
		}
		tags = append(tags, tracking.Tag{Key: patchTag, Value: value})
	}
	t.seen = s
	return t.run.SetTags(ctx, tags)
}

// logStart keeps what the run sees at its start, so that also a run which is
// killed can be had back. What goes wrong is told: the run is worth more.
func (t *tracker) logStart(ctx context.Context) error {
	s, err := t.look(ctx, &Outcome{})
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.project.Warn("the uncommitted changes are not kept with the MLflow run: %v", err)
		return nil
	}
	return t.logSeen(ctx, s)
}

// logProvenance keeps what the run saw and did: the patch, the record, and the
// tags of stages and outputs. stages are those whose recorded state is that of
// this run.
func (t *tracker) logProvenance(ctx context.Context, outcome *Outcome, stages []*pipeline.Stage) error {
	s, err := t.look(ctx, outcome)
	if err != nil {
		t.project.Warn("the uncommitted changes are not kept with the MLflow run: %v", err)
	} else if err = t.logSeen(ctx, s); err != nil {
		return err
	}
	record := t.record(outcome, stages)
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(t.run.SetTags(ctx, record.tags()), t.run.LogArtifact(ctx, recordArtifact, bytes.NewReader(append(data, '\n'))))
}

// record is all that is known of the run; of data, what the given stages read
// and made.
func (t *tracker) record(outcome *Outcome, stages []*pipeline.Stage) runRecord {
	p, d := t.project, t.description
	r := runRecord{
		Version: 1, Name: d.Name, Entry: d.Entry, Locks: []recordFile{}, Files: []string{}, Stages: []recordStage{}, Inputs: []recordData{}, Outputs: []recordOutput{},
	}
	if t.seen.tree != "" {
		r.Git = &recordGit{
			Commit: d.Head.Commit, Branch: d.Head.Branch, Project: p.GitPath("."), Tree: t.seen.tree, Experiment: outcome.Commit, Ref: d.Ref,
		}
		r.Git.Untracked = t.seen.untracked[:min(len(t.seen.untracked), untrackedLimit)]
		if url, ok := p.Git.RemoteURL("origin"); ok {
			r.Git.Repo = redactGit(url)
		}
		if text, omitted := t.seen.patch.Text, t.seen.patch.LeftOut; len(text)+len(omitted) > 0 {
			r.Patch = &recordPatch{Size: len(text)}
			if len(text) > 0 {
				r.Patch.Path = patchArtifact
			}
			for _, o := range omitted {
				why := "size"
				if o.Refused {
					why = "credentials"
				}
				r.Patch.LeftOut = append(r.Patch.LeftOut, recordOmittance{o.Path, o.Size, why})
			}
		}
	}
	for _, f := range pipeline.LockFiles(t.index.Stages) {
		if sum := fileMD5(p.Abs(f)); sum != "" {
			r.Locks = append(r.Locks, recordFile{f, sum})
		}
	}
	r.Files = append(r.Files, t.files...)
	if outcome.Result != nil {
		for _, s := range outcome.Result.Done {
			r.Stages = append(r.Stages, stageRecord(s))
		}
	}
	for _, in := range p.RecordedInputs(t.index, stages) {
		data := recordData{Path: in.Rel, MD5: in.Digest(), Kept: string(in.Kept), Stages: addresses(in.Readers), URL: in.Location}
		if in.Made != nil {
			data.MadeBy = in.Made.Address(".")
		}
		r.Inputs = append(r.Inputs, data)
	}
	for _, out := range p.RecordedOutputs(stages) {
		r.Outputs = append(r.Outputs, recordOutput{
			Path: out.Rel, MD5: string(out.Entry.Digest), Hash: out.Entry.Hash, Size: out.Entry.Meta.Size, Files: out.Entry.Meta.NFiles,
			Exec: out.Entry.Meta.IsExec, Kept: string(out.Kept), Stage: out.Made.Address("."), Remote: out.Remote, URL: out.Location,
		})
	}
	return r
}

func stageRecord(s pipeline.StageDone) recordStage {
	r := recordStage{
		Stage: s.Stage.Address("."), Action: s.Action.String(), Reason: scrub(s.Reason), Seconds: s.Took.Round(time.Millisecond).Seconds(),
	}
	if s.Err != nil {
		r.Error = scrub(firstLineOf(s.Err.Error()))
	}
	return r
}

var (
	urlUser  = regexp.MustCompile(`(\w://)[^/\s@]*@`)
	urlQuery = regexp.MustCompile(`(\w://[^\s?#]*)[?#]\S*`)
)

// scrub takes users, passwords and queries out of the addresses in a text, as of
// a dependency that is a URL.
func scrub(text string) string {
	return urlQuery.ReplaceAllString(urlUser.ReplaceAllString(text, "$1"), "$1")
}

func firstLineOf(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

func addresses(stages []*pipeline.Stage) []string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = s.Address(".")
	}
	return names
}

// text says in a few words what became of a stage and why.
func (s recordStage) text() string {
	took := time.Duration(s.Seconds * float64(time.Second))
	switch {
	case s.Error != "":
		return fmt.Sprintf("failed after %v: %s", took, s.Error)
	case s.Action == "run":
		return fmt.Sprintf("ran in %v: %s", took, s.Reason)
	case s.Action == "restore":
		return "restored from the cache: " + s.Reason
	case s.Action == "verify":
		return "verified: " + s.Reason
	}
	return "skipped: " + s.Reason
}

// tags are the stages, and the digests and addresses of the outputs, for
// MLflow's own search and pages.
func (r runRecord) tags() []tracking.Tag {
	var tags []tracking.Tag
	for i, s := range r.Stages {
		if i == tagLimit {
			tags = append(tags, tracking.Tag{Key: "ctrx.stages", Value: fmt.Sprintf("%d more are in %s", len(r.Stages)-tagLimit, recordArtifact)})
			break
		}
		tags = append(tags, tracking.Tag{Key: stageTag + s.Stage, Value: s.text()})
	}
	for i, o := range r.Outputs {
		if i == tagLimit {
			tags = append(tags, tracking.Tag{Key: "ctrx.outputs", Value: fmt.Sprintf("%d more are in %s", len(r.Outputs)-tagLimit, recordArtifact)})
			break
		}
		tags = append(tags, tracking.Tag{Key: outputTag + o.Path, Value: o.MD5})
		if o.URL != "" {
			tags = append(tags, tracking.Tag{Key: outputURLTag + o.Path, Value: o.URL})
		}
	}
	return tags
}

// contextInput and contextMade are the values of mlflow.data.context: what
// comes into the pipeline from outside, and what one stage makes for another.
const (
	contextInput = "input"
	contextMade  = "intermediate"
)

// inputs are the dependencies of stages as datasets: MLflow shows them with
// their digests. One that a stage of the pipeline makes is told apart by its
// context.
func (t *tracker) inputs(stages []*pipeline.Stage) []tracking.Dataset {
	repo := ""
	if t.project.Git != nil {
		if url, ok := t.project.Git.RemoteURL("origin"); ok {
			repo = redactGit(url)
		}
	}
	var found []tracking.Dataset
	for _, in := range t.project.RecordedInputs(t.index, stages) {
		d := tracking.Dataset{Name: in.Rel, Digest: in.Digest(), Context: contextInput}
		if in.Made != nil {
			d.Context = contextMade
		}
		d.SourceType, d.Source = datasetSource(in, repo, t.description.Head.Commit)
		d.Tags = append(d.Tags, tracking.Tag{Key: "ctrx.stages", Value: strings.Join(addresses(in.Readers), ", ")},
			tracking.Tag{Key: "ctrx.kept_by", Value: string(in.Kept)})
		if commit := t.description.Head.Commit; commit != "" {
			// MLflow keeps the source of the first run that had this content; the
			// revision of this run is a tag of its input.
			d.Tags = append(d.Tags, tracking.Tag{Key: "ctrx.git.commit", Value: commit})
		}
		found = append(found, d)
	}
	return found
}

// datasetSource is the source of a dataset as MLflow's registry of sources
// reads it (mlflow.data.get_source): its type chooses the class, which takes
// the key "uri" or "url" and passes over the others.
func datasetSource(in pipeline.Recorded, repo, commit string) (kind, text string) {
	source := map[string]string{"uri": in.Rel, "path": in.Rel}
	kind = "local"
	if in.Location != "" {
		source["uri"] = in.Location
		if scheme, _, ok := strings.Cut(in.Location, "://"); ok {
			switch scheme {
			case "s3", "gs", "wasbs", "abfss", "sftp", "hdfs":
				kind = scheme
			case "http", "https":
				kind, source["url"] = "http", in.Location
			}
		}
	}
	for key, value := range map[string]string{"git_commit": commit, "git_repo": repo} {
		if value != "" && in.Kept != pipeline.KeptByURL {
			source[key] = value
		}
	}
	data, err := json.Marshal(source)
	if err != nil { // of a map of strings: cannot be
		return kind, "{}"
	}
	return kind, string(data)
}

// redactGit takes secrets out of the address of a Git repository, which need
// not be a URL (user@host:path).
func redactGit(address string) string {
	if !strings.Contains(address, "://") {
		return address
	}
	return tracking.Redact(address)
}
