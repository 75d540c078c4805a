package dvcfile

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Int is a whole number of any size, as in Python.
type Int struct {
	small int64
	big   *big.Int // set only for numbers outside int64
}

// NewInt makes an Int.
func NewInt(n int64) Int { return Int{small: n} }

func bigInt(n *big.Int) Int {
	if n.IsInt64() {
		return Int{small: n.Int64()}
	}
	return Int{big: n}
}

// ParseInt reads a decimal number: an optional sign, then digits, which may be
// grouped with single underscores as Python's int() allows. Leading zeros are
// allowed and mean nothing.
func ParseInt(s string) (Int, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" {
		return Int{}, false
	}
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return Int{}, false
	}
	return parseIntBase(strings.ReplaceAll(s, "_", ""), 10)
}

func parseIntBase(s string, base int) (Int, bool) {
	if n, err := strconv.ParseInt(s, base, 64); err == nil {
		return NewInt(n), true
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		hex := c >= '0' && c <= '9' || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
		if !hex && (i > 0 || c != '-' && c != '+') {
			return Int{}, false
		}
	}
	n, ok := new(big.Int).SetString(s, base)
	if !ok {
		return Int{}, false
	}
	return bigInt(n), true
}

// String is the number in decimal.
func (n Int) String() string {
	if n.big != nil {
		return n.big.String()
	}
	return strconv.FormatInt(n.small, 10)
}

// Int64 gives the number where it fits 64 bits.
func (n Int) Int64() (int64, bool) { return n.small, n.big == nil }

// Big gives the number as a big integer of its own.
func (n Int) Big() *big.Int {
	if n.big != nil {
		return new(big.Int).Set(n.big)
	}
	return big.NewInt(n.small)
}

// Float64 gives the nearest double; infinite where the number is too large.
func (n Int) Float64() float64 {
	if n.big == nil {
		return float64(n.small)
	}
	f, _ := new(big.Float).SetInt(n.big).Float64()
	return f
}

// Cmp compares two whole numbers: -1, 0 or 1.
func (n Int) Cmp(o Int) int {
	if n.big == nil && o.big == nil {
		switch {
		case n.small < o.small:
			return -1
		case n.small > o.small:
			return 1
		}
		return 0
	}
	return n.Big().Cmp(o.Big())
}

// Float is a double.
type Float float64

// String is the number as Python's repr writes it: the shortest digits that
// read back the same, always with a point or an exponent; the exponent begins
// at 1e16 and below 1e-4, with a sign and at least two digits. Infinite
// numbers are inf and -inf, not-a-number is nan.
func (f Float) String() string {
	x := float64(f)
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(x, 'e', -1, 64)
	mantissa, exp, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exp)
	if x != 0 && (e < -4 || e >= 16) {
		sign := "+"
		if e < 0 {
			sign, e = "-", -e
		}
		if e < 10 {
			sign += "0"
		}
		return mantissa + "e" + sign + strconv.Itoa(e)
	}
	s = strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// yaml is the number as a YAML 1.2 scalar.
func (f Float) yaml() string {
	x := float64(f)
	switch {
	case math.IsNaN(x):
		return ".nan"
	case math.IsInf(x, 1):
		return ".inf"
	case math.IsInf(x, -1):
		return "-.inf"
	}
	return f.String()
}

// Timestamp is a YAML date or date with time. Text is what Python's str()
// gives: 2020-01-31, 2020-01-31 10:00:00, 2020-01-31 10:00:00.500000+02:00.
type Timestamp struct{ Text string }

// timestampFields are the parts of a YAML timestamp, each as written.
type timestampFields struct {
	date              [3]string
	clock             [3]string
	fraction, zone    string
	hasTime, hasZone  bool
	zoneHour, zoneMin string
}

// splitTimestamp takes apart a plain scalar that YAML 1.2 as read by DVC takes
// for a timestamp: 2020-01-31, or with one- or two-digit month, day and hour
// and the time set off by T, t or blanks: 2020-1-31T1:00:00.5 +2:00.
func splitTimestamp(s string) (f timestampFields, ok bool) {
	if len(s) < 8 || !allDigits(s[:4]) || s[4] != '-' {
		return f, false
	}
	f.date[0] = s[:4]
	rest := s[5:]
	f.date[1], rest = digits(rest, 2)
	if f.date[1] == "" || !strings.HasPrefix(rest, "-") {
		return f, false
	}
	f.date[2], rest = digits(rest[1:], 2)
	if f.date[2] == "" {
		return f, false
	}
	if rest == "" {
		return f, len(s) == 10
	}
	if rest[0] == 'T' || rest[0] == 't' {
		rest = rest[1:]
	} else {
		trimmed := strings.TrimLeft(rest, " \t")
		if trimmed == rest {
			return f, false
		}
		rest = trimmed
	}
	f.hasTime = true
	f.clock[0], rest = digits(rest, 2)
	for i := 1; i < 3; i++ {
		if f.clock[i-1] == "" || len(rest) < 3 || rest[0] != ':' || !allDigits(rest[1:3]) {
			return f, false
		}
		f.clock[i], rest = rest[1:3], rest[3:]
	}
	if strings.HasPrefix(rest, ".") {
		f.fraction, rest = digits(rest[1:], len(rest))
	}
	if rest == "" {
		return f, true
	}
	return f, f.splitZone(strings.TrimLeft(rest, " \t"))
}

func (f *timestampFields) splitZone(z string) bool {
	f.hasZone = true
	if z == "Z" {
		f.zone = "Z"
		return true
	}
	if z == "" || z[0] != '+' && z[0] != '-' {
		return false
	}
	var rest string
	f.zone = z[:1]
	f.zoneHour, rest = digits(z[1:], 2)
	if f.zoneHour == "" {
		return false
	}
	if rest == "" {
		return true
	}
	f.zoneMin = rest[1:]
	return rest[0] == ':' && len(rest) == 3 && allDigits(rest[1:])
}

// value gives the timestamp as DVC's reader understands it. ok is false for a date that does not exist.
func (f *timestampFields) value() (Timestamp, bool) {
	n := func(s string) int { i, _ := strconv.Atoi(s); return i }
	y, mo, d := n(f.date[0]), n(f.date[1]), n(f.date[2])
	t := time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC)
	if y < 1 || t.Year() != y || int(t.Month()) != mo || t.Day() != d {
		return Timestamp{}, false
	}
	if !f.hasTime {
		return Timestamp{t.Format(time.DateOnly)}, true
	}
	h, mi, s := n(f.clock[0]), n(f.clock[1]), n(f.clock[2])
	if h > 23 || mi > 59 || s > 59 {
		return Timestamp{}, false
	}
	micro := 0
	if f.fraction != "" {
		micro = n((f.fraction + "00000")[:6])
		if len(f.fraction) > 6 && f.fraction[6] > '4' {
			micro++
		}
	}
	t = time.Date(y, time.Month(mo), d, h, mi, s, micro*1000, time.UTC)
	text := t.Format("2006-01-02 15:04:05")
	if us := t.Nanosecond() / 1000; us != 0 {
		text += t.Format(".000000")
	}
	return f.withZone(text, n(f.zoneHour), n(f.zoneMin))
}

func (f *timestampFields) withZone(text string, hours, minutes int) (Timestamp, bool) {
	if !f.hasZone {
		return Timestamp{text}, true
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if offset >= 24*time.Hour {
		return Timestamp{}, false
	}
	sign := "+"
	if f.zone == "-" && offset != 0 {
		sign = "-"
	}
	clock := time.Time{}.Add(offset).Format("15:04")
	return Timestamp{text + sign + clock}, true
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// digits cuts up to limit leading digits off s.
func digits(s string, limit int) (head, rest string) {
	i := 0
	for i < len(s) && i < limit && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
