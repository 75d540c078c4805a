package ctr

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodHeader = "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21\n"
	clickRow   = "10000169349117863715,1,14102213,1005,0,aaaaaaaa,bbbbbbbb,cccccccc,dddddddd,eeeeeeee,ffffffff,11111111,22222222,33333333,1,2,15704,320,50,1722,0,35,100084,79\n"
	missRow    = "10000371904215119486,0,14102100,1005,1,aaaaaaab,bbbbbbbc,cccccccd,ddddddde,eeeeeeef,fffffff0,11111112,22222223,33333334,1,0,15705,300,250,1723,3,39,-1,23\n"
)

func read(t *testing.T, text string) ([]Row, error) {
	t.Helper()
	var rows []Row
	for row, err := range ReadRows(t.Context(), "train.csv", strings.NewReader(text)) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func pack(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadRowsForms(t *testing.T) {
	plain := goodHeader + clickRow + missRow
	indexed := "," + goodHeader + "7," + clickRow + "8," + missRow
	turned := func(line string) string { // the last column first
		line = strings.TrimSuffix(line, "\n")
		i := strings.LastIndexByte(line, ',')
		return line[i+1:] + "," + line[:i] + "\n"
	}
	for name, text := range map[string]string{
		"plain":             plain,
		"gzip":              pack(t, plain),
		"index column":      indexed,
		"no last newline":   strings.TrimSuffix(plain, "\n"),
		"CRLF":              strings.ReplaceAll(plain, "\n", "\r\n"),
		"byte order mark":   "\ufeff" + plain,
		"other order":       turned(goodHeader) + turned(clickRow) + turned(missRow),
		"a column too many": "weight," + goodHeader + "0.5," + clickRow + "x," + missRow,
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := read(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != 2 {
				t.Fatalf("%d rows, want 2", len(rows))
			}
			for i, want := range []string{clickRow, missRow} {
				if got := strings.Join(rows[i].Values[:], ",") + "\n"; got != want {
					t.Errorf("row %d is %q, want %q", i, got, want)
				}
			}
			if !rows[0].Clicked || rows[1].Clicked {
				t.Errorf("clicks are %v and %v", rows[0].Clicked, rows[1].Clicked)
			}
			if h := rows[0].Time.Hour(); h != 13 {
				t.Errorf("hour is %d, want 13", h)
			}
		})
	}
}

func TestReadRowsErrors(t *testing.T) {
	change := func(old, with string) string { return goodHeader + missRow + strings.Replace(clickRow, old, with, 1) }
	for name, test := range map[string]struct{ text, want string }{
		"empty":           {"", "train.csv: is empty: a header line with the column names is needed"},
		"header only":     {goodHeader, "train.csv: has a header but no rows"},
		"missing column":  {strings.Replace(goodHeader, "click,", "", 1), "train.csv:1: missing column click"},
		"missing columns": {"id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,device_model,device_type,C14,C15,C16,C17,C18,C19,C20\n", "train.csv:1: missing columns device_conn_type, C21"},
		"no header":       {clickRow, "train.csv:1: missing columns id, click, hour, C1, banner_pos, site_id, site_domain, site_category, app_id, app_domain, app_category, device_id, device_ip, device_model, device_type, device_conn_type, C14, C15, C16, C17, C18, C19, C20, C21"},
		"column twice":    {"id," + goodHeader, `train.csv:1:4: column "id" appears twice`},
		"bad hour":        {change("14102213", "14102224"), `train.csv:3:24: hour: "14102224" is not an hour in the form YYMMDDHH`},
		"text hour":       {change("14102213", "noon"), `train.csv:3:24: hour: "noon" is not an hour in the form YYMMDDHH`},
		"float click":     {change(",1,", ",1.0,"), `train.csv:3:22: click: "1.0" is neither 0 nor 1`},
		"NaN click":       {change(",1,", ",NaN,"), `train.csv:3:22: click has no value ("NaN")`},
		"empty id":        {change("aaaaaaaa", ""), `train.csv:3:40: site_id has no value ("")`},
		"NaN code":        {change("15704", "nan"), `train.csv:3:125: C14 has no value ("nan")`},
		"text code":       {change("15704", "large"), `train.csv:3:125: C14: "large" is not a whole number`},
		"float code":      {change(",1005,", ",1005.0,"), `train.csv:3:33: C1: "1005.0" is not a whole number`},
		"short line":      {goodHeader + missRow + "1,2,3\n", "train.csv:3: has 3 fields, the header has 24"},
		"long line":       {goodHeader + strings.TrimSuffix(missRow, "\n") + ",9\n", "train.csv:2: has 25 fields, the header has 24"},
		"quote":           {change("aaaaaaaa", `a"b`), `train.csv:3:41: bare " in non-quoted-field`},
		"cut gzip":        {pack(t, goodHeader+clickRow)[:120], "train.csv: broken gzip file: unexpected EOF"},
		"no gzip":         {"\x1f\x8b\x00\x00 nothing", "train.csv: broken gzip file: gzip: invalid header"},
		"zip":             {"PK\x03\x04 nothing", "train.csv: is a zip archive: unpack it first"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, test.text)
			var bad *InputError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v is no InputError", err)
			}
			if err.Error() != test.want {
				t.Errorf("error\n%v, want\n%v", err, test.want)
			}
		})
	}
}

func TestReadRowsStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range ReadRows(ctx, "train.csv", strings.NewReader(goodHeader+clickRow)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want a cancelled context", err)
		}
	}
}

func TestFindRaw(t *testing.T) {
	for _, test := range []struct {
		files []string
		want  string
		fails bool
	}{
		{nil, "", false},
		{[]string{"README.md", "train.csv.dvc"}, "", false},
		{[]string{"train.csv"}, "train.csv", false},
		{[]string{"train.csv.gz"}, "train.csv.gz", false},
		{[]string{"train.gz"}, "train.gz", false},
		{[]string{"train.csv", "train.gz"}, "", true},
	} {
		dir := t.TempDir()
		for _, file := range test.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := test.want
		if want != "" {
			want = filepath.Join(dir, want)
		}
		got, err := FindRaw(dir)
		if got != want || (err != nil) != test.fails {
			t.Errorf("FindRaw with %v = %q, %v; want %q", test.files, got, err, want)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "train.csv"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindRaw(dir); err == nil {
		t.Error("a folder named train.csv is taken for a table")
	}
}

func FuzzReadRows(f *testing.F) {
	f.Add([]byte(goodHeader + clickRow + missRow))
	f.Add([]byte("," + goodHeader + "0," + clickRow))
	f.Add([]byte(goodHeader + "\"a\nb\"," + clickRow))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\ufeff\"\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for row, err := range ReadRows(t.Context(), "fuzz.csv", bytes.NewReader(data)) {
			if err != nil {
				return
			}
			// What was accepted is complete, and is accepted again.
			again := row
			if c, err := again.check(); err != nil || again != row {
				t.Fatalf("row %q: column %s: %v", row.Values, c, err)
			}
		}
	})
}
