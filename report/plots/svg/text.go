package svg

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// clean makes text that may stand in one line of an XML document, which has no
// control characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, s))
}

// shorten leaves out the middle of a text that is wider than there is room.
func shorten(sty text.Style, s string, room vg.Length) string {
	s = clean(s)
	if sty.Width(s) <= room {
		return s
	}
	runes := []rune(s)
	for n := len(runes) - 1; n > 1; n-- {
		short := string(runes[:(n+1)/2]) + "…" + string(runes[len(runes)-n/2:])
		if sty.Width(short) <= room {
			return short
		}
	}
	return "…"
}

// wrap breaks a text into lines that fit, at spaces where there are some.
func wrap(sty text.Style, s string, room vg.Length, lines int) string {
	var out []string
	rest := clean(s)
	for len(out) < lines-1 && sty.Width(rest) > room {
		cut := 0
		for i := range rest {
			if sty.Width(rest[:i]) > room {
				break
			}
			cut = i
		}
		if space := strings.LastIndexByte(rest[:cut], ' '); space > cut/2 {
			cut = space
		}
		if cut == 0 {
			break
		}
		out = append(out, strings.TrimSpace(rest[:cut]))
		rest = strings.TrimSpace(rest[cut:])
	}
	return strings.Join(append(out, shorten(sty, rest, room)), "\n")
}

// widest is the width of the widest of the names, as [shorten] leaves them.
func widest(sty text.Style, all []string) vg.Length {
	most := vg.Length(0)
	for _, s := range all {
		most = max(most, sty.Width(shorten(sty, s, labelWidth)))
	}
	return most
}
