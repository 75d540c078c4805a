package dvcfile

import (
	"strings"
	"testing"
)

func TestRecorded(t *testing.T) {
	long := strings.Repeat("word ", 14) + "here:   there"
	cmd := NewMap("cmd", strings.Replace(long, ":", "", 1)+strings.Repeat("x", 40))
	back := recorded(cmd)
	if Equal(back, cmd) {
		t.Errorf("the folding lost nothing: %s", EmitYAML(cmd))
	}
	if !Equal(recorded(back), back) {
		t.Errorf("what was read back changes again: %s", EmitYAML(back))
	}
	if v := NewMap("a", []Value{nil, Float(1), "x\ny  z"}); !Equal(recorded(v), v) {
		t.Errorf("%s changed", PyRepr(v))
	}
}

// A key that DVC would break over two lines, and then fail to read, stays whole.
func TestLongKey(t *testing.T) {
	key := strings.TrimSpace(strings.Repeat("key ", 25))
	v := NewMap("m", NewMap(key, NewInt(1)))
	back, err := ParseYAML("x", EmitYAML(v))
	if err != nil || !Equal(back, v) {
		t.Errorf("%v, %v from\n%s", back, err, EmitYAML(v))
	}
}

// Where two places share a list it is written once, with an anchor.
func TestSharedValues(t *testing.T) {
	shared := []Value{NewInt(1), NewMap("k", "v")}
	got := string(EmitYAML(NewMap("a", shared, "b", shared, "c", []Value{})))
	const want = "a: &id001\n- 1\n- k: v\nb: *id001\nc: []\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
