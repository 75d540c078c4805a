package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"ctrx/internal/fsx"
)

// A server of a project's own runs leaves its address in the project, and
// holds a lock beside it for as long as it lives, so that a second `ctrx ui`
// opens the first one's page. The kernel frees the lock of a killed server.
func serverFiles(root string) (lock, note string) {
	dir := filepath.Join(root, ".dvc", "tmp", "ctrx")
	return filepath.Join(dir, "server.lock"), filepath.Join(dir, "server.json")
}

// serverNote is the content of the note.
type serverNote struct {
	URL string `json:"url"`
}

// announce makes the server known in its project. A second server of a project
// is not announced.
func (t *TrackingServer) announce(ctx context.Context, root string) error {
	lock, note := serverFiles(root)
	// Not at once: a question may share the lock for a moment.
	l, err := fsx.Lock(ctx, lock, 200*time.Millisecond)
	if errors.As(err, new(*fsx.LockedError)) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(serverNote{t.URL()})
	if err == nil {
		err = fsx.WriteFile(note, append(data, '\n'), 0o666)
	}
	if err != nil {
		return errors.Join(err, l.Unlock())
	}
	t.retract = func() error { return errors.Join(os.Remove(note), l.Unlock()) }
	return nil
}

// RunningTracking gives the address of the server that serves the runs of the
// project at root; "" where there is none that answers.
func RunningTracking(ctx context.Context, root string) (string, error) {
	lock, note := serverFiles(root)
	held, err := fsx.Held(lock)
	if err != nil || !held {
		return "", err
	}
	data, err := os.ReadFile(note)
	if fsx.Missing(err) {
		return "", nil // it is just beginning or ending
	}
	if err != nil {
		return "", err
	}
	var n serverNote
	if err := json.Unmarshal(data, &n); err != nil {
		return "", fmt.Errorf("read %s: %w", note, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // its process lives, and may be busy
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/health", nil)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", note, err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return "", nil // what does not answer is as good as none
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		return "", err
	}
	return n.URL, nil
}
