package ctr

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FindRaw looks in a folder for the file that the user put there: train.csv,
// train.csv.gz, or train.gz as Kaggle packs it. It gives "" where there is
// none, and an error where it would have to guess between several.
func FindRaw(dir string) (string, error) {
	var found []string
	for _, name := range []string{"train.csv", "train.csv.gz", "train.gz"} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("look for raw data: %w", err)
		case info.IsDir():
			return "", &InputError{File: path, Msg: "is a folder, not a CSV file"}
		default:
			found = append(found, path)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s: keep one of these files, there are several", strings.Join(found, ", "))
}

// FileRows is the Source of a CSV file in Avazu's layout, plain or gzip by its
// content, whatever its name.
func FileRows(path string) Source {
	return func(ctx context.Context) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			f, err := os.Open(path)
			if err != nil {
				yield(Row{}, fmt.Errorf("open table: %w", err))
				return
			}
			defer f.Close()
			for row, err := range ReadRows(ctx, path, f) {
				if !yield(row, err) {
					return
				}
			}
		}
	}
}

// ReadRows reads a table in Avazu's layout: a header, then one row per
// impression. Columns are found by name in any order; a leading index column
// without a name, and other columns that Avazu does not have, are passed over.
// Every value is checked; the first one that is missing or of a wrong type ends
// the reading with an *InputError. name is used in errors only.
func ReadRows(ctx context.Context, name string, r io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		plain, err := decompress(name, r)
		if err != nil {
			yield(Row{}, err)
			return
		}
		table, err := newTable(name, plain, ColumnNames())
		if err != nil {
			yield(Row{}, err)
			return
		}
		for n := 0; ; n++ {
			row, err := table.row()
			if err == nil && n%4096 == 0 {
				err = ctx.Err()
			}
			if err == io.EOF {
				if n == 0 {
					yield(Row{}, &InputError{File: name, Msg: "has a header but no rows"})
				}
				return
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// decompress looks at the first bytes and unpacks gzip.
func decompress(name string, r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	head, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, &InputError{File: name, Msg: "broken gzip file: " + err.Error()}
		}
		return unpacked, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return nil, &InputError{File: name, Msg: "is a zip archive: unpack it first"}
	}
	return buffered, nil
}

// table is a CSV file whose wanted columns have been found in its header.
type table struct {
	name   string
	csv    *csv.Reader
	wanted []string
	at     []int // wanted column -> field of a record
	width  int   // fields of the header
}

// newTable reads the header.
func newTable(name string, r io.Reader, wanted []string) (*table, error) {
	t := &table{name: name, csv: csv.NewReader(r), wanted: wanted}
	t.csv.ReuseRecord = true
	t.csv.FieldsPerRecord = -1
	header, err := t.csv.Read()
	if err == io.EOF {
		return nil, &InputError{File: name, Msg: "is empty: a header line with the column names is needed"}
	}
	if err != nil {
		return nil, t.explain(err)
	}
	t.width = len(header)
	line, _ := t.csv.FieldPos(0)
	place := make(map[string]int, len(header))
	twice := -1
	for i, column := range header {
		if i == 0 {
			column = strings.TrimPrefix(column, "\ufeff")
		}
		if _, seen := place[column]; !seen {
			place[column] = i
		} else if twice < 0 && slices.Contains(wanted, column) {
			twice = i
		}
	}
	var missing []string
	for _, column := range wanted {
		i, ok := place[column]
		if !ok {
			missing = append(missing, column)
		}
		t.at = append(t.at, i)
	}
	switch {
	case len(missing) == 1:
		return nil, &InputError{File: name, Line: line, Msg: "missing column " + missing[0]}
	case len(missing) > 1:
		return nil, &InputError{File: name, Line: line, Msg: "missing columns " + strings.Join(missing, ", ")}
	case twice >= 0:
		_, col := t.csv.FieldPos(twice)
		return nil, &InputError{File: name, Line: line, Col: col, Msg: fmt.Sprintf("column %q appears twice", header[twice])}
	}
	return t, nil
}

// record reads the next line. The slice is used again by the next call. The
// error is io.EOF at the end of the table.
func (t *table) record() ([]string, error) {
	record, err := t.csv.Read()
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, t.explain(err)
	}
	if len(record) != t.width {
		line, _ := t.csv.FieldPos(0)
		return nil, &InputError{File: t.name, Line: line, Msg: fmt.Sprintf("has %d fields, the header has %d", len(record), t.width)}
	}
	return record, nil
}

func (t *table) row() (Row, error) {
	record, err := t.record()
	if err != nil {
		return Row{}, err
	}
	var row Row
	for c, field := range t.at {
		row.Values[c] = record[field]
	}
	if c, err := row.check(); err != nil {
		return Row{}, t.fault(int(c), err.Error())
	}
	return row, nil
}

// fault is an error at a wanted column of the line just read.
func (t *table) fault(column int, msg string) error {
	line, col := t.csv.FieldPos(t.at[column])
	return &InputError{File: t.name, Line: line, Col: col, Msg: msg}
}

// explain gives errors of the CSV layer the same form as our own.
func (t *table) explain(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return &InputError{File: t.name, Line: parse.Line, Col: parse.Column, Msg: parse.Err.Error()}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		return &InputError{File: t.name, Msg: "broken gzip file: " + err.Error()}
	}
	return fmt.Errorf("read %s: %w", t.name, err)
}
