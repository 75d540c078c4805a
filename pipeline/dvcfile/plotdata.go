package dvcfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// PlotFormats are the suffixes of the files that a plot can be drawn from,
// without those of images.
func PlotFormats() []string {
	return []string{".csv", ".tsv", ".json", ".yaml", ".yml", ".toml", ".py"}
}

// ReadPlotData reads the data of a plot. The suffix of file decides. The rows
// of a .csv or .tsv file become mappings of texts, by the names in the first
// line or, without a header, by their numbers 0, 1, ...; other formats are as
// [ReadData] has them. A suffix that no plot has is an error.
func ReadPlotData(file string, data []byte, header bool) (Value, error) {
	switch ext := path.Ext(file); {
	case ext == ".csv":
		return readTable(file, data, ',', header)
	case ext == ".tsv":
		return readTable(file, data, '\t', header)
	case slices.Contains(PlotFormats(), ext):
		return ReadData(file, data)
	}
	return nil, errs.Hint(errs.New(errs.ProjectFile, "'%s' - file type error\nOnly JSON, YAML, CSV and TSV formats are supported.", file),
		"save the plot's data as one of %s, or as an image", strings.Join(PlotFormats(), " "))
}

// readTable reads rows as Python's csv.DictReader does: empty lines are passed
// over, a value that is missing at the end of a row is null, and values beyond
// the header stand as a list under the key null.
func readTable(file string, data []byte, comma rune, header bool) (Value, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
	var names []string
	var rows []Value
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			pos := errs.Pos{File: file}
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				pos.Line, pos.Col, err = parse.Line, parse.Column, parse.Err
			}
			return nil, errs.At(pos, "not a table of values: %v", err)
		}
		if names == nil {
			if names = record; !header {
				names = make([]string, len(record))
				for i := range record {
					names[i] = strconv.Itoa(i)
				}
			}
			if header {
				continue
			}
		}
		rows = append(rows, tableRow(names, record))
	}
}

func tableRow(names, record []string) *Map {
	row := &Map{}
	for i, name := range names {
		if i < len(record) {
			row.Set(name, record[i])
		} else {
			row.Set(name, nil)
		}
	}
	if len(record) > len(names) {
		var rest []Value
		for _, v := range record[len(names):] {
			rest = append(rest, v)
		}
		row.SetKey(nil, rest)
	}
	return row
}
