package errs

import "testing"

func TestArg(t *testing.T) {
	for in, want := range map[string]string{
		"data/raw.csv":         "data/raw.csv",
		"sub/dvc.yaml:train@1": "sub/dvc.yaml:train@1",
		"":                     "''",
		"a b":                  "'a b'",
		"größe":                "'größe'",
		"it's":                 `'it'\''s'`,
		"$(touch x)":           "'$(touch x)'",
		"-rf":                  "./-rf",
		"- x":                  "'./- x'",
		"~":                    "'~'",
		`back\slash`:           `'back\slash'`,
	} {
		if got := Arg(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
