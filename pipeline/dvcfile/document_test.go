package dvcfile

import (
	"slices"
	"testing"
)

const documentText = `# head

stages:
    train:   # the stage
        cmd: "run it"

        deps: [a, b]   # two
    # between
    eval:
        cmd: x
`

func TestDocumentEdits(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(d *Document) error
		want string
	}{
		{"nothing", func(d *Document) error { return nil },
			"# head\n\nstages:\n  train:     # the stage\n    cmd: run it\n\n    deps: [a, b]       # two\n    # between\n  eval:\n    cmd: x\n"},
		{"set", func(d *Document) error { return d.Set("other", "stages", "eval", "cmd") },
			"# head\n\nstages:\n  train:     # the stage\n    cmd: run it\n\n    deps: [a, b]       # two\n    # between\n  eval:\n    cmd: other\n"},
		{"add below new", func(d *Document) error { return d.Set(NewInt(1), "plots", "x", "y") },
			"# head\n\nstages:\n  train:     # the stage\n    cmd: run it\n\n    deps: [a, b]       # two\n    # between\n  eval:\n    cmd: x\nplots:\n  x:\n    y: 1\n"},
		{"list item", func(d *Document) error { return d.Set("c", "stages", "train", "deps", 2) },
			"# head\n\nstages:\n  train:     # the stage\n    cmd: run it\n\n    deps: [a, b, c]    # two\n    # between\n  eval:\n    cmd: x\n"},
		{"delete", func(d *Document) error {
			if !d.Delete("stages", "train") || d.Delete("stages", "none") || d.Delete("none", "x") {
				t.Error("Delete tells the wrong thing")
			}
			return nil
		}, "# head\n\nstages:\n  eval:\n    cmd: x\n"},
		{"diff", func(d *Document) error {
			return d.ApplyDiff(NewMap("cmd", "run it", "deps", []Value{"a", "c"}, "frozen", true), "stages", "train")
		}, "# head\n\nstages:\n  train:     # the stage\n    cmd: run it\n\n    deps: [a, c]       # two\n    # between\n    frozen: true\n  eval:\n    cmd: x\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := ParseDocument("dvc.yaml", []byte(documentText))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.edit(d); err != nil {
				t.Fatal(err)
			}
			if got := string(d.Encode()); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestDocumentWrongPath(t *testing.T) {
	d, err := ParseDocument("x", []byte("a: [1]\nb: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range [][]any{{"a", "k"}, {"b", "k"}, {0}, {"a", 5}, {1.5}} {
		if err := d.Set("v", path...); err == nil {
			t.Errorf("Set at %v worked", path)
		}
	}
}

// A scalar that did not change keeps its spelling, one that was set does not,
// even where it is equal.
func TestDocumentUpdate(t *testing.T) {
	const in = "lr: 1e-3   # c\nh: 0x1F\ns: \"quoted\"\nl: [1e-3, 'x']\nm: {a: 1e-3, b: [1, 2]}\nlit: |\n  abc\ngone: 1\n"
	d, err := ParseDocument("params.yaml", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	m := Clone(d.Value()).(*Map)
	m.Delete("gone")
	m.Set("lit", "xyz")
	list, _ := m.Get("l")
	m.Set("l", append(list.([]Value), NewInt(3)))
	d.Update(m, func(path []string) bool { return slices.Equal(path, []string{"lr"}) })
	const want = "lr: 0.001  # c\nh: 0x1F\ns: quoted\nl:\n- 1e-3\n- x\n- 3\nm: {a: 1e-3, b: [1, 2]}\nlit: |-\n  xyz\n"
	if got := string(d.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A block string that takes a new text stays a block where it can be read back
// as that text.
func TestSetBlockString(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"x\ty\n", "a: |\n  x\ty\n"},
		{"\x10", "a: \"\\x10\"\n"},
		{"x\r\ny", "a: \"x\\r\\ny\"\n"},
		{"x\u2028y", "a: 'x\u2028  y'\n"},
		{"x\x7f", "a: \"x\\x7F\"\n"},
		{"\n\n", "a: |2+\n\n\n...\n"},
	} {
		d, err := ParseDocument("x", []byte("a: |\n  old\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Set(c.text, "a"); err != nil {
			t.Fatal(err)
		}
		got := d.Encode()
		if string(got) != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
		if v, err := ParseYAML("x", got); err != nil || !Equal(v, NewMap("a", c.text)) {
			t.Errorf("%q reads back as %s (%v)", c.text, PyRepr(v), err)
		}
	}
}
