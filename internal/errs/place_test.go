package errs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	text := NewText("f", []byte("one\n\tключ: x  \r\n\n"+long+"\nlast"))
	for _, c := range []struct {
		line, col int
		want      string
	}{
		{1, 3, "   1 | one\n     |   ^"},
		{2, 8, "   2 |  ключ: x\n     |        ^"},
		{1, 4, "   1 | one\n     |    ^"}, // behind the end
		{1, 9, "   1 | one"},
		{1, 0, "   1 | one"},
		{3, 1, ""},
		{5, 1, "   5 | last\n     | ^"},
		{9, 1, "   5 | last\n     |     ^"},
		{0, 0, ""},
		{4, 150, "   4 | …" + long[100:198] + "…\n     | " + strings.Repeat(" ", 50) + "^"},
	} {
		if got := text.At(c.line, c.col).Excerpt(); got != c.want {
			t.Errorf("%d:%d\ngot\n%s\nwant\n%s", c.line, c.col, got, c.want)
		}
	}
	if got := (Pos{File: "f", Line: 1, Col: 1}).Excerpt(); got != "" {
		t.Errorf("without the text: %q", got)
	}
}

func TestExplain(t *testing.T) {
	text := NewText("f", []byte("a\nbb\nccc"))
	one := Hint(fmt.Errorf("load: %w", At(text.At(2, 2), "bad %s\nbecause", "b")), "try")
	all := All([]Finding{{text.At(1, 1), "first"}, {text.At(3, 3), "second"}})
	for _, c := range []struct {
		err  error
		want string
	}{
		{one, "load: f:2:2: bad b\nbecause\n   2 | bb\n     |  ^"},
		{all, "f:1:1: first\n   1 | a\n     | ^\nf:3:3: second\n   3 | ccc\n     |   ^"},
		{errors.New("plain"), "plain"},
	} {
		if got := Explain(c.err); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if KindOf(one) != ProjectFile || HintOf(one) != "try" || KindOf(all) != ProjectFile || All(nil) != nil {
		t.Error("kind or hint")
	}
	if f := Findings(one); len(f) != 1 || f[0].Text != "bad b\nbecause" || f[0].Pos.Source() != "bb" {
		t.Errorf("findings %v", f)
	}
	many := make([]Finding, 15)
	for i := range many {
		many[i] = Finding{text.At(1, 1), fmt.Sprint("no ", i)}
	}
	if got := All(many).Error(); strings.Count(got, "\n") != 10 || !strings.HasSuffix(got, "and 5 more") {
		t.Errorf("many: %s", got)
	}
}

func TestFind(t *testing.T) {
	text := NewText("f", []byte("x: ${a}\nк: ${b} ${a}\n  ${c}"))
	for _, c := range []struct {
		line, col int
		find      string
		want      string
	}{
		{1, 1, "${a}", "f:1:4"}, {1, 5, "${a}", "f:2:9"}, {2, 3, "${b}", "f:2:4"}, {2, 1, "${c}", "f:3:3"}, {2, 5, "none", "f:2:5"}, {9, 1, "${a}", "f:9:1"}, {0, 0, "x", "f"},
	} {
		if got := text.At(c.line, c.col).Find(c.find).String(); got != c.want {
			t.Errorf("%s from %d:%d is at %s, want %s", c.find, c.line, c.col, got, c.want)
		}
	}
}
