package sweep

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

// Direction says which of two metric values is better.
type Direction string

// The directions.
const (
	Maximize Direction = "max"
	Minimize Direction = "min"
)

// parseDirection accepts max, maximize, min and minimize.
func parseDirection(s string) (Direction, error) {
	switch s {
	case "max", "maximize":
		return Maximize, nil
	case "min", "minimize":
		return Minimize, nil
	}
	return "", errs.Hint(errs.New(errs.Usage, "--direction is max or min, not %q: it says whether a larger value of the metric is better", s), "--direction max")
}

// better tells whether a is a better value than b.
func (d Direction) better(a, b float64) bool {
	if d == Minimize {
		return a < b
	}
	return a > b
}

// metric is the number that a sweep is about: FILE:KEY, or KEY alone where it
// is in one metrics file only. Keys are dotted paths.
type metric struct {
	file string // rel path; "" for any file
	key  string
}

// parseMetric reads --metric; rel gives the rel path of what a user wrote.
func parseMetric(s string, rel func(string) (string, error)) (m metric, err error) {
	file, key, found := strings.Cut(s, ":")
	if !found {
		file, key = "", s
	}
	if key == "" || found && file == "" {
		return m, errs.Hint(errs.New(errs.Usage, "--metric is FILE:KEY or KEY, not %q", s), "--metric metrics.json:roc_auc")
	}
	m.key = key
	if found {
		m.file, err = rel(file)
	}
	return m, err
}

func (m metric) String() string {
	if m.file == "" {
		return m.key
	}
	return m.file + ":" + m.key
}

// value takes the number out of the metrics files of an experiment. The error
// says why there is none.
func (m metric) value(files []pipeline.FileValues) (float64, error) {
	var found []float64
	var where, known []string
	for _, f := range files {
		if m.file != "" && f.Path != m.file {
			continue
		}
		if f.Err != nil {
			if m.file != "" {
				return 0, fmt.Errorf("%s: %w", f.Path, f.Err)
			}
			continue
		}
		flat := dvcfile.Flatten(f.Values)
		known = append(known, flat.Keys()...)
		v, ok := flat.Get(m.key)
		if !ok {
			continue
		}
		n, err := finite(v)
		if err != nil {
			return 0, fmt.Errorf("%s: %s %w", f.Path, m.key, err)
		}
		found, where = append(found, n), append(where, f.Path)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, fmt.Errorf("%s is in %s: name one of them, %s:%s", m.key, strings.Join(where, " and "), where[0], m.key)
	}
	return 0, m.missing(files, known)
}

func (m metric) missing(files []pipeline.FileValues, known []string) error {
	if m.file != "" && !slices.ContainsFunc(files, func(f pipeline.FileValues) bool { return f.Path == m.file }) {
		return fmt.Errorf("%s is no metrics file of the run", m.file)
	}
	text := fmt.Sprintf("%s has no %s", m.file, m.key)
	if m.file == "" {
		text = fmt.Sprintf("no metrics file has %s", m.key)
	}
	const shown = 8
	if len(known) == 0 {
		return errors.New(text)
	}
	if len(known) > shown {
		known = append(known[:shown:shown], "...")
	}
	return fmt.Errorf("%s; there is %s", text, strings.Join(known, ", "))
}

// finite gives a number that can be compared with others.
func finite(v dvcfile.Value) (float64, error) {
	var f float64
	switch v := v.(type) {
	case dvcfile.Int:
		f = v.Float64()
	case dvcfile.Float:
		f = float64(v)
	default:
		return 0, fmt.Errorf("is %s, which is no number", dvcfile.PyStr(v))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("is %s", dvcfile.Float(f))
	}
	return f, nil
}
