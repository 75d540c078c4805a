package dvcfile

import (
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// DVC resolves ${a.b} in a params file when it changes the file with -S, in
// OmegaConf's way: a path counts from the top of the file, ${.x} from the
// mapping around, each further dot one level up; \${ is ${ itself.

// resolveReferences gives a copy of a file's content without references.
func resolveReferences(file string, root *Map) (*Map, error) {
	r := &references{file: file, root: root}
	v, err := r.value(root, nil)
	if err != nil {
		return nil, err
	}
	return v.(*Map), nil
}

type references struct {
	file string
	root *Map
	busy []string // the paths that are being resolved, against circles
}

func (r *references) fail(path []string, format string, args ...any) error {
	return errs.New(errs.Usage, "%s: '%s': "+format, append([]any{r.file, strings.Join(path, ".")}, args...)...)
}

func (r *references) value(v Value, path []string) (Value, error) {
	below := func(segment string) []string { return append(path[:len(path):len(path)], segment) }
	switch v := v.(type) {
	case string:
		if v == "???" {
			return nil, r.fail(path, "Missing mandatory value: ??? is to be replaced before the file is used")
		}
		if strings.Contains(v, "${") {
			return r.text(v, path)
		}
	case []Value:
		out := make([]Value, len(v))
		for i, e := range v {
			resolved, err := r.value(e, below(strconv.Itoa(i)))
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	case *Map:
		out := &Map{}
		for i := range v.Len() {
			name, e := v.At(i)
			resolved, err := r.value(e, below(name))
			if err != nil {
				return nil, err
			}
			out.SetKey(v.KeyValue(name), resolved)
		}
		return out, nil
	}
	return v, nil
}

// text resolves one string; one that is a single reference keeps the type.
func (r *references) text(s string, path []string) (Value, error) {
	key := pathKey(path)
	for _, b := range r.busy {
		if b == key {
			return nil, r.fail(path, "Recursive interpolation detected")
		}
	}
	r.busy = append(r.busy, key)
	defer func() { r.busy = r.busy[:len(r.busy)-1] }()

	var b strings.Builder
	for at := 0; at < len(s); {
		i := strings.Index(s[at:], "${")
		if i < 0 {
			b.WriteString(s[at:])
			break
		}
		text := strings.TrimRight(s[at:at+i], `\`)
		slashes := i - len(text)
		b.WriteString(text)
		b.WriteString(strings.Repeat(`\`, slashes/2))
		at += i
		if slashes%2 == 1 {
			b.WriteString("${")
			at += 2
			continue
		}
		end, err := r.end(s, at+2, path)
		if err != nil {
			return nil, err
		}
		v, err := r.lookup(s[at+2:end], path)
		if err != nil {
			return nil, err
		}
		if at == 0 && end+1 == len(s) {
			return v, nil
		}
		b.WriteString(PyStr(v))
		at = end + 1
	}
	return b.String(), nil
}

// end finds the brace that closes a reference; references may be nested.
func (r *references) end(s string, at int, path []string) (int, error) {
	for depth := 1; at < len(s); at++ {
		switch {
		case strings.HasPrefix(s[at:], "${"):
			depth++
		case s[at] == '}':
			if depth--; depth == 0 {
				return at, nil
			}
		}
	}
	return 0, r.fail(path, "${ without a closing brace; \\${ stands for ${ itself")
}

func (r *references) lookup(expr string, path []string) (Value, error) {
	if strings.Contains(expr, "${") {
		v, err := r.text(expr, append(path[:len(path):len(path)], "${"))
		if err != nil {
			return nil, err
		}
		expr = PyStr(v)
	}
	if strings.Contains(expr, ":") {
		return nil, r.fail(path, "${%s}: resolvers like oc.env are not evaluated by ctrx; write the value", expr)
	}
	rest := strings.TrimLeft(expr, ".")
	base := []string{}
	if dots := len(expr) - len(rest); dots > 0 {
		if dots > len(path) {
			return nil, r.fail(path, "Interpolation key '%s' not found", expr)
		}
		base = path[:len(path)-dots]
	}
	target := append([]string{}, base...)
	for _, part := range strings.Split(strings.ReplaceAll(rest, "[", ".["), ".") {
		part = strings.TrimSuffix(strings.TrimPrefix(part, "["), "]")
		if part = strings.TrimSpace(part); part != "" {
			target = append(target, part)
		}
	}
	var v Value = r.root
	for i, segment := range target {
		if s, ok := v.(string); ok && strings.Contains(s, "${") {
			resolved, err := r.text(s, target[:i])
			if err != nil {
				return nil, err
			}
			v = resolved
		}
		e, ok := child(v, segment)
		if !ok {
			err := r.fail(path, "Interpolation key '%s' not found", expr)
			if near := nearest(rest, dottedKeys(r.root)); near != "" {
				return nil, errs.Hint(err, "did you mean '${%s}'?", near)
			}
			return nil, err
		}
		v = e
	}
	for _, busy := range r.busy {
		if busy == pathKey(target) {
			return nil, r.fail(path, "Recursive interpolation detected")
		}
	}
	return r.value(v, target)
}
