package dvcfile

import (
	"fmt"
	"math"
	"testing"
)

func TestMap(t *testing.T) {
	var none *Map
	if none.Len() != 0 || none.Keys() != nil {
		t.Error("a nil map is not empty")
	}
	m := &Map{}
	for i := range 20 {
		m.Set(fmt.Sprint("k", i), NewInt(int64(i)))
	}
	m.Set("k3", "three")
	m.Delete("k0")
	m.Delete("none")
	if v, ok := m.Get("k19"); !ok || v != NewInt(19) {
		t.Errorf("k19 is %v", v)
	}
	if v, _ := m.Get("k3"); v != "three" || m.Keys()[2] != "k3" || m.Len() != 19 {
		t.Errorf("keys %v", m.Keys())
	}
}

func TestMapKeysOfOtherKinds(t *testing.T) {
	m := &Map{}
	m.SetKey("1", "text")
	m.SetKey(NewInt(1), "int")
	m.SetKey(Float(1), "replaces int")
	m.SetKey(nil, "null")
	if got, want := PyRepr(m), "{'1': 'text', 1: 'replaces int', None: 'null'}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !Equal(m, m.Clone()) {
		t.Error("a clone differs")
	}
	if got, want := string(CanonicalJSON(NewMap("m", m.Clone()))), `{"m": {"1": "replaces int", "null": "null", "1": "text"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEqual(t *testing.T) {
	big, _ := ParseInt("9007199254740993")
	for _, c := range []struct {
		a, b Value
		want bool
	}{
		{NewInt(1), Float(1), true},
		{true, NewInt(1), true},
		{false, Float(0), true},
		{big, Float(9007199254740992), false},
		{Float(math.NaN()), Float(math.NaN()), false},
		{nil, nil, true},
		{nil, false, false},
		{"1", NewInt(1), false},
		{[]Value{NewInt(1), "a"}, []Value{Float(1), "a"}, true},
		{[]Value{}, []Value{nil}, false},
		{NewMap("a", NewInt(1), "b", nil), NewMap("b", nil, "a", true), true},
		{NewMap("a", nil), NewMap("b", nil), false},
		{Timestamp{"2020-01-01"}, "2020-01-01", false},
		{Float(math.Inf(1)), NewInt(1), false},
	} {
		if got := Equal(c.a, c.b); got != c.want {
			t.Errorf("Equal(%s, %s) = %v", PyRepr(c.a), PyRepr(c.b), got)
		}
		if got := Equal(c.b, c.a); got != c.want {
			t.Errorf("Equal(%s, %s) = %v", PyRepr(c.b), PyRepr(c.a), got)
		}
	}
}

func TestParseInt(t *testing.T) {
	for in, want := range map[string]string{
		"017": "17", "-1_000": "-1000", "+5": "5", "123456789012345678901234567890": "123456789012345678901234567890",
		"": "", "-": "", "1_": "", "_1": "", "1__0": "", "0x1": "", "1.0": "", "+-1": "", " 1": "",
	} {
		n, ok := ParseInt(in)
		if ok != (want != "") || ok && n.String() != want {
			t.Errorf("ParseInt(%q) = %v, %v", in, n, ok)
		}
	}
}

func TestTimestamps(t *testing.T) {
	for in, want := range map[string]string{
		"2020-01-31":                     "2020-01-31",
		"2020-1-31 1:02:03":              "2020-01-31 01:02:03",
		"2020-01-31T10:00:00.5":          "2020-01-31 10:00:00.500000",
		"2020-01-31t10:00:00.1234567 +2": "2020-01-31 10:00:00.123457+02:00",
		"2020-01-31 10:00:00Z":           "2020-01-31 10:00:00+00:00",
	} {
		v, err := ParseYAML("x", []byte(in))
		if ts, ok := v.(Timestamp); err != nil || !ok || ts.Text != want {
			t.Errorf("%s is %#v, %v", in, v, err)
		}
	}
	for _, in := range []string{"2020-1-1", "2020-01-01T1", "20-01-01", "2020-01-01 10:00:0"} {
		if v, err := ParseYAML("x", []byte(in)); err != nil || v != in {
			t.Errorf("%s is %#v, %v", in, v, err)
		}
	}
	for _, in := range []string{"2020-13-01", "2021-02-29", "0x_", "!!int x", "="} {
		if v, err := ParseYAML("x", []byte("a: "+in)); err == nil {
			t.Errorf("%s is %#v", in, v)
		}
	}
}
