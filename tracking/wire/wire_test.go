package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestFloatJSON(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{1, "1.0"}, {0.5, "0.5"}, {1e16, "1e+16"}, {1e-5, "1e-05"}, {0.0001, "0.0001"}, {math.Copysign(0, -1), "-0.0"},
		{123456789012345680, "1.2345678901234568e+17"}, {math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), `"NaN"`}, {math.Inf(1), `"Infinity"`}, {math.Inf(-1), `"-Infinity"`},
	} {
		got, err := json.Marshal(Float(c.v))
		if err != nil || string(got) != c.want {
			t.Errorf("Marshal(%v) = %s, %v; want %s", c.v, got, err, c.want)
		}
		var back Float
		if err := json.Unmarshal(got, &back); err != nil {
			t.Errorf("Unmarshal(%s): %v", got, err)
		}
		if float64(back) != c.v && !(math.IsNaN(float64(back)) && math.IsNaN(c.v)) {
			t.Errorf("Unmarshal(%s) = %v", got, back)
		}
	}
}

func TestIntJSON(t *testing.T) {
	for in, want := range map[string]Int{`12`: 12, `"12"`: 12, `12.0`: 12, `null`: 0, `9223372036854775807`: math.MaxInt64} {
		var got Int
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("Unmarshal(%s) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{`1.5`, `"x"`, `true`} {
		var got Int
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("Unmarshal(%s) = %d, want an error", in, got)
		}
	}
}

// The expectations are the answers of a real MLflow 3.17.2.
func TestCheckKey(t *testing.T) {
	for key, want := range map[string]KeyProblem{
		"a b": KeyOK, "a/b": KeyOK, "a:b": KeyOK, "a-b.c_d": KeyOK, "ünï": KeyOK, strings.Repeat("ü", 250): KeyOK,
		"a!b": KeyCharacter, "a@b": KeyCharacter, "a=b": KeyCharacter, "a[0]": KeyCharacter, "a,b": KeyCharacter,
		`a\b`: KeyCharacter, "a\nb": KeyCharacter, "a\xffb": KeyCharacter,
		"a//b": KeyPath, "./a": KeyPath, "../a": KeyPath, "a/../b": KeyPath, "/a": KeyPath, "..a": KeyPath, "a/": KeyPath, "": KeyPath, ".": KeyPath,
		strings.Repeat("k", 251): KeyTooLong,
	} {
		if got := CheckKey(key); got != want {
			t.Errorf("CheckKey(%q) = %v, want %v", key, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"äöü", 2, "äö"}, {"äöü", 3, "äöü"}, {"", 0, ""}} {
		if got := Cut(c.in, c.n); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
