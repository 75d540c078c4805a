package server

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// Where the database cannot grow a batch is refused as a whole, as something
// that may work later; what was there stays readable, and with room again the
// same batch is stored.
func TestNoSpaceForDatabase(t *testing.T) {
	f := newFixture(t)
	id := f.newRun(t)
	db, err := f.store.openWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pages string) {
		if _, err := db.Exec("PRAGMA max_page_count = " + pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it the present size
	var tags []m
	for i := range 20 {
		tags = append(tags, m{"key": fmt.Sprint("t", i), "value": strings.Repeat("x", 5000)})
	}
	body := m{"run_id": id, "tags": tags}
	status, answer := f.request(t, "POST", api+"runs/log-batch", body)
	if status != 503 || !strings.Contains(answer, `"error_code":"TEMPORARILY_UNAVAILABLE"`) || !strings.Contains(answer, "No space is left") {
		t.Errorf("%d %s", status, answer)
	}
	if n := len(f.run(t, id).Data.Tags); n != 1 {
		t.Errorf("%d tags after the refused batch", n)
	}
	limit("1000000")
	f.post(t, "runs/log-batch", body, nil)
	if n := len(f.run(t, id).Data.Tags); n != 21 {
		t.Errorf("%d tags", n)
	}
}

// fullReader is an upload in which the disk becomes full.
type fullReader struct{}

func (fullReader) Read([]byte) (int, error) { return 0, fmt.Errorf("write x: %w", syscall.ENOSPC) }

func TestNoSpaceForArtifact(t *testing.T) {
	f := newFixture(t)
	err := f.artifacts.put(t.Context(), "0/x/artifacts/a", fullReader{})
	if e := asAPIError(err); e.httpStatus() != 503 || !strings.Contains(e.message, "no space left on the disk") {
		t.Errorf("%d %s", e.httpStatus(), e.message)
	}
	if files, err := f.artifacts.list(t.Context(), "0/x/artifacts"); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	if err := f.artifacts.put(t.Context(), "0/x/artifacts/a", bytes.NewReader([]byte("x"))); err != nil {
		t.Error(err)
	}
}
