package tracking

import (
	"context"
	"errors"

	"ctrx/internal/errs"
)

// ContinueRun goes on with a run that the server has. Its status stays what it
// is until Finish. A run that is unknown or deleted is errs.NotFound.
func (c *Client) ContinueRun(ctx context.Context, id string) (*Run, error) {
	found, err := c.rest.getRun(ctx, id)
	if err != nil {
		return nil, err
	}
	info := found.Info
	if info.LifecycleStage == "deleted" {
		return nil, errs.New(errs.NotFound, "run %s is deleted on %s", id, c.URI())
	}
	r := &Run{c: c, params: map[string]string{}, id: id, experimentID: info.ExperimentID, artifactURI: info.ArtifactURI}
	record := recordOf(found)
	if r.key = record.Tag(RunKeyTag); r.key == "" { // not begun by ctrx
		if r.key, err = c.cfg.newKey(); err != nil {
			return nil, err
		}
	}
	for _, p := range record.Params {
		r.params[p.Key] = p.Value
	}
	r.header = operation{Op: opCreate, Version: spoolVersion, Key: r.key, URI: c.URI(), Experiment: c.experimentName(),
		Name: record.Name, User: record.User, StartTime: record.StartTime.UnixMilli(), RunID: id, ArtifactURI: r.artifactURI}
	r.lease = c.takeLease(r.header)
	return r, nil
}

// RunByKey gives the id of the run of the client's experiment that has this run
// key, which is what Run.ID was while the run was only in the spool. A key that
// the server does not know is errs.NotFound.
func (c *Client) RunByKey(ctx context.Context, key string) (string, error) {
	e, err := c.rest.experimentByName(ctx, c.experimentName())
	if err != nil {
		return "", err
	}
	info, found, err := c.findByKey(ctx, e.ID, key, false)
	if err == nil && !found {
		err = errs.New(errs.NotFound, "%s has no run with the key %s", c.URI(), key)
	}
	return first(info.RunID, info.RunUUID), err
}

// Leave lets go of a run without ending it: a shared one, with which others go
// on.
func (r *Run) Leave() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.lease.release()
	r.lease = nil
	if r.spool != nil {
		err = errors.Join(err, r.spool.close())
		r.spool = nil
	}
	return err
}

// Reopen gives a run that had its end the status RUNNING.
func (r *Run) Reopen(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.do(ctx, operation{Op: opUpdate, Status: string(Running)})
}
