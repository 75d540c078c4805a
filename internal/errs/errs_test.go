package errs

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestHintOf(t *testing.T) {
	refused := fmt.Errorf("write x: %w", fs.ErrPermission)
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("plain"), false},
		{Hint(errors.New("plain"), "do this"), true},
		{fmt.Errorf("outer: %w", Hint(New(Usage, "inner"), "do this")), true},
		{refused, true},
	} {
		if got := HintOf(tc.err); (got != "") != tc.want {
			t.Errorf("%v: hint %q", tc.err, got)
		}
	}
	if got := HintOf(Hint(refused, "mine")); got != "mine" {
		t.Errorf("the own hint is lost: %q", got)
	}
}

func TestHas(t *testing.T) {
	both := fmt.Errorf("outer: %w", errors.Join(New(NotFound, "one"), Hint(New(Usage, "two"), "do this")))
	for kind, want := range map[Kind]bool{NotFound: true, Usage: true, Auth: false} {
		if got := Has(both, kind); got != want {
			t.Errorf("kind %d: %v", kind, got)
		}
	}
	if Has(nil, Failed) || Has(errors.New("plain"), Failed) {
		t.Error("an error without a kind has one")
	}
}
