package server

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A search filter is a conjunction:
//
//	filter     = [ comparison { "AND" comparison } ]
//	comparison = identifier operator value
//	           | identifier [ "NOT" ] "IN" "(" string { "," string } [ "," ] ")"
//	           | identifier "IS" [ "NOT" ] "NULL"
//	identifier = [ entity "." ] key
//	operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | [ "NOT" ] ( "LIKE" | "ILIKE" | "RLIKE" )
//	value      = string | number
//
// An entity is metrics, params, tags, attributes, datasets or one of their
// aliases. Keys with odd characters stand in back quotes or double quotes,
// strings in single or double quotes. As in MLflow a doubled quote inside a
// string stays doubled: the text between the outer quotes is taken as it is.

// Entities that a clause can be about.
const (
	entityMetric    = "metric"
	entityParam     = "parameter"
	entityTag       = "tag"
	entityAttribute = "attribute"
	entityDataset   = "dataset"
)

// clause is one comparison of a filter.
type clause struct {
	entity string // one of the entities above
	key    string
	op     string // upper case: =, !=, <, <=, >, >=, LIKE, ILIKE, RLIKE, IN, NOT IN, IS NULL, IS NOT NULL
	value  literal
	list   []string // for IN and NOT IN
}

// literal is the right side of a comparison.
type literal struct {
	text   string // without quotes
	source string // as it stood in the filter
	quoted bool
	number bool
	group  bool // a parenthesis where a value belongs
}

// vocabulary is what differs between searching runs and experiments.
type vocabulary struct {
	entities   map[string]string // spelling -> entity
	attributes []string          // valid attribute keys
	hidden     []string          // valid, too, but not named in messages
	numeric    []string          // attributes compared as numbers
	lists      []string          // attributes that take IN
	nullable   []string          // entities that take IS NULL
	tagged     []string          // attributes that are kept like tags, and take it, too
	registry   bool              // the searches of the registry have messages of their own
	plain      bool              // bad clauses stand in messages without quotes
	loose      bool              // attribute keys are checked by the caller (logged models)
	regular    bool              // texts are compared with regular expressions, too (traces)
	valid      string            // the entities, for the message about one that is none
}

func runVocabulary() vocabulary {
	return vocabulary{
		entities: map[string]string{
			"metric": entityMetric, "metrics": entityMetric,
			"parameter": entityParam, "parameters": entityParam, "param": entityParam, "params": entityParam,
			"tag": entityTag, "tags": entityTag,
			"attribute": entityAttribute, "attributes": entityAttribute, "attr": entityAttribute, "run": entityAttribute,
			"dataset": entityDataset, "datasets": entityDataset,
		},
		attributes: []string{"Created", "Run Name", "Run name", "artifact_uri", "created", "end_time", "run name", "run_id", "run_name", "start_time", "status", "user_id"},
		numeric:    []string{"start_time", "end_time", "created", "Created"},
		lists:      []string{"run_id"},
		nullable:   []string{entityTag, entityParam},
	}
}

func experimentVocabulary() vocabulary {
	return vocabulary{
		entities:   map[string]string{"attribute": entityAttribute, "tag": entityTag, "tags": entityTag},
		plain:      true,
		attributes: []string{"creation_time", "experiment_id", "last_update_time", "name"},
		numeric:    []string{"creation_time", "last_update_time"},
		lists:      []string{"experiment_id"},
		nullable:   []string{entityTag},
	}
}

// Bounds of a filter: SQLite takes no more conditions at once than a thousand, and
// no more arguments than 32,766.
const (
	maxComparisons = 500
	maxListed      = 30000
)

// parseFilter reads a filter. Parts that are neither a comparison nor AND are
// all named in the error.
func parseFilter(filter string, v vocabulary) ([]clause, error) {
	if filter != "" && strings.TrimSpace(filter) == "" {
		return nil, invalid("Invalid filter '%s'. Could not be parsed.", filter)
	}
	p := parser{tokens: lex(filter), words: v}
	var clauses []clause
	var bad []string
	listed := 0
	for p.peek().kind != tokenEnd {
		if p.word("AND") {
			continue
		}
		c, ok, err := p.comparison()
		if err != nil {
			return nil, err
		}
		if !ok {
			bad = append(bad, v.quote(p.odd()))
			continue
		}
		clauses = append(clauses, c)
		if listed += len(c.list); len(clauses) > maxComparisons || listed > maxListed {
			return nil, invalid("The filter is too long: at most %d comparisons and %d values in lists can be looked for at once.", maxComparisons, maxListed)
		}
	}
	if len(bad) > 0 {
		return nil, invalid("Invalid clause(s) in filter string: %s", strings.Join(bad, ", "))
	}
	return clauses, nil
}

// quote writes a bad clause for the message: only the search over runs puts it
// in quotes.
func (v vocabulary) quote(text string) string {
	if v.plain {
		return text
	}
	return "'" + text + "'"
}

type parser struct {
	tokens []token
	at     int
	words  vocabulary
}

func (p *parser) ahead(n int) token {
	if p.at+n < len(p.tokens) {
		return p.tokens[p.at+n]
	}
	return token{}
}

func (p *parser) peek() token { return p.ahead(0) }

func (p *parser) next() token {
	t := p.peek()
	p.at++
	return t
}

func (t token) is(word string) bool { return t.kind == tokenName && strings.EqualFold(t.text, word) }

// like tells whether the token is an operator that compares with a pattern.
func (t token) like() bool { return t.is("LIKE") || t.is("ILIKE") || t.is("RLIKE") }

// word consumes a keyword if it is next.
func (p *parser) word(word string) bool {
	if p.peek().is(word) {
		p.at++
		return true
	}
	return false
}

// comparison consumes a comparison; ok is false, and nothing consumed, where
// none begins.
func (p *parser) comparison() (c clause, ok bool, err error) {
	left := p.peek()
	named := left.kind == tokenName || left.kind == tokenString && left.text[0] == '"'
	if !named && left.kind != tokenString && left.kind != tokenNumber {
		return c, false, nil
	}
	op, length := p.operator(1)
	special := op == "IN" || op == "NOT IN" || strings.HasPrefix(op, "IS ")
	switch plain := named && !odd(left.text); {
	case op == "" || special && !plain || !special && !p.ahead(1+length).value():
		return c, false, nil
	case !plain:
		return c, false, invalid("Invalid comparison clause. Expected 'Identifier' found '%s'", left.text)
	}
	p.at += 1 + length
	c.op = op
	if c.entity, c.key, err = p.words.identifier(left.text); err != nil {
		return c, false, err
	}
	switch {
	case strings.HasPrefix(op, "IS "):
		if !slices.Contains(p.words.nullable, c.entity) && !(c.entity == entityAttribute && slices.Contains(p.words.tagged, c.key)) {
			return c, false, invalid("IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' '%s'", c.entity, c.key)
		}
	case special && p.words.takesLists(c):
		if c.list, err = p.list(); err != nil {
			return c, false, err
		}
	default:
		c.value = p.literal()
	}
	return c, true, p.words.check(c)
}

// odd consumes what begins no comparison and gives it as it stood there.
func (p *parser) odd() string {
	if p.peek().kind == tokenOpen {
		return p.literal().source
	}
	t := p.next()
	if next := p.peek(); t.is("NOT") && (next.like() || next.is("NULL")) {
		p.at++
		return t.text + next.space + next.text
	}
	return t.text
}

// takesLists tells whether the values of a list are looked at before what the
// list is compared with.
func (v vocabulary) takesLists(c clause) bool {
	return v.registry || v.loose || c.entity == entityDataset || c.entity == entitySpan || c.entity == entityAttribute && !v.numericKey(c)
}

// literal consumes the right side of a comparison.
func (p *parser) literal() literal {
	t := p.next()
	l := literal{text: t.text, source: t.text}
	switch t.kind {
	case tokenString:
		l.text, l.quoted = unquote(t.text), true
	case tokenNumber:
		l.number = true
	case tokenOpen:
		l.group = true
		for depth := 1; depth > 0 && p.peek().kind != tokenEnd; {
			t = p.next()
			l.source += t.space + t.text
			switch t.kind {
			case tokenOpen:
				depth++
			case tokenClose:
				depth--
			}
		}
		l.text = l.source
	}
	return l
}

// operator reads the operator n tokens ahead and tells how many tokens it has.
func (p *parser) operator(n int) (op string, length int) {
	t := p.ahead(n)
	switch {
	case t.kind == tokenOp:
		return t.text, 1
	case t.like():
		return strings.ToUpper(t.text), 1
	case t.is("IN") && p.ahead(n+1).kind == tokenOpen:
		return "IN", 1
	case t.is("NOT") && p.ahead(n+1).is("IN") && p.ahead(n+2).kind == tokenOpen:
		return "NOT IN", 2
	case t.is("NOT") && p.ahead(n+1).like():
		return "NOT " + strings.ToUpper(p.ahead(n+1).text), 2
	case t.is("IS") && p.ahead(n+1).is("NULL"):
		return "IS NULL", 2
	case t.is("IS") && p.ahead(n+1).is("NOT") && p.ahead(n+2).is("NULL"):
		return "IS NOT NULL", 3
	}
	return "", 0
}

// list reads the parenthesis of IN.
func (p *parser) list() ([]string, error) {
	bad := invalid("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.")
	p.next() // "(": operator saw it
	if p.peek().kind == tokenClose {
		return nil, invalid("While parsing a list in the query, expected a non-empty list of string values, but got empty list")
	}
	var out []string
	for {
		t := p.next()
		if t.kind == tokenClose && len(out) > 0 {
			return out, nil
		}
		if t.kind != tokenString {
			return nil, bad
		}
		out = append(out, unquote(t.text))
		switch p.peek().kind {
		case tokenComma:
			p.next()
		case tokenClose:
		default:
			return nil, bad
		}
	}
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == s[len(s)-1] && strings.IndexByte("'\"`", s[0]) >= 0 {
		return s[1 : len(s)-1]
	}
	return s
}

// identifier splits "metrics.`a b`" into its entity and key.
func (v vocabulary) identifier(s string) (entity, key string, err error) {
	prefix, key, dotted := strings.Cut(s, ".")
	entity = entityAttribute
	if !dotted {
		key = prefix
	} else {
		var ok bool
		if entity, ok = v.entities[strings.Trim(prefix, "`")]; !ok {
			if v.registry {
				return "", "", invalid("Invalid entity type '%s'. Valid entity types are ('attribute', 'tag', 'tags')", prefix)
			}
			if v.loose {
				return "", "", invalid("Invalid entity type: '%s'. Expected one of ['attributes', 'metrics', 'params', 'tags'].", prefix)
			}
			valid := "['metric', 'parameter', 'tag', 'attribute', 'dataset']"
			if v.valid != "" {
				valid = v.valid
			}
			return "", "", invalid("Invalid entity type '%s'. Valid values are %s", strings.Trim(prefix, "`"), valid)
		}
	}
	key = unquote(key)
	if entity == entityAttribute && !v.loose && !slices.Contains(v.attributes, key) && !slices.Contains(v.hidden, key) {
		return "", "", invalid("Invalid attribute key '%s' specified. Valid keys are '{'%s'}'", key, strings.Join(v.attributes, "', '"))
	}
	if datasets := []string{"context", "digest", "name"}; entity == entityDataset && !slices.Contains(datasets, key) {
		return "", "", invalid("Invalid dataset key '%s' specified. Valid keys are '{'%s'}'", key, strings.Join(datasets, "', '"))
	}
	return entity, key, nil
}

// check refuses operators and values that do not fit the entity.
func (v vocabulary) check(c clause) error {
	switch {
	case v.registry:
		return v.checkRegistry(c)
	case v.loose:
		return v.checkLoggedModel(c)
	}
	switch c.entity {
	case entitySpan, entityFeedback, entityExpectation:
		return checkTraceClause(c)
	}
	return v.checkRun(c)
}

func (v vocabulary) numericKey(c clause) bool {
	return c.entity == entityMetric || c.entity == entityAttribute && slices.Contains(v.numeric, c.key)
}

// checkRun is check for runs and experiments.
func (v vocabulary) checkRun(c clause) error {
	numbers := []string{"!=", "<", "<=", "=", ">", ">="}
	texts := []string{"!=", "=", "ILIKE", "LIKE"}
	if v.regular {
		texts = append(texts, "RLIKE")
	}
	numeric := v.numericKey(c)
	valid := texts
	switch {
	case numeric:
		valid = numbers
	case c.entity == entityParam || c.entity == entityTag || c.entity == entityMetadata:
		valid = append(texts, "IS NOT NULL", "IS NULL")
	default:
		valid = append(texts, "IN", "NOT IN")
	}
	// A value of the wrong type is reported before a wrong operator.
	switch {
	case c.list != nil:
		if c.entity != entityDataset && !slices.Contains(v.lists, c.key) {
			return invalid("Only ['%s'] attributes support comparison with a list of quoted string values.", strings.Join(v.lists, "', '"))
		}
	case strings.HasPrefix(c.op, "IS "): // comparison has refused it where nothing can be absent
		return nil
	case numeric && !c.value.number && c.entity == entityMetric:
		return invalid("Expected numeric value type for metric. Found %s", c.value.source)
	case numeric && !c.value.number:
		return invalid("Expected numeric value type for numeric attribute: %s. Found %s", c.key, c.value.source)
	case c.value.group && c.entity == entityAttribute:
		return invalid("Only ['%s'] attributes support comparison with a list of quoted string values.", strings.Join(v.lists, "', '"))
	case !numeric && !c.value.quoted && !c.value.number && !c.value.group && !strings.EqualFold(c.value.text, "NULL"):
		return invalid("Parameter value is either not quoted or unidentified quote types used for string value %s. Use either single or double quotes.", c.value.text)
	case !numeric && !c.value.quoted && slices.Contains(v.lists, "run_id") && c.entity == entityAttribute:
		return invalid("Expected a quoted string value for attributes. Got value %s", c.value.text)
	case !numeric && !c.value.quoted && c.entity == entityDataset:
		return invalid("Expected a quoted string value for dataset attributes. Got value %s", c.value.text)
	case !numeric && !c.value.quoted:
		return invalid("Expected a quoted string value for %s (e.g. 'my-value'). Got value %s", c.entity, c.value.text)
	}
	if numeric && c.value.number {
		if _, err := strconv.ParseFloat(c.value.text, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			return invalid("Expected numeric value type for metric. Found %s", c.value.text)
		}
	}
	if !slices.Contains(valid, c.op) {
		end := "'"
		if c.entity == entityMetric { // the real message lacks it there
			end = ""
		}
		return invalid("Invalid comparator '%s' not one of '{'%s'}%s", c.op, strings.Join(valid, "', '"), end)
	}
	return nil
}

// checkRegistry is check for registered models and their versions.
func (v vocabulary) checkRegistry(c clause) error {
	if c.entity == entityTag {
		switch {
		case c.list != nil || !c.value.quoted:
			return invalid("Expected a quoted string value for tag (e.g. 'my-value'). Got value %s", c.value.text)
		case !slices.Contains([]string{"=", "!=", "LIKE", "ILIKE"}, c.op):
			return invalid("Invalid comparator for tag: %s", c.op)
		}
		return nil
	}
	numeric := v.numericKey(c)
	switch {
	case c.list != nil && !slices.Contains(v.lists, c.key):
		return invalid("Only '%s' attributes support comparison with a list of quoted string values.", strings.Join(v.lists, "', '"))
	case c.list == nil && c.value.number && !numeric && len(v.numeric) > 0:
		return invalid("Only the '{'creation_timestamp', 'last_updated_timestamp', 'version_number'}' attributes support comparison with numeric values.")
	case c.list == nil && !c.value.quoted && !c.value.number && !c.value.group:
		return invalid("Parameter value is either not quoted or unidentified quote types used for string value %s. Use either single or double quotes.", c.value.text)
	case c.list == nil && !c.value.quoted && !(c.value.number && numeric):
		return invalid("Expected a quoted string value or a list of quoted string values for attributes. Got value %s", c.value.text)
	case numeric && !slices.Contains([]string{"!=", "<", "<=", "=", ">", ">="}, c.op):
		return invalid("Invalid comparator for attribute %s: %s", c.key, c.op)
	case numeric:
		if _, err := strconv.ParseInt(c.value.text, 10, 64); err != nil {
			return invalid("Invalid value for numeric attribute '%s': %s", c.key, c.value.source)
		}
	case !slices.Contains([]string{"!=", "=", "LIKE", "ILIKE", "IN", "NOT IN"}, c.op):
		return invalid("Invalid comparator for attribute: %s", c.op)
	}
	return nil
}

// checkLoggedModel is check for logged models.
func (v vocabulary) checkLoggedModel(c clause) error {
	valid := []string{"=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"}
	if v.numericKey(c) {
		valid = []string{"<", "<=", ">", ">=", "=", "!="}
	}
	entity := map[string]string{entityParam: "params", entityTag: "tags", entityMetric: "metrics", entityAttribute: "attributes"}[c.entity]
	if !slices.Contains(valid, c.op) {
		return invalid("Invalid comparison operator for %s.%s: '%s'. Expected one of ('%s').", entity, c.key, c.op, strings.Join(valid, "', '"))
	}
	if v.numericKey(c) {
		if _, err := strconv.ParseFloat(c.value.text, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			return invalid("Expected a number for %s.%s. Found %s", entity, c.key, c.value.text)
		}
	}
	return nil
}
