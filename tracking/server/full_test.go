package server

import (
	"fmt"
	"strings"
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
