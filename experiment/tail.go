package experiment

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"ctrx/tracking"
)

const (
	// tailAtOnce bounds what one look reads of one file, and so the memory that
	// it takes; the next look goes on from there.
	tailAtOnce = 1 << 20
	// longestRow is the longest row that is followed.
	longestRow = 64 << 10
)

// tail follows a table that a stage appends to. A file that is replaced or gets
// shorter is read from its start again, and what points has of it already is
// not given twice.
type tail struct {
	name, rel string // absolute, and from the project root
	comma     rune   // 0: not a table of lines, read whole when it changes

	info   fs.FileInfo // of the file that was read last; nil: none
	offset int64       // of the first byte that is not read
	rest   []byte      // a row without its end
	head   *tableHead
	row    int  // rows after the head that were read
	given  bool // up: it cannot be followed, and is read at the end of the run
}

// look gives the points that were added since the last look.
func (t *tail) look(p *points, now time.Time) []tracking.Metric {
	info, err := os.Stat(t.name)
	if err != nil || t.given || !info.Mode().IsRegular() {
		return nil
	}
	same := t.info != nil && os.SameFile(t.info, info)
	if same && info.Size() == t.info.Size() && info.ModTime().Equal(t.info.ModTime()) && t.offset >= info.Size() {
		return nil
	}
	if t.comma == 0 {
		t.info, t.offset = info, info.Size()
		return p.table(t.name, t.rel, now)
	}
	if !same || info.Size() < t.offset {
		t.offset, t.rest, t.head, t.row = 0, nil, nil, 0
	}
	t.info = info
	data, err := readFrom(t.name, t.offset)
	if err != nil {
		return nil
	}
	t.offset += int64(len(data))
	return t.read(p, data, now)
}

// readFrom reads at most tailAtOnce bytes.
func readFrom(name string, offset int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, offset, tailAtOnce))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data, err
}

// read takes what was appended. The end of the last row is still to come.
func (t *tail) read(p *points, data []byte, now time.Time) []tracking.Metric {
	var all []tracking.Metric
	t.rest = append(t.rest, data...)
	for !t.given {
		line, rest, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			break
		}
		t.rest = rest
		all = append(all, t.line(p, string(line), now)...)
	}
	t.rest = append([]byte(nil), t.rest...) // let go of what was read
	t.given = t.given || len(t.rest) > longestRow
	return all
}

func (t *tail) line(p *points, line string, now time.Time) []tracking.Metric {
	if strings.TrimRight(line, "\r") == "" {
		return nil // as package csv does
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = t.comma
	row, err := r.Read()
	if err != nil { // a cell of several lines, or no table
		t.given = true
		return nil
	}
	if t.head == nil {
		head, ok := newTableHead(t.rel, row)
		t.head, t.given = &head, !ok
		return nil
	}
	if len(row) != len(t.head.names) {
		t.given = true
		return nil
	}
	t.row++
	seen := p.rows(t.rel)
	if t.row > mostRows {
		t.given = true
		return nil
	}
	if !seen.isNew(t.row-1, row) {
		return nil
	}
	return t.head.metrics(row, now)
}
