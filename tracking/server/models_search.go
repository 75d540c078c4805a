package server

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"ctrx/tracking/wire"
)

const defaultLoggedModels = 100

// modelOrder is one key of the order of a logged-models search.
type modelOrder struct {
	Field     string  `json:"field_name"`
	Ascending *bool   `json:"ascending"`
	Dataset   *string `json:"dataset_name"`
	Digest    *string `json:"dataset_digest"`
}

// modelDataset restricts metrics to those of one dataset.
type modelDataset struct {
	Name   string `json:"dataset_name"`
	Digest string `json:"dataset_digest"`
}

type modelQuery struct {
	Experiments texts          `json:"experiment_ids"`
	Filter      text           `json:"filter"`
	Datasets    []modelDataset `json:"datasets"`
	MaxResults  integer        `json:"max_results"`
	OrderBy     []modelOrder   `json:"order_by"`
	PageToken   text           `json:"page_token"`
}

// loggedModelColumn maps an attribute of a logged model to its column.
func loggedModelColumn(key string) (string, bool) {
	switch key {
	case "creation_time", "creation_timestamp", "creation_timestamp_ms":
		return "creation_timestamp_ms", true
	case "last_updated_timestamp", "last_updated_timestamp_ms":
		return "last_updated_timestamp_ms", true
	case "model_id", "experiment_id", "name", "artifact_location", "status", "lifecycle_stage", "model_type", "source_run_id", "status_message":
		return key, true
	}
	return "", false
}

func loggedModelVocabulary() vocabulary {
	return vocabulary{
		entities: map[string]string{"attributes": entityAttribute, "metrics": entityMetric, "params": entityParam, "tags": entityTag},
		numeric:  []string{"creation_time", "creation_timestamp", "creation_timestamp_ms", "last_updated_timestamp", "last_updated_timestamp_ms"},
		loose:    true,
	}
}

// parseModelFilter reads the filter of a logged-models search, whose messages
// differ from those of the other searches.
func parseModelFilter(filter string) ([]clause, error) {
	bad := invalid("Invalid filter string: %s. Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').", pythonRepr(filter))
	p := parser{tokens: lex(filter), words: loggedModelVocabulary()}
	var out []clause
	for p.peek().kind != tokenEnd {
		if p.word("AND") {
			continue
		}
		c, ok, err := p.comparison()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, bad
		}
		if c.entity == entityAttribute {
			if _, known := loggedModelColumn(c.key); !known {
				return nil, invalid("Invalid attribute key '%s' specified.", c.key)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// sql makes the query that selects and sorts logged models.
func (in modelQuery) sql(experiments []int64) (query, error) {
	clauses, err := parseModelFilter(in.Filter.value)
	if err != nil {
		return query{}, err
	}
	q := query{text: "SELECT " + loggedModelColumns + " FROM logged_models m WHERE m.lifecycle_stage != 'deleted' AND "}
	q.among("m.experiment_id", experiments)
	metrics := false
	for _, c := range clauses {
		switch c.entity {
		case entityAttribute:
			column, _ := loggedModelColumn(c.key)
			q.add(" AND ")
			q.compare("m."+column, c)
			continue
		case entityMetric:
			metrics = true
			q.add(` AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = ? AND `, c.key)
			q.compare("x.metric_value", c)
			q.ofDatasets(in.Datasets)
		case entityParam:
			q.add(` AND EXISTS (SELECT 1 FROM logged_model_params x WHERE x.model_id = m.model_id AND x.param_key = ? AND `, c.key)
			q.compare("x.param_value", c)
		case entityTag:
			q.add(` AND EXISTS (SELECT 1 FROM logged_model_tags x WHERE x.model_id = m.model_id AND x.tag_key = ? AND `, c.key)
			q.compare("x.tag_value", c)
		}
		q.add(")")
	}
	if len(in.Datasets) > 0 && !metrics {
		q.add(` AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id`)
		q.ofDatasets(in.Datasets)
		q.add(")")
	}
	return q, q.modelOrder(in.OrderBy)
}

// ofDatasets restricts metrics x to the datasets. A dataset without digest
// matches metrics that have none either, as on the real server.
func (q *query) ofDatasets(datasets []modelDataset) {
	for i, d := range datasets {
		q.add(map[bool]string{true: " AND (", false: " OR "}[i == 0])
		q.add("x.dataset_name = ? AND x.dataset_digest IS ?", d.Name, optionalText(text{value: d.Digest, set: d.Digest != ""}))
	}
	if len(datasets) > 0 {
		q.add(")")
	}
}

func (q *query) modelOrder(orderBy []modelOrder) error {
	q.add(" ORDER BY ")
	seen := map[string]bool{}
	for _, o := range orderBy {
		direction := " ASC"
		if o.Ascending != nil && !*o.Ascending {
			direction = " DESC"
		}
		entity, metric, dotted := strings.Cut(o.Field, ".")
		if !dotted {
			column, ok := loggedModelColumn(o.Field)
			if !ok {
				return &apiError{code: wire.InvalidParameterValue, message: "Invalid order by field name: " + o.Field, errorClass: "ATTRIBUTE_NOT_FOUND"}
			}
			seen[column] = true
			q.add("m." + column + " IS NULL, m." + column + direction + ", ")
			continue
		}
		if entity != "metrics" {
			return invalid("Invalid order by field name: %s. Only metrics are supported.", o.Field)
		}
		var args []any
		latest := `(SELECT x.metric_value FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = ?`
		args = append(args, metric)
		for column, v := range map[string]*string{"dataset_name": o.Dataset, "dataset_digest": o.Digest} {
			if v != nil && *v != "" {
				latest += " AND x." + column + " = ?"
				args = append(args, *v)
			}
		}
		latest += ` ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id LIMIT 1)`
		q.add(latest+" IS NULL, ", args...)
		q.add(latest+direction+", ", args...)
	}
	if !seen["creation_timestamp_ms"] {
		q.add("m.creation_timestamp_ms DESC, ")
	}
	q.add("m.model_id ASC")
	return nil
}

// modelPage is the page token of this search: it holds only for the same
// query.
type modelPage struct {
	Offset int    `json:"offset"`
	Query  string `json:"query"`
}

// fingerprint identifies the query that a page token belongs to.
func (in modelQuery) fingerprint() (string, error) {
	data, err := json.Marshal([]any{in.Experiments.values, in.Filter.value, in.OrderBy})
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), err
}

func (in modelQuery) offset() (int, error) {
	if in.PageToken.value == "" {
		return 0, nil
	}
	data, err := base64.StdEncoding.DecodeString(in.PageToken.value)
	var page modelPage
	if err == nil {
		err = json.Unmarshal(data, &page)
	}
	if err != nil {
		return 0, invalid("Invalid page token: %s.", in.PageToken.value)
	}
	own, err := in.fingerprint()
	if err == nil && own != page.Query {
		err = invalid("The page token belongs to another search: experiments, filter or order differ.")
	}
	return page.Offset, err
}

func (s *Server) searchLoggedModels(r *http.Request) (any, error) {
	var in modelQuery
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := firstError(in.Experiments.given("experiment_ids"), in.Filter.optional("filter"), in.MaxResults.optional("max_results"), in.PageToken.optional("page_token")); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(in.Datasets, func(d modelDataset) bool { return d.Name == "" }) {
		return nil, invalid("`dataset_name` in the `datasets` clause must be specified.")
	}
	offset, err := in.offset()
	if err != nil {
		return nil, err
	}
	experiments := make([]int64, len(in.Experiments.values))
	for i, id := range in.Experiments.values {
		if experiments[i], err = parseExperimentID(id); err != nil {
			return nil, err
		}
	}
	q, err := in.sql(experiments)
	if err != nil {
		return nil, err
	}
	limit := defaultLoggedModels
	if in.MaxResults.value > 0 {
		limit = int(min(in.MaxResults.value, wire.MaxSearchResults))
	}
	var answer struct {
		Models   []wire.LoggedModel `json:"models,omitempty"`
		NextPage string             `json:"next_page_token,omitempty"`
	}
	ctx := r.Context()
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		err := q.page(ctx, tx, limit, offset, func(row scanner) error {
			m, err := scanLoggedModel(row)
			answer.Models = append(answer.Models, m)
			return err
		})
		if err != nil {
			return err
		}
		if len(answer.Models) > limit {
			answer.Models = answer.Models[:limit]
			own, err := in.fingerprint()
			if err != nil {
				return err
			}
			token, err := json.Marshal(modelPage{offset + limit, own})
			if err != nil {
				return err
			}
			answer.NextPage = base64.StdEncoding.EncodeToString(token)
		}
		return fillLoggedModels(ctx, tx, answer.Models)
	})
	return &answer, err
}
