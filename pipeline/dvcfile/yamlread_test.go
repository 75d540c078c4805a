package dvcfile

import (
	"strings"
	"testing"
)

func TestParseYAMLKinds(t *testing.T) {
	const in = "a: &x {b: 1, c: 1.0, 1: x}\nd:\n  <<: *x\n  c: 2\n  e: [017, 0o17, 1_000, 1e5, .inf, ~, 2020-01-01, 2020-01-01T10:00:00.5+02:00, yes, .5e3, '1']\n"
	v, err := ParseYAML("a.yaml", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	const want = "{'a': {'b': 1, 'c': 1.0, 1: 'x'}, 'd': {'b': 1, 'c': 2, 1: 'x', 'e': [17, 15, 1000, 100000.0, inf, None, datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 10, 0, 0, 500000), 'yes', '.5e3', '1']}}"
	if got := PyRepr(v); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What contains itself is refused, also where << brings it in.
func TestAliasInsideItsAnchor(t *testing.T) {
	for _, text := range []string{
		"a: &x [*x]\n", "a: &x {b: *x}\n", "a: &x\n  <<: *x\n", "a: &x\n  b:\n    <<: *x\n", "a: &x\n- <<: *x\n", "a: &x\n  <<: [*x]\n",
	} {
		v, err := ParseYAML("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "inside its own anchor") {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
}
