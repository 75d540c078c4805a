package ctr

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

func TestSyntheticRowsAreTheSameEverywhere(t *testing.T) {
	for _, test := range []struct {
		rows int
		seed uint64
		want string
	}{
		{1000, 42, "202435bd9b4b82f6287020d06e2ae0c47c7196c3c121011f74dca91100718f4a"},
		{300, 1, "4a6eecebbf33c242ca52ac2c5547c4def45814c7e3a14632e78f56190104bf5a"},
	} {
		sum := sha256.New()
		for row, err := range SyntheticRows(test.rows, test.seed)(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(sum, strings.Join(row.Values[:], ",")+"\n")
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != test.want {
			t.Errorf("%d rows of seed %d have the SHA-256 %s, want %s: rows changed", test.rows, test.seed, got, test.want)
		}
	}
}

func TestSyntheticRowsLookLikeAvazu(t *testing.T) {
	const n = 20000
	values := make([]map[string]int, NumColumns)
	for i := range values {
		values[i] = make(map[string]int)
	}
	clicks, last, rows := 0, "", 0
	for row, err := range SyntheticRows(n, 3)(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		read := row
		if c, err := read.check(); err != nil || read != row {
			t.Fatalf("row %d: column %s: %v", rows, c, err)
		}
		if row.Values[Hour] < last {
			t.Fatalf("row %d: hour %s after %s", rows, row.Values[Hour], last)
		}
		last = row.Values[Hour]
		for c, v := range row.Values {
			values[c][v]++
		}
		if row.Clicked {
			clicks++
		}
		rows++
	}
	if rows != n {
		t.Errorf("%d rows, want %d", rows, n)
	}
	if rate := float64(clicks) / n; rate < 0.14 || rate > 0.2 {
		t.Errorf("click rate %v, want about 0.17", rate)
	}
	for _, test := range []struct {
		column   Column
		min, max int // number of different values
	}{
		{ID, n, n}, {Hour, 240, 240}, {SiteID, 200, 600}, {AppID, 200, 600}, {SiteCategory, 10, 20},
		{DeviceIP, 2000, n}, {DeviceModel, 400, 2000}, {DeviceType, 3, 4}, {DeviceConnType, 4, 4},
		{BannerPos, 3, 8}, {C1, 3, 4}, {C14, 100, 400}, {C15, 2, 4}, {C20, 10, 200},
	} {
		if got := len(values[test.column]); got < test.min || got > test.max {
			t.Errorf("%s has %d values, want %d to %d", test.column, got, test.min, test.max)
		}
	}
}

func TestSyntheticRowsOfAnySize(t *testing.T) {
	for _, n := range []int{1, 2, 50} {
		rows := 0
		for _, err := range SyntheticRows(n, 42)(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
		if rows != n {
			t.Errorf("%d rows, want %d", rows, n)
		}
	}
	for _, err := range SyntheticRows(0, 42)(t.Context()) {
		if err == nil {
			t.Error("0 rows are not refused")
		}
	}
}
