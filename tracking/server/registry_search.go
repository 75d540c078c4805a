package server

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ctrx/tracking/wire"
)

const (
	maxModelResults       = 1000
	defaultModelResults   = 100
	maxVersionResults     = 200000
	defaultVersionResults = 10000
)

// registryQuery is a search over models or versions, as body or query string.
type registryQuery struct {
	Filter     text    `json:"filter"`
	MaxResults integer `json:"max_results"`
	OrderBy    texts   `json:"order_by"`
	PageToken  text    `json:"page_token"`
}

// page checks the limits; zero results is fallback.
func (q registryQuery) page(fallback, most int) (limit, offset int, err error) {
	if err := firstError(q.Filter.optional("filter"), q.MaxResults.optional("max_results")); err != nil {
		return 0, 0, err
	}
	limit = fallback
	if q.MaxResults.set {
		limit = int(q.MaxResults.value)
	}
	if limit > most {
		return 0, 0, wrongType("max_results", pythonJSON(strconv.Itoa(limit))) // it came in a query string
	}
	if err := firstError(q.OrderBy.optional("order_by"), q.PageToken.optional("page_token")); err != nil {
		return 0, 0, err
	}
	offset, err = pageOffset(q.PageToken.value)
	return limit, offset, err
}

func modelVocabulary() vocabulary {
	return vocabulary{
		entities:   map[string]string{"attribute": entityAttribute, "tag": entityTag, "tags": entityTag},
		attributes: []string{"name"}, lists: []string{"name"}, registry: true, plain: true,
	}
}

func versionVocabulary() vocabulary {
	return vocabulary{
		entities:   map[string]string{"attribute": entityAttribute, "tag": entityTag, "tags": entityTag},
		attributes: []string{"name", "run_id", "source_path", "version_number"}, numeric: []string{"version_number"},
		lists: []string{"name", "run_id"}, registry: true, plain: true,
	}
}

// notPrompts keeps prompts out unless the filter asks for them, and drops the
// clause about the tag, which models do not have.
func notPrompts(clauses []clause, alias string) (rest []clause, condition string) {
	isPromptClause := func(c clause) bool { return c.entity == entityTag && c.key == tagPrompt }
	for _, c := range clauses {
		if isPromptClause(c) && (c.op == "=" && strings.EqualFold(c.value.text, "true") || c.op == "!=" && strings.EqualFold(c.value.text, "false")) {
			return clauses, ""
		}
	}
	rest = slices.DeleteFunc(slices.Clone(clauses), isPromptClause)
	return rest, ` AND NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.name = ` + alias + `.name AND p."key" = '` + tagPrompt + `' AND p.value = 'true')`
}

// registrySQL selects rows of a table of the registry, named m in the query.
// columns maps attribute keys to columns; tags is the condition that ties a
// tag row t to m.
func registrySQL(base string, clauses []clause, columns map[string]string, tagTable, tie string) (query, error) {
	clauses, prompts := notPrompts(clauses, "m")
	q := query{text: base + prompts}
	byKey := map[string][]clause{}
	var keys []string
	for _, c := range clauses {
		if c.entity == entityTag {
			if byKey[c.key] == nil {
				keys = append(keys, c.key)
			}
			byKey[c.key] = append(byKey[c.key], c)
			continue
		}
		q.add(" AND ")
		q.compare("m."+columns[c.key], c)
	}
	for _, key := range keys {
		q.add(` AND EXISTS (SELECT 1 FROM `+tagTable+` t WHERE `+tie+` AND t."key" = ?`, key)
		for _, c := range byKey[key] {
			q.add(" AND ")
			q.compare("t.value", c)
		}
		q.add(")")
	}
	return q, nil
}

// registryOrder appends ORDER BY. columns maps keys to columns, rest are the
// tie breakers.
func (q *query) registryOrder(orderBy []string, columns map[string]string, bad func(key string) error, rest ...string) error {
	var sorting []string
	seen := map[string]bool{}
	for _, s := range orderBy {
		tokens := lex(s)
		if len(tokens) == 0 || len(tokens) > 2 {
			return invalid("Invalid order_by clause '%s'. Could not be parsed.", s)
		}
		direction := " ASC"
		if len(tokens) == 2 {
			switch {
			case tokens[1].is("DESC"):
				direction = " DESC"
			case !tokens[1].is("ASC"):
				return invalid("Invalid ordering key in order_by clause '%s'.", s)
			}
		}
		key := unquote(strings.TrimPrefix(tokens[0].text, "attribute."))
		column, ok := columns[key]
		if !ok {
			return bad(key)
		}
		if seen[column] {
			return refuse(wire.InternalError, "`order_by` contains duplicate fields: %s", pythonList(orderBy))
		}
		seen[column] = true
		sorting = append(sorting, "m."+column+direction)
	}
	for _, r := range rest {
		if column, _, _ := strings.Cut(r, " "); !seen[column] {
			sorting = append(sorting, "m."+r)
		}
	}
	q.add(" ORDER BY " + strings.Join(sorting, ", "))
	return nil
}

// pythonList writes a list of texts as Python prints it.
func pythonList(list []string) string {
	return "['" + strings.Join(list, "', '") + "']"
}

func (s *Server) searchRegisteredModels(r *http.Request) (any, error) {
	var in registryQuery
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	limit, offset, err := in.page(defaultModelResults, maxModelResults)
	if err != nil {
		return nil, err
	}
	clauses, err := parseFilter(in.Filter.value, modelVocabulary())
	if err != nil {
		return nil, err
	}
	q, err := registrySQL(`SELECT `+registeredColumns+` FROM registered_models m WHERE 1`, clauses, map[string]string{"name": "name"}, "registered_model_tags", "t.name = m.name")
	if err != nil {
		return nil, err
	}
	bad := func(key string) error {
		return invalid("Invalid order by key '%s' specified. Valid keys are '{'name', 'timestamp'}'", key)
	}
	columns := map[string]string{"name": "name", "timestamp": "last_updated_time", "last_updated_timestamp": "last_updated_time"}
	if err := q.registryOrder(in.OrderBy.values, columns, bad, "name ASC"); err != nil {
		return nil, err
	}
	var answer struct {
		Models   []wire.RegisteredModel `json:"registered_models,omitempty"`
		NextPage string                 `json:"next_page_token,omitempty"`
	}
	ctx := r.Context()
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		err := q.page(ctx, tx, limit, offset, func(row scanner) error {
			m, err := scanRegistered(row)
			answer.Models = append(answer.Models, m)
			return err
		})
		if err != nil {
			return err
		}
		if len(answer.Models) > limit {
			answer.Models, answer.NextPage = answer.Models[:limit], pageToken(offset+limit)
		}
		for i := range answer.Models {
			if err := fillRegistered(ctx, tx, &answer.Models[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// page runs the query for limit rows and one more, which tells whether there
// is a next page.
func (q query) page(ctx context.Context, tx *sql.Tx, limit, offset int, fn func(scanner) error) error {
	rows, err := tx.QueryContext(ctx, q.text+" LIMIT ? OFFSET ?", append(slices.Clone(q.args), limit+1, offset)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Server) searchModelVersions(r *http.Request) (any, error) {
	var in registryQuery
	if err := decodeMessage(r, &in); err != nil {
		return nil, err
	}
	limit, offset, err := in.page(defaultVersionResults, maxVersionResults)
	if err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, invalid("Invalid value for max_results. It must be a positive integer, but got %d", limit)
	}
	clauses, err := parseFilter(in.Filter.value, versionVocabulary())
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf(`SELECT %s FROM model_versions m WHERE m.current_stage != '%s'`, versionColumns, wire.StageDeleted)
	columns := map[string]string{"name": "name", "run_id": "run_id", "source_path": "source", "version_number": "version"}
	q, err := registrySQL(base, clauses, columns, "model_version_tags", "t.name = m.name AND t.version = m.version")
	if err != nil {
		return nil, err
	}
	orderBy := in.OrderBy.values
	if len(orderBy) == 0 {
		orderBy = []string{"last_updated_timestamp DESC", "name ASC", "version_number DESC"}
	}
	bad := func(key string) error {
		return invalid("Invalid attribute key '%s' specified. Valid keys are '{'creation_timestamp', 'last_updated_timestamp', 'name', 'version_number'}'", key)
	}
	sortable := map[string]string{"name": "name", "version_number": "version", "creation_timestamp": "creation_time", "last_updated_timestamp": "last_updated_time"}
	if err := q.registryOrder(orderBy, sortable, bad, "name ASC", "version DESC"); err != nil {
		return nil, err
	}
	var answer struct {
		Versions []wire.ModelVersion `json:"model_versions,omitempty"`
		NextPage string              `json:"next_page_token,omitempty"`
	}
	ctx := r.Context()
	return &answer, s.store.read(ctx, func(tx *sql.Tx) error {
		err := q.page(ctx, tx, limit, offset, func(row scanner) error {
			v, err := scanVersion(row)
			answer.Versions = append(answer.Versions, v)
			return err
		})
		if err != nil {
			return err
		}
		if len(answer.Versions) > limit {
			answer.Versions, answer.NextPage = answer.Versions[:limit], pageToken(offset+limit)
		}
		return fillVersionTags(ctx, tx, answer.Versions)
	})
}
