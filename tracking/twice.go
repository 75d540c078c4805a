package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// A creation that got no answer is looked up before it is repeated, but it may
// hang in the server and take place after that: then the server has two runs
// with one key. So a run whose creation was repeated leaves a note beside the
// spool, and each Sync of the next hour looks whether a second run came up.

const (
	doubtSuffix = ".twice"
	doubtTime   = time.Hour // after that no request can be under way any more
	// duplicateTag names on a second run the one that counts.
	duplicateTag = "ctrx.duplicate_of"
)

// doubt is a note about a run whose creation was repeated.
type doubt struct {
	Key        string `json:"key"`
	URI        string `json:"uri"` // without secrets
	Experiment string `json:"experiment_id"`
	RunID      string `json:"run_id"`
	Until      int64  `json:"until"` // ms
}

// doubtDir is the folder of the notes, beside the spool.
func (cfg Config) doubtDir() string { return cfg.spoolDir() + "-twice" }

// noteDoubt remembers that the creation of a run was repeated. Without the note
// the run is logged all the same.
func (c *Client) noteDoubt(experimentID, key, id string) {
	d := doubt{key, c.URI(), experimentID, id, c.cfg.Now().Add(doubtTime).UnixMilli()}
	data, err := json.Marshal(d)
	if err == nil {
		err = os.MkdirAll(c.cfg.doubtDir(), 0o777)
	}
	if err == nil {
		err = fsx.WriteFile(filepath.Join(c.cfg.doubtDir(), key+doubtSuffix), append(data, '\n'), 0o666)
	}
	if err != nil {
		c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf("the creation of run %s was repeated, and that could not be noted: %v", id, err)})
	}
}

// settle looks for second runs. What cannot be asked now stays for the next time.
func (s *syncer) settle(ctx context.Context) error {
	dir := s.cfg.doubtDir()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(e.Name(), doubtSuffix) {
			clearOld(s.cfg, name)
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var d doubt
		done := json.Unmarshal(data, &d) != nil || d.RunID == ""
		if !done {
			c, err := s.client(operation{URI: d.URI}, true)
			if err == nil {
				done, err = c.settle(ctx, d)
			}
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				s.cfg.Sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf("whether run %s was created twice is not known yet: %v", d.RunID, err)})
			}
		}
		if done || s.cfg.Now().UnixMilli() >= d.Until {
			if err := os.Remove(name); err != nil && !fsx.Missing(err) {
				return err
			}
		}
	}
	return nil
}

// settle deletes the second run of a key where there is one: nothing was logged
// to it, for nobody ever got its id. One with content is only marked.
func (c *Client) settle(ctx context.Context, d doubt) (done bool, err error) {
	all, err := c.runsWithKey(ctx, d.Experiment, d.Key, false)
	if err != nil {
		return false, err
	}
	for _, r := range all {
		id := first(r.Info.RunID, r.Info.RunUUID)
		if id == d.RunID || r.Info.LifecycleStage == "deleted" {
			continue
		}
		done = true
		if err := c.apply(ctx, target{id, r.Info.ArtifactURI}, operation{Op: opBatch, Tags: []wire.Tag{{Key: duplicateTag, Value: d.RunID}}}); err != nil {
			return false, err
		}
		if len(r.Data.Metrics)+len(r.Data.Params) > 0 {
			c.cfg.Sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf("runs %s and %s of %s have one key: the second is tagged %s", d.RunID, id, c.URI(), duplicateTag)})
			continue
		}
		in := map[string]string{"run_id": id}
		if err := c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/delete", in: in, what: "delete run " + id}, nil); err != nil && errs.KindOf(err) != errs.NotFound {
			return false, err
		}
		c.cfg.Sink.Send(event.Event{Type: event.Info, Text: fmt.Sprintf("%s created run %s twice: the second, %s, is empty and was deleted", c.URI(), d.RunID, id)})
	}
	return done, nil
}
