package settings

import (
	"strings"

	"ctrx/internal/errs"
)

// indent stands before each key of a section.
const indent = "    "

// emitConfigObj writes sections of depth 1, as ConfigObj writes a structure
// that was made in memory: no comments, no blank lines. No sections give a
// single newline.
func emitConfigObj(sections []*section) ([]byte, error) {
	var b strings.Builder
	for _, s := range sections {
		name, err := quote(s.name, false)
		if err != nil {
			return nil, err
		}
		b.WriteString("[" + name + "]\n")
		for _, o := range s.keys {
			key, err := quote(o.key, false)
			if err != nil {
				return nil, err
			}
			text, err := o.value.emit()
			if err != nil {
				return nil, err
			}
			b.WriteString(indent + key + " = " + text + "\n")
		}
	}
	if b.Len() == 0 {
		return []byte("\n"), nil
	}
	return []byte(b.String()), nil
}

func (v value) emit() (string, error) {
	if !v.many {
		if v.hasWrite {
			return quote(v.written, true)
		}
		return quote(v.text, true)
	}
	if len(v.list) == 0 {
		return ",", nil
	}
	items := make([]string, len(v.list))
	for i, text := range v.list {
		var err error
		if items[i], err = quote(text, false); err != nil {
			return "", err
		}
	}
	if len(items) == 1 {
		return items[0] + ",", nil
	}
	return strings.Join(items, ", "), nil
}

// quote gives text in the quotes that it needs to be read again; triple quotes
// are only for values.
func quote(text string, triple bool) (string, error) {
	if text == "" {
		return `""`, nil
	}
	single, double := strings.Contains(text, "'"), strings.Contains(text, `"`)
	newline := strings.ContainsAny(text, "\r\n")
	if triple && (single && double || newline) {
		// ConfigObj takes ''' unless there are three double quotes in the text, even
		// where there are three single ones: on one line it reads that again.
		doubles, singles := strings.Contains(text, `"""`), strings.Contains(text, "'''")
		switch {
		case !doubles && !(newline && singles):
			return "'''" + text + "'''", nil
		case !singles || !doubles:
			return `"""` + text + `"""`, nil
		}
		return "", errs.New(errs.Usage, "%q cannot be written to a config file: it mixes all kinds of quotes", text)
	}
	const edge = " \t\v\f\r\n'\""
	switch {
	case newline:
		return "", errs.New(errs.Usage, "%q cannot be written to a config file: it holds a line end", text)
	case strings.IndexByte(edge, text[0]) < 0 && strings.IndexByte(edge, text[len(text)-1]) < 0 && !strings.ContainsAny(text, ",#"):
		return text, nil
	case single && double:
		return "", errs.New(errs.Usage, "%q cannot be written to a config file: it mixes both kinds of quotes", text)
	case double:
		return "'" + text + "'", nil
	}
	return `"` + text + `"`, nil
}
