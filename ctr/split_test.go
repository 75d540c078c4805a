package ctr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

// rowsOf is a Source with one row for each letter: c is a click, m is none.
func rowsOf(letters string) Source {
	return func(context.Context) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			for i, letter := range letters {
				text := missRow
				if letter == 'c' {
					text = clickRow
				}
				var row Row
				copy(row.Values[:], strings.Split(strings.TrimSpace(text), ","))
				row.Values[ID] = fmt.Sprint(i)
				if _, err := row.check(); !yield(row, err) {
					return
				}
			}
		}
	}
}

func ids(t *testing.T, table string) []string {
	t.Helper()
	rows, err := read(t, table)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range rows {
		list = append(list, fmt.Sprintf("%05s", row.Values[ID]))
	}
	return list
}

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		letters string
		size    float64
		want    SplitCounts
	}{
		{strings.Repeat("mmmmc", 200), 0.2, SplitCounts{Train: 800, Test: 200, TrainClicks: 160, TestClicks: 40}},
		{strings.Repeat("mmc", 33), 0.2, SplitCounts{Train: 79, Test: 20, TrainClicks: 26, TestClicks: 7}},
		{"mmcc", 0.2, SplitCounts{Train: 2, Test: 2, TrainClicks: 1, TestClicks: 1}},
		{"mmmmmmmmcc", 0.9, SplitCounts{Train: 2, Test: 8, TrainClicks: 1, TestClicks: 1}},
	} {
		var train, test2, again bytes.Buffer
		opt := SplitOptions{TestSize: test.size, Sample: 1, Seed: 7}
		got, err := Split(t.Context(), rowsOf(test.letters), opt, &train, &test2)
		if err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("split of %d rows is %+v, want %+v", len(test.letters), got, test.want)
		}
		a, b := ids(t, train.String()), ids(t, test2.String())
		if !slices.IsSorted(a) || !slices.IsSorted(b) {
			t.Error("the rows have lost their order")
		}
		both := make(map[string]bool)
		for _, id := range append(a, b...) {
			both[id] = true
		}
		if len(both) != len(test.letters) {
			t.Errorf("%d different rows after the split of %d", len(slices.Collect(maps.Keys(both))), len(test.letters))
		}
		if _, err := Split(t.Context(), rowsOf(test.letters), opt, &again, new(bytes.Buffer)); err != nil || again.String() != train.String() {
			t.Errorf("the same seed gives another split (error %v)", err)
		}
	}
}

func TestSplitSeedAndSample(t *testing.T) {
	letters := strings.Repeat("mmmc", 500)
	split := func(seed uint64, sample float64) string {
		var train bytes.Buffer
		n, err := Split(t.Context(), rowsOf(letters), SplitOptions{TestSize: 0.2, Sample: sample, Seed: seed}, &train, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		if all := float64(n.Train + n.Test); all < 0.9*sample*2000 || all > 1.1*sample*2000 {
			t.Errorf("a sample of %v has %v of 2000 rows", sample, all)
		}
		return train.String()
	}
	if split(1, 1) == split(2, 1) {
		t.Error("two seeds give the same split")
	}
	if first, second := split(1, 0.5), split(1, 0.5); first != second {
		t.Error("one seed gives two samples")
	}
}

func TestSplitErrors(t *testing.T) {
	broken := errors.New("broken")
	failing := func(context.Context) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) { yield(Row{}, broken) }
	}
	for name, test := range map[string]struct {
		source Source
		opt    SplitOptions
		want   string
	}{
		"no clicks":   {rowsOf("mmmm"), SplitOptions{TestSize: 0.2, Sample: 1}, "no row has click 1: a model needs rows with and without a click"},
		"all clicks":  {rowsOf("cccc"), SplitOptions{TestSize: 0.2, Sample: 1}, "no row has click 0: a model needs rows with and without a click"},
		"one click":   {rowsOf("mmmc"), SplitOptions{TestSize: 0.2, Sample: 1}, "one row only has click 1: training and test data need one each"},
		"tiny sample": {rowsOf("mmcc"), SplitOptions{TestSize: 0.2, Sample: 1e-9}, "no rows are left after sampling: use a larger sample"},
		"test size 0": {rowsOf("mmcc"), SplitOptions{TestSize: 0, Sample: 1}, "test size 0 is not between 0 and 1"},
		"test size 1": {rowsOf("mmcc"), SplitOptions{TestSize: 1, Sample: 1}, "test size 1 is not between 0 and 1"},
		"sample 0":    {rowsOf("mmcc"), SplitOptions{TestSize: 0.2}, "sample 0 is not above 0 and up to 1"},
		"bad source":  {failing, SplitOptions{TestSize: 0.2, Sample: 1}, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			var train, test2 bytes.Buffer
			_, err := Split(t.Context(), test.source, test.opt, &train, &test2)
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if train.Len()+test2.Len() > 0 {
				t.Error("rows were written in spite of the error")
			}
		})
	}
}
