package pipeline

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// TestWaitForLock holds the repository's lock for longer than a command waits that
// was not told to.
func TestWaitForLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Init(t.Context(), InitOptions{Dir: dir, NoSCM: true, Sink: event.Discard}); err != nil {
		t.Fatal(err)
	}
	lock := func(wait bool) error {
		p, err := Open(t.Context(), OpenOptions{Dir: dir, Env: []string{"HOME=" + dir}, Sink: event.Discard, Now: time.Now, WaitForLock: wait})
		if err != nil {
			return err
		}
		l, err := p.Lock(t.Context())
		if err == nil {
			l.Unlock()
		}
		return errors.Join(err, p.Close())
	}
	if err := lock(false); err != nil {
		t.Fatal(err)
	}
	held, err := fsx.TryLock(filepath.Join(dir, ".dvc", "tmp", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	patient := make(chan error)
	go func() { patient <- lock(true) }()
	if err := lock(false); errs.KindOf(err) != errs.Conflict {
		t.Errorf("without waiting: %v", err)
	}
	select {
	case err := <-patient:
		t.Errorf("it did not wait: %v", err)
	default:
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil {
		t.Errorf("after the lock was free: %v", err)
	}
}
