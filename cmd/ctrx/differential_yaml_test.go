package main

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strings"
)

// The random projects are made of these: raw is YAML text that stands as it is,
// string is quoted where that is needed (and at times where not), dict keeps its
// order and may have a key twice.
type (
	raw  string
	list []any
	pair struct {
		key   string
		value any
	}
	dict []pair
)

func (d dict) get(key string) any {
	for _, p := range d {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

func (d dict) with(key string, v any) dict {
	for i := range d {
		if d[i].key == key {
			d[i].value = v
			return d
		}
	}
	return append(d, pair{key, v})
}

func (d dict) without(key string) dict {
	var out dict
	for _, p := range d {
		if p.key != key {
			out = append(out, p)
		}
	}
	return out
}

// yamlWriter writes values in one of the many ways YAML has for them.
type yamlWriter struct {
	r *rand.Rand
	b strings.Builder
}

func yamlText(r *rand.Rand, v any) string {
	w := yamlWriter{r: r}
	w.block(v, 0)
	return w.b.String()
}

func (w *yamlWriter) line(indent int, text string) {
	w.b.WriteString(strings.Repeat(" ", indent) + text + "\n")
}

// block writes a mapping or list from a line of its own on.
func (w *yamlWriter) block(v any, indent int) {
	switch v := v.(type) {
	case dict:
		if w.r.IntN(20) == 0 {
			w.line(indent, "# a comment")
		}
		for _, p := range v {
			w.entry(w.plain(p.key)+":", p.value, indent, w.r.IntN(2)*2)
		}
	case list:
		for _, e := range v {
			w.entry("-", e, indent, 2)
		}
	default:
		w.line(indent, w.flow(v))
	}
}

// entry writes a value behind "key:" or "-".
func (w *yamlWriter) entry(head string, v any, indent, listIndent int) {
	switch in := v.(type) {
	case dict:
		if len(in) > 0 && w.r.IntN(6) > 0 {
			w.line(indent, head)
			w.block(in, indent+2)
			return
		}
	case list:
		if len(in) > 0 && w.r.IntN(5) > 0 {
			w.line(indent, head)
			w.block(in, indent+listIndent)
			return
		}
	case string:
		if literal.MatchString(in) && w.r.IntN(3) > 0 {
			mark := " |"
			if !strings.HasSuffix(in, "\n") {
				mark = " |-"
			}
			w.line(indent, head+mark)
			for _, l := range strings.Split(strings.TrimSuffix(in, "\n"), "\n") {
				w.line(indent+2, l)
			}
			return
		}
	}
	w.line(indent, strings.TrimRight(head+" "+w.flow(v), " "))
}

// literal are the texts that a | scalar can hold.
var literal = regexp.MustCompile(`^[^\s][^\t\r]*\n([^\s][^\t\r]*\n?)*$`)

// flow writes a value on one line.
func (w *yamlWriter) flow(v any) string {
	var parts []string
	switch v := v.(type) {
	case raw:
		return string(v)
	case string:
		return w.plain(v)
	case dict:
		for _, p := range v {
			parts = append(parts, w.plain(p.key)+": "+w.flow(p.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case list:
		for _, e := range v {
			parts = append(parts, w.flow(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	panic("a value of no known type")
}

var (
	plainText = regexp.MustCompile(`^[A-Za-zа-я_/.][A-Za-zа-я0-9_/.@-]*( [A-Za-z0-9_/.>&|-]+)*$`)
	reserved  = regexp.MustCompile(`(?i)^(true|false|null|~|yes|no|on|off|y|n|[.](inf|nan)|[.]+[0-9._e]*)$`)
)

// plain writes a text: plain, in single or in double quotes.
func (w *yamlWriter) plain(s string) string {
	if plainText.MatchString(s) && !reserved.MatchString(s) && w.r.IntN(8) > 0 {
		return s
	}
	if w.r.IntN(2) == 0 && !strings.ContainsAny(s, "\n\t\r\a\u2028") {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return jsonText(s)
}

func jsonText(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// What a random value may be. Words are safe in paths and commands.
var (
	someWords  = []string{"a", "train", "model", "v1.0", "x_y", "day-1", "ключ", "Big", "00", "e5", "1e", "none", "no", "True_", "été"}
	someInts   = []raw{"0", "1", "-1", "42", "017", "0o17", "0x1F", "1_000", "123456789012345678901234567890", "+5", "-0"}
	someFloats = []raw{"1.0", "0.5", "1e-05", "1e-5", "1E5", "1.5e3", "1e16", "1e+15", "123456789.123456789", "-0.0", ".5", "1.", "1e300", "0.1e-6", "3.0e-4", ".inf", "-.inf", "1_000.5"}
	someOthers = []raw{"true", "false", "True", "FALSE", "null", "~", "yes", "no", "on", "12:30:45", "'2020-01-01'", "'1'", "\"1.0\"", "'null'", "'='", "0b11", "1e", "0x", "--", "0o8", "'017'"}
	someTexts  = []string{
		"it's", "say \"so\"", "a: b", "a #b", " lead", "trail ", "tab\there", "-", "- x", "? y", "&a", "*b", "!t", "%d", "@x", "`q`", "{a}", "[b", "a, b", "#c",
		"", "---", "... x", "two\nlines", "ends\n", "\n", "a\n\nb\n", "日本語 と かな", "\U0001F600 smile", "back\\slash", "\u00a0nbsp", "x\u2028y", "\x07bell", "\u00e9t\u00e9", "$HOME", "a  b", "null", "1.0", "true", "<<", "=",
	}
	someLong = []string{
		"the quick brown fox jumps over the lazy dog and then goes on and on until the line is far too long for eighty columns of text",
		"--learning-rate 0.001 --epochs 100 --batch-size 32 --hidden-layers 128,64,32 --optimizer adam  --weight-decay 1e-05 --seed 42",
		"ключ значение ключ значение ключ значение ключ значение ключ значение ключ значение ключ значение",
		"it's a long text with 'quotes' that must be doubled in single quotes, and it goes past the eightieth column, too",
		"a_very_long_word_without_any_blank_that_is_longer_than_eighty_columns_and_can_therefore_not_be_folded_anywhere_at_all and more",
		"first line that is rather long and goes on for more than eighty columns of text, really\nsecond line",
		"x: y and # z, a text that needs quotes because of the colon in it and is longer than the eighty columns we have",
	}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true in n of 100 cases.
func chance(r *rand.Rand, n int) bool { return r.IntN(100) < n }

// randomScalar is anything a params file can hold but collections.
func randomScalar(r *rand.Rand) any {
	switch r.IntN(7) {
	case 0:
		return pick(r, someInts)
	case 1:
		return pick(r, someFloats)
	case 2:
		return pick(r, someOthers)
	case 3:
		return pick(r, someTexts)
	case 4:
		return pick(r, someLong)
	case 5:
		return longWords(r)
	}
	return pick(r, someWords)
}

// longWords is a text whose words end near the eightieth column.
func longWords(r *rand.Rand) string {
	var words []string
	for range 8 + r.IntN(14) {
		words = append(words, strings.Repeat(pick(r, []string{"w", "é", "x'", "y\"", "z:"}), 1+r.IntN(12)))
	}
	return strings.Join(words, pick(r, []string{" ", " ", " ", "  "}))
}

// randomValue may be a collection of collections.
func randomValue(r *rand.Rand, depth int) any {
	if depth == 0 || chance(r, 60) {
		return randomScalar(r)
	}
	if chance(r, 50) {
		l := list{}
		for range r.IntN(4) {
			l = append(l, randomValue(r, depth-1))
		}
		return l
	}
	d := dict{}
	for _, k := range distinctWords(r, r.IntN(4)) {
		d = append(d, pair{k, randomValue(r, depth-1)})
	}
	return d
}

func distinctWords(r *rand.Rand, n int) []string {
	var out []string
	for _, i := range r.Perm(len(someWords))[:n] {
		out = append(out, someWords[i])
	}
	return out
}
