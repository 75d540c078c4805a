package errs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text is the content of a file. Positions made by it can show their line.
type Text struct {
	file string
	data []byte
}

// NewText names the content of a file. data must not be changed afterwards.
func NewText(file string, data []byte) *Text { return &Text{file: file, data: data} }

// At is the position of a line and a column, which count from 1; 0 is unknown. A
// nil Text is that of no file.
func (t *Text) At(line, col int) Pos {
	if t == nil {
		return Pos{Line: line, Col: col}
	}
	return Pos{File: t.file, Line: line, Col: col, text: t}
}

// Pos is a place in a file. Line and Col count from 1 (Col in characters); 0
// means unknown.
type Pos struct {
	File string
	Line int
	Col  int
	text *Text // nil where the content is not at hand
}

// String gives file:line:col, leaving out what is unknown.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Find is the place of the first such text from the position on, or the position
// itself where there is none.
func (p Pos) Find(text string) Pos {
	if p.text == nil || text == "" || p.Line <= 0 {
		return p
	}
	at := 0
	for n := 1; n < p.Line; n++ {
		i := bytes.IndexByte(p.text.data[at:], '\n')
		if i < 0 {
			return p
		}
		at += i + 1
	}
	for n := 1; n < p.Col && at < len(p.text.data); n++ {
		_, size := utf8.DecodeRune(p.text.data[at:])
		at += size
	}
	i := bytes.Index(p.text.data[at:], []byte(text))
	if i < 0 {
		return p
	}
	before := p.text.data[:at+i]
	start := bytes.LastIndexByte(before, '\n') + 1
	return p.text.At(bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[start:])+1)
}

// Source is the line of the position, or "" where it is unknown.
func (p Pos) Source() string {
	if p.text == nil || p.Line <= 0 {
		return ""
	}
	rest := p.text.data
	for n := 1; n < p.Line; n++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.ToValidUTF8(strings.TrimRight(string(line), " \t\r"), "�")
}

// widest is the number of characters of a line that Excerpt shows.
const widest = 100

// beforeEnd gives, for a position behind the last line with text, the end of that
// line: there is nothing to show where a file ends too early.
func (p Pos) beforeEnd() Pos {
	if p.text == nil {
		return p
	}
	data := bytes.TrimRight(p.text.data, " \t\r\n")
	if last := bytes.Count(data, []byte("\n")) + 1; p.Line > last {
		start := bytes.LastIndexByte(data, '\n') + 1
		return p.text.At(last, utf8.RuneCount(data[start:])+1)
	}
	return p
}

// Excerpt is the line of the position with its number and a mark under the
// column, or "" where the line is unknown or empty. Of a very long line it is
// what stands around the column.
func (p Pos) Excerpt() string {
	p = p.beforeEnd()
	line := []rune(strings.ReplaceAll(p.Source(), "\t", " "))
	if len(line) == 0 {
		return ""
	}
	col := p.Col
	if len(line) > widest {
		start := min(max(0, col-1-widest/2), len(line)-widest)
		cut := append([]rune(nil), line[start:start+widest]...)
		if start > 0 {
			cut[0] = '…'
		}
		if start+widest < len(line) {
			cut[widest-1] = '…'
		}
		line, col = cut, col-start
	}
	number := fmt.Sprintf("   %d", p.Line)
	shown := number + " | " + string(line)
	if col > 0 && col <= len(line)+1 {
		shown += "\n" + strings.Repeat(" ", len(number)) + " | " + strings.Repeat(" ", col-1) + "^"
	}
	return shown
}

// Finding is one thing that is wrong at one place.
type Finding struct {
	Pos  Pos
	Text string // without the position
}

// String is the finding as one line of an error.
func (f Finding) String() string { return f.Pos.String() + ": " + f.Text }

// foundError is an error with the places it is about.
type foundError struct {
	kind     Kind
	err      error // its text
	findings []Finding
}

func (e *foundError) Error() string { return e.err.Error() }
func (e *foundError) Unwrap() error { return e.err }
func (e *foundError) Kind() Kind    { return e.kind }

// At makes a ProjectFile error whose message begins with the position.
func At(pos Pos, format string, args ...any) error { return NewAt(ProjectFile, pos, format, args...) }

// NewAt makes an error of a kind whose message begins with the position.
func NewAt(kind Kind, pos Pos, format string, args ...any) error {
	err := fmt.Errorf("%s: "+format, append([]any{pos}, args...)...)
	text := strings.TrimPrefix(err.Error(), pos.String()+": ")
	return &foundError{kind: kind, err: err, findings: []Finding{{pos, text}}}
}

// mostFindings is how many of many findings an error shows.
const mostFindings = 10

// All makes one ProjectFile error of several findings, nil of none.
func All(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	var lines []string
	for i, f := range findings {
		if i == mostFindings {
			lines = append(lines, fmt.Sprintf("and %d more", len(findings)-i))
			break
		}
		lines = append(lines, f.String())
	}
	return &foundError{kind: ProjectFile, err: errors.New(strings.Join(lines, "\n")), findings: findings}
}

// Findings gives the places that an error is about, in its order; none for an
// error about no file.
func Findings(err error) []Finding {
	var f *foundError
	if errors.As(err, &f) {
		return f.findings
	}
	return nil
}

// Explain is the error's message for a person: the lines that it is about are
// shown below it.
func Explain(err error) string {
	findings := Findings(err)
	message := strings.TrimSpace(err.Error())
	if len(findings) == 0 {
		return message
	}
	if len(findings) > mostFindings {
		findings = findings[:mostFindings]
	}
	for _, f := range findings {
		excerpt := f.Pos.Excerpt()
		at := strings.Index(message, f.String())
		if excerpt == "" || at < 0 {
			continue
		}
		end := at + len(f.String())
		message = message[:end] + "\n" + excerpt + message[end:]
	}
	return message
}
