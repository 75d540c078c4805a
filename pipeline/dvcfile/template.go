package dvcfile

import (
	"fmt"
	"runtime"
	"strings"
)

// A template is a string with ${expression} in it. An expression is a dotted
// path into the context, list items in brackets or as numbers:
// ${train.layers[0]}. \${ stands for ${ itself.

// token is one ${...} of a string.
type token struct {
	start, end int
	inner      string
}

// templateTokens finds the expressions of a string. An expression ends at the
// first closing brace and does not cross lines.
func templateTokens(s string) []token {
	var found []token
	for at := 0; ; {
		i := strings.Index(s[at:], "${")
		if i < 0 {
			return found
		}
		start := at + i
		end := strings.IndexAny(s[start+2:], "}\n")
		if start > 0 && s[start-1] == '\\' || end < 0 || s[start+2+end] == '\n' {
			at = start + 1
			continue
		}
		end += start + 2
		found = append(found, token{start, end + 1, s[start+2 : end]})
		at = end + 1
	}
}

// isTemplate tells whether anything is filled into a string.
func isTemplate(s string) bool { return len(templateTokens(s)) > 0 }

// exprPath splits an expression into the segments of its path.
func exprPath(expr string) (segments []string, err error) {
	fail := func(problem string) ([]string, error) {
		return nil, &templateError{"${" + expr + "}: " + problem}
	}
	const special = ".[]"
	i := strings.IndexAny(expr, special)
	if i < 0 {
		i = len(expr)
	}
	if i == 0 {
		return fail("expected a name")
	}
	segments = append(segments, strings.TrimSpace(expr[:i]))
	rest := expr[i:]
	for rest != "" {
		open := rest[0]
		if open == ']' {
			return fail("']' without '['")
		}
		rest = rest[1:]
		i := strings.IndexAny(rest, special)
		if i < 0 {
			i = len(rest)
		}
		if i == 0 {
			return fail("expected a name after '" + string(open) + "'")
		}
		segments = append(segments, strings.TrimSpace(rest[:i]))
		rest = rest[i:]
		if open == '[' {
			if !strings.HasPrefix(rest, "]") {
				return fail("'[' is not closed")
			}
			rest = strings.TrimLeft(rest[1:], " \t\r\n")
			if rest != "" && rest[0] != '.' && rest[0] != '[' {
				return fail("expected '.' or '[' after ']'")
			}
		}
	}
	return segments, nil
}

// templateError is a template that cannot be filled in whatever the context.
type templateError struct{ text string }

func (e *templateError) Error() string { return e.text }

// keyError is an expression that the context does not have.
type keyError struct{ expr string }

func (e *keyError) Error() string { return "Could not find '" + e.expr + "'" }

// filler fills templates in from a context.
type filler struct {
	ctx  *scope
	opts ParseOptions
	// field is the key of the stage that is filled in; a mapping may stand in
	// cmd only. "" allows every kind of value, for foreach and the top level.
	field string
	// nodes keeps a *contextNode where a whole string was replaced, so that
	// the items of a foreach know which file they come from.
	nodes bool
	// failed is the string that could not be filled in, token the ${} in it.
	failed, token string
}

// value fills in all strings of a value, keys included.
func (f *filler) value(v Value) (Value, error) {
	switch v := v.(type) {
	case string:
		filled, err := f.text(v)
		if err != nil {
			f.failed = v
		}
		return filled, err
	case []Value:
		out := make([]Value, len(v))
		for i, e := range v {
			filled, err := f.value(e)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	case *Map:
		out := &Map{}
		for i := range v.Len() {
			name, e := v.At(i)
			key, err := f.value(v.KeyValue(name))
			if err != nil {
				return nil, err
			}
			if _, whole := key.(*contextNode); whole {
				f.failed = name
				return nil, &templateError{"a ${} cannot be a whole key here; put it into the value, or go over a list"}
			}
			filled, err := f.value(e)
			if err != nil {
				return nil, err
			}
			out.SetKey(plainKey(key), filled)
		}
		return out, nil
	}
	return v, nil
}

// plainKey makes a filled-in key usable as one.
func plainKey(key Value) Value {
	switch key.(type) {
	case []Value, *Map:
		return PyStr(key)
	}
	return key
}

// text fills in one string. A string that is one expression keeps the type.
func (f *filler) text(s string) (Value, error) {
	if !strings.Contains(s, "${") {
		return s, nil
	}
	tokens := templateTokens(s)
	if len(tokens) == 1 && tokens[0].start == 0 && tokens[0].end == len(s) {
		f.token = s
		n, err := f.lookup(tokens[0].inner)
		if err != nil {
			return nil, err
		}
		if f.nodes {
			return n, nil
		}
		v := n.plain()
		return v, f.allowed(v)
	}
	var b strings.Builder
	at := 0
	for _, t := range tokens {
		f.token = s[t.start:t.end]
		n, err := f.lookup(t.inner)
		if err != nil {
			return nil, err
		}
		v := n.plain()
		if err := f.allowed(v); err != nil {
			return nil, err
		}
		shown, err := f.opts.inText(v)
		if err != nil {
			return nil, err
		}
		b.WriteString(s[at:t.start])
		b.WriteString(shown)
		at = t.end
	}
	b.WriteString(s[at:])
	return strings.ReplaceAll(b.String(), `\${`, "${"), nil
}

func (f *filler) lookup(expr string) (*contextNode, error) {
	path, err := exprPath(expr)
	if err != nil {
		return nil, err
	}
	n := f.ctx.find(path)
	if n == nil {
		return nil, &keyError{strings.Join(path, ".")}
	}
	f.ctx.track(n)
	return n, nil
}

func (f *filler) allowed(v Value) error {
	switch v.(type) {
	case *Map:
		if f.field == "cmd" || f.field == "" {
			return nil
		}
	case []Value, Timestamp:
		if f.field == "" {
			return nil
		}
	default:
		return nil
	}
	return &templateError{fmt.Sprintf("Cannot interpolate data of type '%s'", pyTypeName(v))}
}

// inText writes a value into the middle of a string.
func (o ParseOptions) inText(v Value) (string, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	case *Map:
		return o.asFlags(v)
	}
	return PyStr(v), nil
}

// asFlags writes a mapping as the flags of a command line.
func (o ParseOptions) asFlags(m *Map) (string, error) {
	var parts []string
	flat := Flatten(m)
	for i := range flat.Len() {
		key, v := flat.At(i)
		switch v := v.(type) {
		case bool:
			if v {
				parts = append(parts, "--"+key)
			} else if o.Bool == "boolean_optional" {
				parts = append(parts, "--no-"+key)
			}
		case string:
			parts = append(parts, "--"+key, shellQuote(v))
		case []Value:
			for n, item := range v {
				shown := PyStr(item)
				switch item := item.(type) {
				case string:
					shown = shellQuote(item)
				case []Value, *Map:
					return "", &templateError{"Cannot interpolate nested iterable in '" + key + "'"}
				}
				if n == 0 || o.List == "append" {
					parts = append(parts, "--"+key)
				}
				parts = append(parts, shown)
			}
		default:
			parts = append(parts, "--"+key, PyStr(v))
		}
	}
	return strings.TrimRight(strings.Join(parts, " "), " \t\r\n"), nil
}

// shellQuote quotes a word for the shell of the platform where it needs it.
func shellQuote(s string) string {
	if runtime.GOOS == "windows" {
		return windowsQuote(s)
	}
	if s == "" {
		return "''"
	}
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// windowsQuote follows the rules of the Microsoft C runtime: quotes around
// blanks, backslashes doubled only before a quote.
func windowsQuote(s string) string {
	var b strings.Builder
	quote := s == "" || strings.ContainsAny(s, " \t")
	if quote {
		b.WriteByte('"')
	}
	slashes := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			slashes++
			continue
		case '"':
			b.WriteString(strings.Repeat(`\`, 2*slashes) + `\"`)
		default:
			b.WriteString(strings.Repeat(`\`, slashes))
			b.WriteByte(s[i])
		}
		slashes = 0
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	if quote {
		b.WriteString(strings.Repeat(`\`, slashes) + `"`)
	}
	return b.String()
}
