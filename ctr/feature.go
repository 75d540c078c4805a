package ctr

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// NumFeatures counts the numbers that a model gets of a row.
const NumFeatures = 24

// FeatureNames gives the features in the order of the feature files. Each is
// the mean encoding of a categorical column: of Avazu's own ones, and of the
// five that features derives.
func FeatureNames() []string {
	return []string{
		"site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category",
		"device_model", "device_type", "device_conn_type", "device_ip_count", "device_id_count",
		"banner_pos", "C1", "C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21",
		"hour_of_day", "day_of_week", "hourly_user_count",
	}
}

// Counts holds how many training rows have each value. A value that the
// training data does not have counts 0; since no training row has the count 0,
// mean encoding then gives the mean of the rates.
type Counts struct {
	DeviceIP map[string]int `json:"device_ip"`
	DeviceID map[string]int `json:"device_id"`
	Hour     map[string]int `json:"hour"` // by the text YYMMDDHH
}

func (c *Counts) add(row *Row) {
	increment(c.DeviceIP, row.Values[DeviceIP])
	increment(c.DeviceID, row.Values[DeviceID])
	increment(c.Hour, row.Values[Hour])
}

func increment(counts map[string]int, value string) {
	if n, ok := counts[value]; ok {
		counts[value] = n + 1
		return
	}
	counts[strings.Clone(value)] = 1
}

// features gives the categories of a row, in the order of FeatureNames.
//
// device_ip_count and device_id_count are the training rows with the same
// value, hourly_user_count those of the same hour; hour_of_day is 0 to 23 and
// day_of_week 0 (Monday) to 6.
func (c *Counts) features(row *Row) [NumFeatures]string {
	v := &row.Values
	day := (int(row.Time.Weekday()) - int(time.Monday) + 7) % 7
	return [NumFeatures]string{
		v[SiteID], v[SiteDomain], v[SiteCategory], v[AppID], v[AppDomain], v[AppCategory],
		v[DeviceModel], v[DeviceType], v[DeviceConnType],
		strconv.Itoa(c.DeviceIP[v[DeviceIP]]), strconv.Itoa(c.DeviceID[v[DeviceID]]),
		v[BannerPos], v[C1], v[C14], v[C15], v[C16], v[C17], v[C18], v[C19], v[C20], v[C21],
		strconv.Itoa(row.Time.Hour()), strconv.Itoa(day), strconv.Itoa(c.Hour[v[Hour]]),
	}
}

// Encoder turns rows into features. It is fitted on training data only, and
// its JSON form is all that is needed to treat later rows alike.
type Encoder struct {
	Version   int                     `json:"version"` // of the JSON form: 1
	Counts    Counts                  `json:"counts"`
	Encodings map[string]MeanEncoding `json:"encodings"` // by feature name
}

// FitEncoder learns counts and rates from the training rows, reading them
// twice.
func FitEncoder(ctx context.Context, train Source) (*Encoder, error) {
	e := &Encoder{
		Version:   1,
		Counts:    Counts{DeviceIP: map[string]int{}, DeviceID: map[string]int{}, Hour: map[string]int{}},
		Encodings: make(map[string]MeanEncoding, NumFeatures),
	}
	for row, err := range train(ctx) {
		if err != nil {
			return nil, err
		}
		e.Counts.add(&row)
	}
	var counters [NumFeatures]MeanCounter
	for row, err := range train(ctx) {
		if err != nil {
			return nil, err
		}
		for i, category := range e.Counts.features(&row) {
			counters[i].Add(category, row.Clicked)
		}
	}
	if all := counters[0].all; all.clicks == 0 || all.clicks == all.rows {
		return nil, fmt.Errorf("all %d training rows have the same click value: a model needs rows with and without a click", all.rows)
	}
	for i, name := range FeatureNames() {
		e.Encodings[name] = counters[i].Encoding()
	}
	return e, nil
}

// ParseEncoder reads the JSON form. name is used in errors only.
func ParseEncoder(name string, data []byte) (*Encoder, error) {
	e := new(Encoder)
	if err := parseJSON(name, data, e); err != nil {
		return nil, err
	}
	if e.Version != 1 {
		return nil, &InputError{File: name, Msg: fmt.Sprintf("has encoder version %d, this program reads 1", e.Version)}
	}
	for _, feature := range FeatureNames() {
		if _, ok := e.Encodings[feature]; !ok {
			return nil, &InputError{File: name, Msg: "has no encoding of " + feature}
		}
	}
	return e, nil
}

// WriteJSON writes the JSON form.
func (e *Encoder) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(e); err != nil {
		return fmt.Errorf("write encoder: %w", err)
	}
	return nil
}

// Features gives the model's input for a row, in the order of FeatureNames.
func (e *Encoder) Features(row *Row) [NumFeatures]float64 {
	var values [NumFeatures]float64
	names := FeatureNames()
	for i, category := range e.Counts.features(row) {
		values[i] = e.Encodings[names[i]].Value(category)
	}
	return values
}

// WriteFeatures writes a CSV file with the column click (0 or 1) and the
// features of every row. It returns the number of rows.
func (e *Encoder) WriteFeatures(ctx context.Context, rows Source, w io.Writer) (int, error) {
	out := csv.NewWriter(w)
	out.Write(append([]string{"click"}, FeatureNames()...)) // an error stays until Flush
	n := 0
	record := make([]string, NumFeatures+1)
	for row, err := range rows(ctx) {
		if err != nil {
			return n, err
		}
		record[0] = row.Values[Click]
		for i, value := range e.Features(&row) {
			// The shortest text that reads back as the same number.
			record[i+1] = strconv.FormatFloat(value, 'g', -1, 64)
		}
		out.Write(record)
		n++
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return n, fmt.Errorf("write features: %w", err)
	}
	return n, nil
}

// Example is a row of a feature file.
type Example struct {
	Clicked bool
	Values  []float64 // one per feature, finite
}

// ReadFeatures reads a feature file: the column click and the named features,
// found by name in any order. It ends at the first error.
func ReadFeatures(ctx context.Context, name string, r io.Reader, features []string) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		t, err := newTable(name, r, append([]string{"click"}, features...))
		if err != nil {
			yield(Example{}, err)
			return
		}
		for n := 0; ; n++ {
			example, err := t.example()
			if err == nil && n%4096 == 0 {
				err = ctx.Err()
			}
			if err == io.EOF {
				if n == 0 {
					yield(Example{}, &InputError{File: name, Msg: "has a header but no rows"})
				}
				return
			}
			if !yield(example, err) || err != nil {
				return
			}
		}
	}
}

func (t *table) example() (Example, error) {
	record, err := t.record()
	if err != nil {
		return Example{}, err
	}
	e := Example{Values: make([]float64, len(t.at)-1)}
	switch click := record[t.at[0]]; click {
	case "0", "1":
		e.Clicked = click == "1"
	default:
		return Example{}, t.fault(0, fmt.Sprintf("click: %q is neither 0 nor 1", clip(click)))
	}
	for i := range e.Values {
		text := record[t.at[i+1]]
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			return Example{}, t.fault(i+1, fmt.Sprintf("%s: %q is not a finite number", t.wanted[i+1], clip(text)))
		}
		e.Values[i] = value
	}
	return e, nil
}
