package fsx

import (
	"os"
	"testing"
)

// TestResumeRaces lets somebody try to take up a file at the very moment when it
// gets its final name or is thrown away. Nobody may get it then: it would be
// written to under its final name, or a new file of the same name would be removed.
func TestResumeRaces(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Temp) error
	}{
		{"publish", func(f *Temp) error { return f.Publish(Flushed) }},
		{"discard", func(f *Temp) error { f.Discard(); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, t.TempDir())
			for range 300 {
				f, err := r.Resume("final", "unfinished", 0o666)
				if err != nil {
					t.Fatal(err)
				}
				held, err := r.Open("unfinished") // so that its number is not given to another file
				if err != nil {
					t.Fatal(err)
				}
				first, err := held.Stat()
				if err != nil {
					t.Fatal(err)
				}
				stop, taken := make(chan struct{}), make(chan bool)
				go func() {
					got := false
					for {
						select {
						case <-stop:
							taken <- got
							return
						default:
						}
						other, err := r.Resume("final", "unfinished", 0o666)
						if err != nil {
							continue
						}
						info, err := other.Stat()
						got = got || err == nil && os.SameFile(info, first)
						other.Keep()
					}
				}()
				err = c.end(f)
				close(stop)
				got := <-taken
				held.Close()
				if got {
					t.Fatal("somebody else took up the file")
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Remove("unfinished"); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
		})
	}
}
