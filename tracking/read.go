package tracking

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// RunRecord is a run as the server has it.
type RunRecord struct {
	ID           string
	ExperimentID string
	Name         string
	User         string
	Status       Status
	StartTime    time.Time
	EndTime      time.Time // zero while the run has not ended
	ArtifactURI  string
	Deleted      bool
	Metrics      []Metric // the newest point of each
	Params       []Param
	Tags         []Tag
	Datasets     []Dataset
}

// Tag gives the value of a tag, or "".
func (r *RunRecord) Tag(key string) string {
	for _, t := range r.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

func recordOf(in wire.Run) RunRecord {
	i := in.Info
	r := RunRecord{ID: first(i.RunID, i.RunUUID), ExperimentID: i.ExperimentID, Name: i.RunName, User: i.UserID, Status: Status(i.Status),
		StartTime: moment(i.StartTime), EndTime: moment(i.EndTime), ArtifactURI: i.ArtifactURI, Deleted: i.LifecycleStage == "deleted"}
	for _, m := range in.Data.Metrics {
		r.Metrics = append(r.Metrics, metricOf(m))
	}
	for _, p := range in.Data.Params {
		r.Params = append(r.Params, Param(p))
	}
	for _, t := range in.Data.Tags {
		r.Tags = append(r.Tags, Tag(t))
	}
	for _, d := range in.Inputs.DatasetInputs {
		s := d.Dataset
		out := Dataset{Name: s.Name, Digest: s.Digest, SourceType: s.SourceType, Source: s.Source, Schema: s.Schema, Profile: s.Profile}
		for _, t := range d.Tags {
			if t.Key == wire.TagDataContext {
				out.Context = t.Value
				continue
			}
			out.Tags = append(out.Tags, Tag(t))
		}
		r.Datasets = append(r.Datasets, out)
	}
	return r
}

func metricOf(m wire.Metric) Metric {
	return Metric{Key: m.Key, Value: float64(m.Value), Step: int64(m.Step), Time: time.UnixMilli(int64(m.Timestamp))}
}

// moment reads milliseconds since 1970; nil and 0 are the zero time.
func moment(ms *wire.Int) time.Time {
	if ms == nil || *ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(*ms))
}

func (r *rest) getRun(ctx context.Context, id string) (wire.Run, error) {
	var out struct {
		Run wire.Run `json:"run"`
	}
	err := r.call(ctx, request{method: http.MethodGet, path: apiPath + "runs/get", query: url.Values{"run_id": {id}}, what: "get run " + id}, &out)
	return out.Run, err
}

// GetRun reads a run by its id. An unknown id gives an error of kind NotFound.
func (c *Client) GetRun(ctx context.Context, id string) (RunRecord, error) {
	run, err := c.rest.patient().getRun(ctx, id)
	if err != nil {
		return RunRecord{}, err
	}
	return recordOf(run), nil
}

// RunQuery selects runs. Filter and OrderBy are in MLflow's search language,
// for example "metrics.auc > 0.7 AND params.model = 'catboost'" and
// "metrics.auc DESC".
type RunQuery struct {
	Experiments []string // ids
	Filter      string
	OrderBy     []string
	Max         int    // of one page, 50,000 at the most; 0: 1000
	Page        string // token of the page before
	Deleted     bool   // deleted runs too
}

// RunPage is a page of a search.
type RunPage struct {
	Runs []RunRecord
	Next string // token of the next page; empty at the end
}

// SearchRuns reads one page of runs, the active ones unless the query says
// otherwise.
func (c *Client) SearchRuns(ctx context.Context, q RunQuery) (RunPage, error) {
	in := struct {
		Experiments []string `json:"experiment_ids"`
		Filter      string   `json:"filter,omitempty"`
		View        string   `json:"run_view_type"`
		Max         int      `json:"max_results"`
		OrderBy     []string `json:"order_by,omitempty"`
		Page        string   `json:"page_token,omitempty"`
	}{q.Experiments, q.Filter, "ACTIVE_ONLY", q.Max, q.OrderBy, q.Page}
	if q.Deleted {
		in.View = "ALL"
	}
	if in.Max == 0 {
		in.Max = wire.DefaultSearchResults
	}
	if in.Max < 0 || in.Max > wire.MaxSearchResults {
		return RunPage{}, errs.Hint(errs.New(errs.Usage, "%d is no number of runs that can be asked for", in.Max), "from 1 to %d", wire.MaxSearchResults)
	}
	var out struct {
		Runs []wire.Run `json:"runs"`
		Next string     `json:"next_page_token"`
	}
	if err := c.rest.patient().call(ctx, request{method: http.MethodPost, path: apiPath + "runs/search", in: in, what: "search runs"}, &out); err != nil {
		if refused, ok := errors.AsType[*ServerError](err); ok && refused.Code == wire.InvalidParameterValue {
			err = errs.Hint(errs.New(errs.Usage, "%w", err), "a filter reads like: metrics.auc > 0.7 and params.depth = '5'; an order like: metrics.auc DESC")
		}
		return RunPage{}, err
	}
	page := RunPage{Next: out.Next}
	for _, r := range out.Runs {
		page.Runs = append(page.Runs, recordOf(r))
	}
	return page, nil
}

// historyPage is the largest page of metrics/get-history.
const historyPage = 25000

// MetricHistory reads all points of a metric, by time.
func (c *Client) MetricHistory(ctx context.Context, runID, key string) ([]Metric, error) {
	var all []Metric
	q := url.Values{"run_id": {runID}, "metric_key": {key}, "max_results": {strconv.Itoa(historyPage)}}
	err := c.rest.patient().history(ctx, q, func(points []wire.Metric) error {
		for _, m := range points {
			all = append(all, metricOf(m))
		}
		return nil
	})
	return all, err
}

// history reads the points of a metric page by page.
func (r *rest) history(ctx context.Context, q url.Values, page func([]wire.Metric) error) error {
	for {
		var out struct {
			Metrics []wire.Metric `json:"metrics"`
			Next    string        `json:"next_page_token"`
		}
		err := r.call(ctx, request{method: http.MethodGet, path: apiPath + "metrics/get-history", query: q, what: "get history of " + q.Get("metric_key")}, &out)
		if err == nil {
			err = page(out.Metrics)
		}
		if err != nil || out.Next == "" {
			return err
		}
		q.Set("page_token", out.Next)
	}
}
