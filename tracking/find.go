package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// RunRef is what a user calls a run.
type RunRef struct {
	Text   string // as it was written
	ID     string // 32 hex digits, where the text has them
	Server string // base address of the server, where the text names one; with user and password if they were given
}

var (
	runID     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	runPrefix = regexp.MustCompile(`^[0-9a-f]{4,31}$`)
	runInPath = regexp.MustCompile(`(?:^|/)runs/([0-9a-f]{32})(?:$|[/?#])`)
)

// ParseRunRef reads an id or the start of one, a name, the address of a run in
// MLflow's UI (http://host/#/experiments/1/runs/ID), one of the REST API
// (.../runs/get?run_id=ID), or a runs:/ID/... URI.
func ParseRunRef(text string) (RunRef, error) {
	ref := RunRef{Text: text}
	if strings.TrimSpace(text) == "" {
		return ref, errs.Hint(errs.New(errs.Usage, "a run is named by its id, the start of one, a name, or an address, and not by nothing"), "ctrx runs list")
	}
	if runID.MatchString(text) {
		ref.ID = text
		return ref, nil
	}
	if rest, ok := strings.CutPrefix(text, "runs:/"); ok {
		id, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if !runID.MatchString(id) {
			return ref, errs.New(errs.Usage, "%s names no run: runs:/ is followed by the 32 digits of an id", text)
		}
		ref.ID = id
		return ref, nil
	}
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return ref, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" { // the error of url.Parse quotes the text, which may hold a password
		return ref, errs.New(errs.Usage, "the address of the run is not a URL")
	}
	ref.Text = Redact(text)
	base := *u
	base.RawQuery, base.Fragment, base.RawPath = "", "", ""
	for _, key := range []string{"run_id", "run_uuid"} {
		if id := u.Query().Get(key); runID.MatchString(id) {
			ref.ID = id
		}
	}
	if m := runInPath.FindStringSubmatch(u.Fragment); m != nil {
		ref.ID = m[1]
	} else if m := runInPath.FindStringSubmatch(u.Path); m != nil {
		ref.ID = m[1]
	}
	if ref.ID == "" {
		return ref, errs.Hint(errs.New(errs.Usage, "%s is not the address of a run", ref.Text), "copy it from the page of the run: http://host/#/experiments/1/runs/ID")
	}
	for _, below := range []string{"/api/", "/ajax-api/", "/experiments/", "/get-artifact", "/static-files/"} {
		if i := strings.Index(base.Path, below); i >= 0 {
			base.Path = base.Path[:i]
		}
	}
	base.Path = strings.TrimRight(base.Path, "/")
	ref.Server = base.String()
	return ref, nil
}

// On tells whether a reference means the server with this tracking URI.
func (ref RunRef) On(uri string) bool {
	if ref.Server == "" {
		return true
	}
	u, err := url.Parse(uri)
	s, err2 := url.Parse(ref.Server)
	return err == nil && err2 == nil && u.Scheme == s.Scheme && strings.EqualFold(u.Host, s.Host)
}

// For gives the configuration for runs that a user named: where that was by
// an address of another server, it is for that one, and the credentials of the
// environment stay at home.
func (cfg Config) For(refs ...RunRef) Config {
	for _, ref := range refs {
		if ref.On(cfg.URI) {
			continue
		}
		env := cfg.withDefaults().Env
		cfg.URI = ref.Server
		cfg.Env = func(key string) string {
			switch key {
			case "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HOME", "USERPROFILE":
				return ""
			}
			return env(key)
		}
		break
	}
	return cfg
}

// FindRun finds a run by what a user calls it. An id may be of any experiment
// of the server; the start of an id (at least four digits), a name, and the key
// that a run was told by while it was only in the spool are looked for in one
// experiment, given by its name.
//
// A run that is only there as deleted is errs.Deleted, a name or start that
// several runs have errs.Conflict, and what never existed errs.NotFound.
func (c *Client) FindRun(ctx context.Context, experiment string, ref RunRef) (RunRecord, error) {
	if ref.ID != "" {
		run, err := c.runByID(ctx, ref.ID)
		if errs.KindOf(err) != errs.NotFound || ref.Server != "" {
			return run, err
		}
		exp, failed := c.ExperimentByName(ctx, experiment)
		if failed != nil {
			return run, err
		}
		found, failed := c.runsLike(ctx, exp.ID, ref.ID)
		if failed != nil || len(found) != 1 || found[0].Deleted {
			return run, err
		}
		return found[0], nil
	}
	unknown := errs.Hint(errs.New(errs.NotFound, "no run of experiment '%s' is named '%s' or has an id that begins so: it never existed on %s, or is of another experiment", experiment, ref.Text, c.URI()),
		"ctrx runs list; one that was kept on disk because the server was down: ctrx tracking sync")
	exp, err := c.ExperimentByName(ctx, experiment)
	if errs.KindOf(err) == errs.NotFound {
		return RunRecord{}, unknown
	}
	if err != nil {
		return RunRecord{}, err
	}
	found, err := c.runsLike(ctx, exp.ID, ref.Text)
	if err != nil {
		return RunRecord{}, err
	}
	active := slices.DeleteFunc(slices.Clone(found), func(r RunRecord) bool { return r.Deleted })
	switch {
	case len(active) == 1:
		return active[0], nil
	case len(active) > 1:
		return RunRecord{}, ambiguous(ref.Text, active)
	case len(found) > 0:
		return RunRecord{}, c.deleted(found[0])
	}
	return RunRecord{}, unknown
}

func (c *Client) runByID(ctx context.Context, id string) (RunRecord, error) {
	run, err := c.GetRun(ctx, id)
	if errs.KindOf(err) == errs.NotFound {
		if refused, ok := errors.AsType[*ServerError](err); ok && refused.Status == http.StatusNotFound {
			return run, errs.Hint(errs.New(errs.NotFound, "run %s never existed on %s, or was removed for good", id, c.URI()), "ctrx runs list; another server: set MLFLOW_TRACKING_URI")
		}
	}
	if err == nil && run.Deleted {
		return run, c.deleted(run)
	}
	return run, err
}

func (c *Client) deleted(r RunRecord) error {
	return errs.Hint(errs.New(errs.Deleted, "run %s (%s) was deleted on %s", r.ID, r.Name, c.URI()),
		"MLFLOW_TRACKING_URI=%s mlflow runs restore --run-id %s", c.URI(), r.ID)
}

// runsLike are the runs of an experiment with this name, deleted ones included;
// without any, those whose id begins so, or else the key that they had in the
// spool. Newest first.
func (c *Client) runsLike(ctx context.Context, experiment, text string) ([]RunRecord, error) {
	var filters []string
	if quoted, ok := quote(text); ok {
		filters = append(filters, "attributes.run_name = "+quoted)
	}
	if prefix := strings.ToLower(text); runPrefix.MatchString(prefix) || runID.MatchString(prefix) {
		filters = append(filters, "attributes.run_id LIKE '"+prefix+"%'", "tags.`"+RunKeyTag+"` LIKE '"+prefix+"%'")
	}
	for _, filter := range filters {
		page, err := c.SearchRuns(ctx, RunQuery{Experiments: []string{experiment}, Filter: filter, Deleted: true, Max: 20})
		if err != nil || len(page.Runs) > 0 {
			return page.Runs, err
		}
	}
	return nil, nil
}

// quote writes a text as MLflow's search language wants it; one that holds both
// kinds of quotes cannot be written.
func quote(text string) (string, bool) {
	switch {
	case !strings.Contains(text, "'"):
		return "'" + text + "'", true
	case !strings.Contains(text, `"`):
		return `"` + text + `"`, true
	}
	return "", false
}

// ambiguous lists the runs that a text may mean.
func ambiguous(text string, runs []RunRecord) error {
	var lines []string
	for i, r := range runs {
		if i == 10 {
			lines = append(lines, "  ...")
			break
		}
		lines = append(lines, fmt.Sprintf("  %s  %s  %s  %s", r.ID, r.Name, r.Status, r.StartTime.UTC().Format("2006-01-02 15:04:05Z")))
	}
	return errs.Hint(errs.New(errs.Conflict, "'%s' means several runs, newest first:\n%s", text, strings.Join(lines, "\n")), "give the id, or more digits of it")
}

// ReadArtifact reads a file of a run, of at most limit bytes. One that the run
// does not have is errs.NotFound. The folder is listed first: a server may
// answer the request for a missing file as if it was in trouble.
func (c *Client) ReadArtifact(ctx context.Context, run RunRecord, name string, limit int64) ([]byte, error) {
	if err := checkArtifactPath(name); err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	listed, err := c.ListArtifacts(ctx, run.ID, dir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(listed, func(a Artifact) bool { return a.Path == name && !a.Dir })
	if i < 0 {
		return nil, errs.New(errs.NotFound, "run %s has no artifact %s", run.ID, name)
	}
	if listed[i].Size > limit {
		return nil, errs.New(errs.DataCorrupt, "artifact %s of run %s has %d bytes, and at most %d are expected", name, run.ID, listed[i].Size, limit)
	}
	var data bytes.Buffer
	store, err := c.artifactStore(ctx, c.rest.patient(), run.ArtifactURI)
	if err == nil {
		err = store.get(ctx, name, &capped{&data, limit})
	}
	if err != nil {
		return nil, fmt.Errorf("read artifact %s of run %s: %w", name, run.ID, err)
	}
	return data.Bytes(), nil
}

// capped refuses more than some bytes: the list of artifacts need not be true.
type capped struct {
	to   *bytes.Buffer
	left int64
}

func (w *capped) Write(p []byte) (int, error) {
	if w.left -= int64(len(p)); w.left < 0 {
		return 0, errs.New(errs.DataCorrupt, "the artifact is longer than its list says")
	}
	return w.to.Write(p)
}
