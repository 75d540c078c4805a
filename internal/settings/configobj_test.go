package settings

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestParseValues(t *testing.T) {
	tests := []struct {
		in   string
		want value
	}{
		{`k = plain`, value{text: "plain"}},
		{`k=v`, value{text: "v"}},
		{`k = a b  # comment`, value{text: "a b"}},
		{`k = a#comment, with a comma`, value{text: "a"}},
		{`k = "a # b, c"`, value{text: "a # b, c"}},
		{`k = 'it is "so"'`, value{text: `it is "so"`}},
		{`k = a"b'c`, value{text: `a"b'c`}},
		{`k = "abc" "def"`, value{text: `abc" "def`}},
		{`k =`, value{text: ""}},
		{`k = # nothing`, value{text: ""}},
		{`k = ""`, value{text: ""}},
		{`k = """it's "so" """ # c`, value{text: `it's "so" `}},
		{"k = '''one\ntwo'''", value{text: "one\ntwo"}},
		{`k = """a""""`, value{text: `a"`}},
		{`k = a, b`, value{list: []string{"a", "b"}, many: true}},
		{`k = a,`, value{list: []string{"a"}, many: true}},
		{`k = , # c`, value{list: []string{}, many: true}},
		{`k = a, "b, c", 'd', # x`, value{list: []string{"a", "b, c", "d"}, many: true}},
		{`k = a, ""`, value{list: []string{"a", ""}, many: true}},
		{`k = "a" # x", b`, value{list: []string{`a" # x`, "b"}, many: true}},
		{`"k" = v`, value{text: "v"}},
		{`k = a = b`, value{text: "a = b"}},
	}
	for _, tt := range tests {
		root, err := parseConfigObj("f", []byte("[s]\n"+tt.in+"\n"))
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got := root.sections[0].option("k"); got == nil || !reflect.DeepEqual(got.value, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{"[s]\nk = a,,b", "f:2: the value of k is badly quoted"},
		{"[s]\nk = \"a", "f:2: the value of k is badly quoted"},
		{"[s]\nk = \"a\" b", "f:2: the value of k is badly quoted"},
		{"[s]\nk = '''a\nb", `f:3: the value of k has no closing '''`},
		{"[s]\nnonsense", `f:2: "nonsense" is neither`},
		{"[s]\nk = 1\nk = 2", "f:3: duplicate key k"},
		{"[s]\n[s]", "f:2: duplicate section s"},
		{"[[s]]", "f:1: section s is nested too deep"},
		{"[s]]", "f:1: section s opens with 1 brackets and closes with 2"},
		{"[]", `f:1: "[]" is neither`},
		{"[s]\nk = %(x)s", "f:2: k: %(x)s"},
		{"[s]\nk = %(l)s\nl = %(k)s", "f:3: l: %(l)s refers to itself"},
	}
	for _, tt := range tests {
		_, err := parseConfigObj("f", []byte(tt.in))
		if err == nil || !strings.HasPrefix(err.Error(), strings.TrimSuffix(tt.want, "%")) {
			if tt.in == "[s]\nk = %(l)s\nl = %(k)s" && err != nil && strings.Contains(err.Error(), "refers to itself") {
				continue
			}
			t.Errorf("%q: got %v, want %s", tt.in, err, tt.want)
			continue
		}
		if errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%q: kind %v", tt.in, errs.KindOf(err))
		}
	}
}

func TestInterpolation(t *testing.T) {
	root, err := parseConfigObj("f", []byte("[remote]\nhost = h\n[[x]]\nurl = s3://%(bucket)s/%(host)s%(\nbucket = b-%(host)s\nkeep = 100%\n"))
	if err != nil {
		t.Fatal(err)
	}
	x := root.sections[0].sections[0]
	for key, want := range map[string]string{"url": "s3://b-h/h%(", "bucket": "b-h", "keep": "100%"} {
		if got := x.option(key).value.text; got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
}

func TestNestedReferencesStaySmall(t *testing.T) {
	var b strings.Builder
	b.WriteString("[s]\na0 = xxxxxxxxxx\n")
	for i := 1; i < 30; i++ {
		prev := "%(a" + string(rune('0'+(i-1)/10)) + string(rune('0'+(i-1)%10)) + ")s"
		if i == 1 {
			prev = "%(a0)s"
		}
		b.WriteString("a" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + " = " + strings.Repeat(prev, 10) + "\n")
	}
	if _, err := parseConfigObj("f", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
}

func TestQuote(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", `""`}, {"a", "a"}, {"a b", "a b"}, {" a", `" a"`}, {"a,b", `"a,b"`}, {"a#b", `"a#b"`},
		{`"a`, `'"a'`}, {"'a", `"'a"`}, {`a"b`, `a"b`}, {`a'b"c`, `'''a'b"c'''`}, {"a\nb", "'''a\nb'''"}, {`a"""'b`, `"""a"""'b"""`}, {`a"b'`, `'''a"b''''`},
	}
	for _, tt := range tests {
		if got, err := quote(tt.in, true); err != nil || got != tt.want {
			t.Errorf("quote(%q) = %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
	if _, err := quote(`a'''"""b`, true); errs.KindOf(err) != errs.Usage {
		t.Errorf("all kinds of quotes: %v", err)
	}
	if got, err := quote(`remote "x"`, false); err != nil || got != `'remote "x"'` {
		t.Errorf("section name: %s, %v", got, err)
	}
}

func FuzzConfigObj(f *testing.F) {
	f.Add("[core]\n    remote = s3\n['remote \"s3\"']\n    url = s3://b/p\n")
	f.Add("[remote]\n[[x]]\nurl = a, \"b\", c # d\n")
	f.Add("[s]\nk = '''a\nb''' # c\nl = %(k)s\n")
	f.Add("[s]\nk = \"a\" # \"b\", c\n'x\"' = \n")
	f.Fuzz(func(t *testing.T, in string) {
		root, err := parseConfigObj("f", []byte(in))
		if err != nil || len(root.keys) > 0 || strings.ContainsAny(in, "\r\v\f\u0085\u00a0\u2028") {
			return
		}
		for _, s := range root.sections {
			if len(s.sections) > 0 || strings.ContainsAny(s.name, "[]#=") {
				return
			}
			for _, o := range s.keys {
				if strings.ContainsAny(o.key, "[]#=") {
					return // ConfigObj has no spelling for these; no option is named so
				}
			}
		}
		data, err := emitConfigObj(root.sections)
		if err != nil {
			return // some texts have no spelling
		}
		again, err := parseConfigObj("f", data)
		if err != nil {
			if strings.Contains(in, "%(") {
				return // a value that a reference gave may look like a reference
			}
			t.Fatalf("%q is written as %q: %v", in, data, err)
		}
		data2, err := emitConfigObj(again.sections)
		if err != nil || !bytes.Equal(data, data2) && !strings.Contains(in, "%(") {
			t.Fatalf("%q is written as %q and then as %q, %v", in, data, data2, err)
		}
	})
}

// Messages show the line that they are about, and no secret in it.
func TestQuotedLine(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct{ in, want string }{
		{"[core]\n    a = 'x\n", "   2 |     a = 'x"},
		{"[remote \"r\"]\n    secret_acces_key = 'hunter2\n", "   2 |     secret_acces_key =***"},
		{"[remote \"r\"]\n    url = 's3://me:hunter2@host/x\n", "   2 |     url = 's3://***host/x"},
	} {
		_, err := parseConfigObj("config", []byte(c.in))
		if err == nil {
			t.Errorf("%q was read", c.in)
			continue
		}
		if got := errs.Explain(err); !strings.HasSuffix(got, c.want) || strings.Contains(got, secret) {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}
