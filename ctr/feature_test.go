package ctr

import (
	"bytes"
	"context"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
)

// hourRow is a row of which only what matters here differs.
func hourRow(hour, ip, site string, clicked bool) Row {
	var row Row
	text := missRow
	if clicked {
		text = clickRow
	}
	copy(row.Values[:], strings.Split(strings.TrimSpace(text), ","))
	row.Values[Hour], row.Values[DeviceIP], row.Values[SiteID] = hour, ip, site
	row.Values[DeviceID] = "same"
	if _, err := row.check(); err != nil {
		panic(err)
	}
	return row
}

func source(rows ...Row) Source {
	return func(context.Context) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Six rows: the sites are the categories of the example in encode_test.go;
// 21 October 2014 was a Tuesday.
func trainingRows() []Row {
	return []Row{
		hourRow("14102105", "ip1", "A", true),
		hourRow("14102105", "ip1", "B", false),
		hourRow("14102106", "ip1", "C", false),
		hourRow("14102617", "ip2", "C", true),
		hourRow("14102617", "ip2", "B", true),
		hourRow("14102617", "ip3", "B", true),
	}
}

func TestCounts(t *testing.T) {
	encoder, err := FitEncoder(t.Context(), source(trainingRows()...))
	if err != nil {
		t.Fatal(err)
	}
	names := FeatureNames()
	if len(names) != NumFeatures {
		t.Fatalf("%d names for %d features", len(names), NumFeatures)
	}
	for _, test := range []struct {
		row  Row
		want map[string]string
	}{
		{hourRow("14102105", "ip1", "A", true), map[string]string{
			"device_ip_count": "3", "device_id_count": "6", "hour_of_day": "5", "day_of_week": "1", "hourly_user_count": "2",
			"site_id": "A", "C1": "1005", "C14": "15704", "C21": "79", "banner_pos": "0", "device_conn_type": "2"}},
		{hourRow("14102617", "ip2", "B", false), map[string]string{ // a Sunday
			"device_ip_count": "2", "hour_of_day": "17", "day_of_week": "6", "hourly_user_count": "3", "C20": "-1"}},
		{hourRow("14102700", "other", "Z", false), map[string]string{ // not in the training data
			"device_ip_count": "0", "hour_of_day": "0", "day_of_week": "0", "hourly_user_count": "0", "site_id": "Z"}},
	} {
		got := encoder.Counts.features(&test.row)
		for name, want := range test.want {
			if v := got[slices.Index(names, name)]; v != want {
				t.Errorf("row %v: %s is %s, want %s", test.row.Values[Hour], name, v, want)
			}
		}
	}
}

func TestEncoder(t *testing.T) {
	encoder, err := FitEncoder(t.Context(), source(trainingRows()...))
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := encoder.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	read, err := ParseEncoder("encoder.json", data.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	rows := append(trainingRows(), hourRow("14102700", "other", "Z", false))
	want := []float64{7. / 12, 2. / 3, .5, .5, 2. / 3, 2. / 3, 7. / 12} // of site_id
	var table bytes.Buffer
	if n, err := read.WriteFeatures(t.Context(), source(rows...), &table); n != len(rows) || err != nil {
		t.Fatalf("WriteFeatures = %d, %v", n, err)
	}
	i := 0
	for example, err := range ReadFeatures(t.Context(), "train.csv", &table, FeatureNames()) {
		if err != nil {
			t.Fatal(err)
		}
		if example.Clicked != rows[i].Clicked {
			t.Errorf("row %d: click is %v", i, example.Clicked)
		}
		if got := encoder.Features(&rows[i]); !slices.Equal(example.Values, got[:]) {
			t.Errorf("row %d: features %v have become %v", i, got, example.Values)
		}
		if math.Abs(example.Values[0]-want[i]) > 1e-15 {
			t.Errorf("row %d: site_id is %v, want %v", i, example.Values[0], want[i])
		}
		// The only device_id_count, 6, has both classes; 4 of 6 rows are clicked.
		if v := example.Values[slices.Index(FeatureNames(), "device_id_count")]; v != 4./6 {
			t.Errorf("row %d: device_id_count is %v", i, v)
		}
		i++
	}
	if i != len(rows) {
		t.Errorf("%d rows, want %d", i, len(rows))
	}
}

func TestFitEncoderNeedsBothClasses(t *testing.T) {
	_, err := FitEncoder(t.Context(), rowsOf("mmm"))
	if want := "all 3 training rows have the same click value: a model needs rows with and without a click"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestParseEncoderErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "e.json:1:1: unexpected end of JSON input",
		"{\n \"version\":}": "e.json:2:12: invalid character '}' looking for beginning of value",
		`{"version": 2}`:    "e.json: has encoder version 2, this program reads 1",
		`{"version": 1}`:    "e.json: has no encoding of site_id",
	} {
		if _, err := ParseEncoder("e.json", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	if _, err := ParseEncoder("e.json", []byte("{\n\"version\": \"1\"}")); err == nil || !strings.HasPrefix(err.Error(), "e.json:2:") {
		t.Errorf("a version that is a string: error %v", err)
	}
}

func TestReadFeaturesErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "f.csv: is empty: a header line with the column names is needed",
		"click,a,b\n":                 "f.csv: has a header but no rows",
		"click,a\n1,2\n":              "f.csv:1: missing column b",
		"click,a,b\n1,0.5\n":          "f.csv:2: has 2 fields, the header has 3",
		"click,a,b\n1,.5,1\nx,1,2\n":  `f.csv:3:1: click: "x" is neither 0 nor 1`,
		"click,a,b\n1,.5,NaN\n":       `f.csv:2:6: b: "NaN" is not a finite number`,
		"b,click,a\nInf,1,.5\n":       `f.csv:2:1: b: "Inf" is not a finite number`,
		"click,a,b\n1,,1\n":           `f.csv:2:3: a: "" is not a finite number`,
		"click,a,b\n1,0.1,1e999999\n": `f.csv:2:7: b: "1e999999" is not a finite number`,
	} {
		var got error
		for _, err := range ReadFeatures(t.Context(), "f.csv", strings.NewReader(text), []string{"a", "b"}) {
			got = err
		}
		if got == nil || got.Error() != want {
			t.Errorf("%q: error %v, want %s", text, got, want)
		}
	}
}
