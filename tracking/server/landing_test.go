package server

import "testing"

// The page leads to the experiment that is named, else to the one of the last
// run, never to a deleted one.
func TestLanding(t *testing.T) {
	f := newFixture(t)
	want := func(name, id string) {
		t.Helper()
		if got, err := f.Landing(t.Context(), name); err != nil || got != id {
			t.Errorf("%q leads to %q, %v, want %q", name, got, err, id)
		}
	}
	want("clicks", "0")
	for _, name := range []string{"clicks", "other", "third"} {
		f.post(t, "experiments/create", m{"name": name}, nil)
	}
	want("clicks", "1")
	want("", "0")
	f.post(t, "runs/create", m{"experiment_id": "2", "start_time": 2000}, nil)
	f.post(t, "runs/create", m{"experiment_id": "1", "start_time": 1000}, nil)
	want("", "2")
	want("nobody's", "2")
	f.post(t, "experiments/delete", m{"experiment_id": "2"}, nil)
	want("other", "1")
	want("", "1")
}
