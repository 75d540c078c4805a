package ctr

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Column is a column of Avazu's table, in the order of its train file.
type Column int

// The columns. C1 and C14 to C21 are codes whose meaning the competition
// never told; names and order are those of
// https://www.kaggle.com/c/avazu-ctr-prediction/data.
const (
	ID Column = iota
	Click
	Hour
	C1
	BannerPos
	SiteID
	SiteDomain
	SiteCategory
	AppID
	AppDomain
	AppCategory
	DeviceID
	DeviceIP
	DeviceModel
	DeviceType
	DeviceConnType
	C14
	C15
	C16
	C17
	C18
	C19
	C20
	C21

	// NumColumns counts the columns above.
	NumColumns = int(C21) + 1
)

// ColumnNames gives the header of the table.
func ColumnNames() []string {
	return []string{
		"id", "click", "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category",
		"app_id", "app_domain", "app_category", "device_id", "device_ip", "device_model",
		"device_type", "device_conn_type", "C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21",
	}
}

// String gives the column's name in the header.
func (c Column) String() string {
	if c < 0 || int(c) >= NumColumns {
		return "Column(" + strconv.Itoa(int(c)) + ")"
	}
	return ColumnNames()[c]
}

// whole tells whether the column holds whole numbers; the others hold ids.
func (c Column) whole() bool {
	switch c {
	case C1, BannerPos, DeviceType, DeviceConnType, C14, C15, C16, C17, C18, C19, C20, C21:
		return true
	}
	return false
}

// Row is one impression: an advertisement that was shown.
type Row struct {
	Clicked bool      // the click column
	Time    time.Time // the hour column, UTC, whole hours
	// Values holds every column as its text, indexed by Column, so that a
	// row is written again as it was read.
	Values [NumColumns]string
}

// Source yields the rows of a table from the beginning each time it is called.
// After an error it yields nothing more.
type Source func(ctx context.Context) iter.Seq2[Row, error]

// InputError is a table or model file that cannot be used.
type InputError struct {
	File string
	Line int // counts from 1; 0 where the whole file is meant
	Col  int // byte in the line, counts from 1; 0 where the whole line is meant
	Msg  string
}

// Error gives file:line:col: message, leaving out the numbers that are 0.
func (e *InputError) Error() string {
	place := e.File
	if e.Line > 0 {
		place += ":" + strconv.Itoa(e.Line)
		if e.Col > 0 {
			place += ":" + strconv.Itoa(e.Col)
		}
	}
	return place + ": " + e.Msg
}

// ParseHour reads Avazu's YYMMDDHH, as 14102100 for midnight of 21 October
// 2014. The time is in UTC, which is how the competition gives it.
func ParseHour(text string) (time.Time, error) {
	bad := func() (time.Time, error) {
		return time.Time{}, fmt.Errorf("%q is not an hour in the form YYMMDDHH", clip(text))
	}
	if len(text) != 8 {
		return bad()
	}
	var part [4]int
	for i := range part {
		hi, lo := text[2*i]-'0', text[2*i+1]-'0'
		if hi > 9 || lo > 9 {
			return bad()
		}
		part[i] = int(hi)*10 + int(lo)
	}
	t := time.Date(2000+part[0], time.Month(part[1]), part[2], part[3], 0, 0, 0, time.UTC)
	// time.Date turns 31 June into 1 July; such a text is no hour.
	if int(t.Month()) != part[1] || t.Day() != part[2] || t.Hour() != part[3] {
		return bad()
	}
	return t, nil
}

// check fills Clicked and Time from Values. On failure it says which column
// is at fault.
func (r *Row) check() (Column, error) {
	for c := range Column(NumColumns) {
		v := r.Values[c]
		if v == "" || strings.EqualFold(v, "nan") {
			return c, fmt.Errorf("%s has no value (%q)", c, v)
		}
		if c.whole() && !isWhole(v) {
			return c, fmt.Errorf("%s: %q is not a whole number", c, clip(v))
		}
	}
	switch v := r.Values[Click]; v {
	case "0", "1":
		r.Clicked = v == "1"
	default:
		return Click, fmt.Errorf("click: %q is neither 0 nor 1", clip(v))
	}
	t, err := ParseHour(r.Values[Hour])
	if err != nil {
		return Hour, fmt.Errorf("hour: %w", err)
	}
	r.Time = t
	return 0, nil
}

// isWhole is stricter than strconv.Atoi (no plus sign), and does not care for
// size: the codes are compared as text.
func isWhole(s string) bool {
	s = strings.TrimPrefix(s, "-")
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// clip shortens a value that goes into a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
