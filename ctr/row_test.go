package ctr

import (
	"testing"
	"time"
)

func TestParseHour(t *testing.T) {
	for _, test := range []struct {
		text string
		want string // RFC 3339, "" for an error
	}{
		{"14102100", "2014-10-21T00:00:00Z"},
		{"14103023", "2014-10-30T23:00:00Z"},
		{"16022912", "2016-02-29T12:00:00Z"},
		{"14022912", ""}, // no leap year
		{"14102124", ""},
		{"14130100", ""},
		{"14100001", ""},
		{"1410210", ""},
		{"2014102100", ""},
		{"1410210x", ""},
		{"-4102100", ""},
		{"14 02100", ""},
		{"", ""},
	} {
		got, err := ParseHour(test.text)
		if (err != nil) != (test.want == "") {
			t.Errorf("ParseHour(%q): error %v", test.text, err)
		}
		if err == nil && got.Format(time.RFC3339) != test.want {
			t.Errorf("ParseHour(%q) = %v, want %s", test.text, got, test.want)
		}
	}
}

func TestColumnNames(t *testing.T) {
	if n := len(ColumnNames()); n != NumColumns {
		t.Fatalf("%d names for %d columns", n, NumColumns)
	}
	for _, test := range []struct {
		column Column
		want   string
	}{{ID, "id"}, {Hour, "hour"}, {SiteID, "site_id"}, {DeviceConnType, "device_conn_type"}, {C21, "C21"}, {99, "Column(99)"}} {
		if got := test.column.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
