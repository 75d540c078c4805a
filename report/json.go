package report

import (
	"bytes"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// JSON writes a value on one line as DVC does when its output is no terminal,
// or indented by two blanks as on a terminal. There is no line end behind it.
func JSON(v dvcfile.Value, indented bool) []byte {
	line := dvcfile.JSON(v)
	if !indented {
		return line
	}
	var b bytes.Buffer
	depth := 0
	newline := func() { b.WriteString("\n" + strings.Repeat("  ", depth)) }
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '"':
			end := i + 1
			for ; line[end] != '"'; end++ {
				if line[end] == '\\' {
					end++
				}
			}
			b.Write(line[i : end+1])
			i = end
		case '{', '[':
			b.WriteByte(c)
			if line[i+1] == c+2 { // } and ] are two behind { and [
				b.WriteByte(line[i+1])
				i++
				continue
			}
			depth++
			newline()
		case '}', ']':
			depth--
			newline()
			b.WriteByte(c)
		case ',':
			b.WriteByte(c)
			newline()
			i++ // the blank behind it
		default:
			b.WriteByte(c)
		}
	}
	return b.Bytes()
}
