package queue

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// ParseGPUs spells out ranges: 0-2,5 is 0, 1, 2, 5.
func ParseGPUs(list []string) ([]string, error) {
	var gpus []string
	for _, item := range list {
		item = strings.TrimSpace(item)
		from, to, isRange := strings.Cut(item, "-")
		a, err := strconv.Atoi(from)
		if item == "" || !isRange || err != nil { // a number, or the name of a device
			if item != "" {
				gpus = append(gpus, item)
			}
			continue
		}
		b, err := strconv.Atoi(to)
		if err != nil || b < a || b-a > 1024 {
			return nil, errs.New(errs.Usage, "%q is not a range of GPUs", item)
		}
		for n := a; n <= b; n++ {
			gpus = append(gpus, strconv.Itoa(n))
		}
	}
	return gpus, nil
}

// Decoder gives a writer that turns text of an encoding into UTF-8. "" and
// UTF-8 leave it as it is.
func Decoder(w io.Writer, encoding string) (io.Writer, error) {
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(encoding)) {
	case "", "utf8", "ascii", "usascii":
		return w, nil
	case "latin1", "iso88591":
		return latin1{w}, nil
	case "utf16", "utf16le":
		return &utf16Decoder{w: w}, nil
	}
	return nil, errs.Hint(errs.New(errs.Usage, "unknown encoding '%s'", encoding), "one of: utf-8, ascii, latin-1, utf-16")
}

type latin1 struct{ w io.Writer }

func (d latin1) Write(data []byte) (int, error) {
	text := make([]byte, 0, 2*len(data))
	for _, b := range data {
		text = utf8.AppendRune(text, rune(b))
	}
	if _, err := d.w.Write(text); err != nil {
		return 0, err
	}
	return len(data), nil
}

// utf16Decoder reads least byte first, as a byte order mark may change.
type utf16Decoder struct {
	w     io.Writer
	order binary.ByteOrder
	rest  []byte
	high  rune // first half of a pair
}

func (d *utf16Decoder) Write(data []byte) (int, error) {
	d.rest = append(d.rest, data...)
	var text []byte
	for ; len(d.rest) >= 2; d.rest = d.rest[2:] {
		if d.order == nil {
			d.order = binary.LittleEndian
			if d.rest[0] == 0xfe && d.rest[1] == 0xff {
				d.order = binary.BigEndian
			}
			if d.order.Uint16(d.rest) == 0xfeff {
				continue
			}
		}
		r := rune(d.order.Uint16(d.rest))
		switch {
		case d.high != 0:
			r, d.high = utf16.DecodeRune(d.high, r), 0
		case utf16.IsSurrogate(r):
			d.high = r
			continue
		}
		text = utf8.AppendRune(text, r)
	}
	if _, err := d.w.Write(text); err != nil {
		return 0, err
	}
	return len(data), nil
}
