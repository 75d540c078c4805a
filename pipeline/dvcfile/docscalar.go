package dvcfile

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// The functions here give the text of a number or date that an edit of the
// file did not touch. The spelling is kept as the writer DVC uses keeps it:
// zeros in front, hexadecimal, underscores, exponents; not a plus sign.

func intSpelling(text string) string {
	group := 0
	if i := strings.LastIndexByte(strings.TrimRight(text, "_"), '_'); i >= 0 {
		group = len(strings.TrimRight(text, "_")) - i - 1
	}
	digits := strings.ReplaceAll(text, "_", "")
	negative := strings.HasPrefix(digits, "-")
	digits = unsigned(digits)
	base, prefix := 10, ""
	for p, b := range map[string]int{"0b": 2, "0o": 8, "0x": 16} {
		if strings.HasPrefix(digits, p) {
			base, prefix, digits = b, p, digits[2:]
		}
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return text
	}
	if negative {
		n.Neg(n)
	}
	s := n.Text(base)
	if i := strings.IndexAny(digits, "abcdefABCDEF"); base == 16 && i >= 0 && digits[i] < 'a' {
		s = strings.ToUpper(s)
	}
	if digits[0] == '0' {
		s = padZeros(s, len(digits))
	}
	if !strings.Contains(text, "_") {
		return prefix + s
	}
	for pos := len(s) - group; group > 0 && pos > 0; pos -= group {
		s = s[:pos] + "_" + s[pos:]
	}
	if base != 10 && text[2] == '_' {
		s = "_" + s
	}
	if strings.HasSuffix(text, "_") && len(text) > 1 {
		s += "_"
	}
	return prefix + s
}

// padZeros fills a number with zeros after its sign up to a width.
func padZeros(s string, width int) string {
	sign := ""
	if s[0] == '-' || s[0] == '+' {
		sign, s = s[:1], s[1:]
	}
	if missing := width - len(sign) - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	return sign + s
}

func floatSpelling(text string) string {
	f, ok := floatOf(text)
	if !ok {
		return text
	}
	plain := strings.ToLower(unsigned(text))
	if plain == ".inf" || plain == ".nan" {
		return f.yaml()
	}
	sign := text[:len(text)-len(unsigned(text))]
	x := float64(f)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return exponentSpelling(x, sign, text[:i], text[i:i+1], text[i+1:])
	}
	width, point := len(text), strings.IndexByte(text, '.')
	x = math.Abs(x)
	if point > 0 && point == width-1 {
		return sign + strconv.FormatFloat(x, 'f', 0, 64) + "."
	}
	s := sign + padZeros(strconv.FormatFloat(x, 'f', width-point-1, 64), width-len(sign))
	if point == 0 || point == 1 && sign != "" {
		s = strings.ReplaceAll(s, "0.", ".")
	}
	if missing := width - len(s); missing > 0 {
		s += strings.Repeat("0", missing)
	}
	return s
}

func exponentSpelling(x float64, sign, mantissa, e, exponent string) string {
	zeros := 0
	for _, c := range mantissa {
		if c != '0' && c != '.' {
			break
		}
		if c == '0' {
			zeros++
		}
	}
	width, point := len(mantissa)-len(sign), strings.IndexByte(mantissa, '.')
	m, exp, _ := strings.Cut(strconv.FormatFloat(x, 'e', width+len(sign), 64), "e")
	n, _ := strconv.Atoi(exp)
	keep := width
	if point <= 0 {
		keep++
	}
	if x < 0 {
		keep++
	}
	whole, frac, _ := strings.Cut(m[:min(keep, len(m))], ".")
	want := width
	if point >= 0 {
		want--
	}
	frac += strings.Repeat("0", max(0, want-len(whole)-len(frac)))
	if sign != "" && x > 0 {
		whole = "+" + whole
	}
	switch {
	case point < 0:
		if frac != "0" {
			n -= len(frac)
		} else {
			frac = ""
		}
		for len(whole)+len(frac)-len(sign) < width {
			frac += "0"
			n--
		}
		whole += frac
	case point == 0:
		n -= len(frac)
		whole += frac + "."
	default:
		if zeros > 0 {
			frac = strings.Repeat("0", zeros-1) + whole + frac
			whole, frac = "0", frac[:len(frac)-zeros]
			n += zeros
		}
		for len(whole) < point && frac != "" {
			whole, frac = whole+frac[:1], frac[1:]
			n--
		}
		whole += "." + frac
	}
	s := strconv.Itoa(n)
	if n >= 0 && (exponent[0] == '+' || exponent[0] == '-') {
		s = "+" + s
	}
	return whole + e + padZeros(s, len(exponent))
}

func timestampSpelling(text string) string {
	f, ok := splitTimestamp(text)
	if !ok {
		return text
	}
	t, ok := f.value()
	if !ok {
		return text
	}
	s := t.Text
	if strings.ContainsAny(text, "Tt") {
		s = strings.Replace(s, " ", "T", 1)
	}
	if f.zone == "Z" {
		s = strings.TrimSuffix(s, "+00:00") + "Z"
	}
	return s
}
