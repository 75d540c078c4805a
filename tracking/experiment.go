package tracking

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// Experiment is a named group of runs on a server.
type Experiment struct {
	ID          string
	Name        string
	ArtifactURI string
	Deleted     bool
}

func experimentOf(e wire.Experiment) Experiment {
	return Experiment{ID: e.ID, Name: e.Name, ArtifactURI: e.ArtifactLocation, Deleted: e.LifecycleStage == "deleted"}
}

func (c *Client) experimentName() string {
	if c.cfg.ExperimentName != "" {
		return c.cfg.ExperimentName
	}
	if name := c.cfg.Env("MLFLOW_EXPERIMENT_NAME"); name != "" {
		return name
	}
	return "Default"
}

// Experiment gives the experiment of the configuration, and creates it where
// it does not exist. The answer is kept for the life of the client.
func (c *Client) Experiment(ctx context.Context) (Experiment, error) {
	c.mu.Lock()
	known := c.experiment
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	e, err := c.ensureExperiment(ctx, c.experimentName())
	if err != nil {
		return e, err
	}
	c.mu.Lock()
	c.experiment = &e
	c.mu.Unlock()
	return e, nil
}

// ensureExperiment gets an experiment by name or creates it.
func (c *Client) ensureExperiment(ctx context.Context, name string) (Experiment, error) {
	for range 3 {
		e, err := c.rest.experimentByName(ctx, name)
		if err == nil {
			return e, c.usable(e)
		}
		if errs.KindOf(err) != errs.NotFound {
			return e, err
		}
		in := struct {
			Name string `json:"name"`
		}{name}
		var out struct {
			ID string `json:"experiment_id"`
		}
		err = c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "experiments/create", in: in, what: "create experiment " + name}, &out)
		if err == nil {
			return Experiment{ID: out.ID, Name: name}, nil
		}
		var refused *ServerError
		if !errors.As(err, &refused) || refused.Code != wire.ResourceAlreadyExists {
			return Experiment{}, err
		}
		// Another process created it in between, or the first attempt did
		// before its answer got lost: get it again.
	}
	return Experiment{}, errs.New(errs.Conflict, "experiment %s is said to exist and not to exist by %s", name, c.URI())
}

// usable refuses a deleted experiment: its name stays taken, and a run in it
// would not be seen.
func (c *Client) usable(e Experiment) error {
	if !e.Deleted {
		return nil
	}
	return errs.Hint(errs.New(errs.Conflict, "experiment %s (id %s) is deleted on %s", e.Name, e.ID, c.URI()),
		"restore it with `MLFLOW_TRACKING_URI=%s mlflow experiments restore --experiment-id %s`, or set another name in MLFLOW_EXPERIMENT_NAME", c.URI(), e.ID)
}

// ExperimentByName gets an experiment, deleted ones included. A name that does
// not exist gives an error of kind NotFound.
func (c *Client) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	return c.rest.patient().experimentByName(ctx, name)
}

func (r *rest) experimentByName(ctx context.Context, name string) (Experiment, error) {
	var out struct {
		Experiment wire.Experiment `json:"experiment"`
	}
	err := r.call(ctx, request{method: http.MethodGet, path: apiPath + "experiments/get-by-name",
		query: url.Values{"experiment_name": {name}}, what: "look up experiment " + name}, &out)
	return experimentOf(out.Experiment), err
}

// Experiments lists the active experiments, newest first.
func (c *Client) Experiments(ctx context.Context) ([]Experiment, error) {
	var all []Experiment
	token := ""
	for {
		in := struct {
			Max   int    `json:"max_results"`
			Token string `json:"page_token,omitempty"`
		}{wire.DefaultSearchResults, token}
		var out struct {
			Experiments []wire.Experiment `json:"experiments"`
			Next        string            `json:"next_page_token"`
		}
		err := c.rest.patient().call(ctx, request{method: http.MethodPost, path: apiPath + "experiments/search", in: in, what: "list experiments"}, &out)
		if err != nil {
			return nil, err
		}
		for _, e := range out.Experiments {
			all = append(all, experimentOf(e))
		}
		if token = out.Next; token == "" {
			return all, nil
		}
	}
}
