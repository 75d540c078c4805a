package pipeline

import (
	"errors"
	"fmt"
	"testing"
)

func TestOnlyNoRemote(t *testing.T) {
	other := errors.New("the server is away")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{ErrNoRemote, true},
		{fmt.Errorf("fetch: %w", ErrNoRemote), true},
		{errors.Join(ErrNoRemote, errors.Join(ErrNoRemote)), true},
		{errors.Join(ErrNoRemote, other), false},
		{other, false},
		{nil, false},
	} {
		if got := OnlyNoRemote(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}
