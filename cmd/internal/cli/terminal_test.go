package cli

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ctrx/report"
)

func TestPagerCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no /bin/sh")
	}
	for _, test := range []struct {
		env  []string
		want []string // the last arguments
	}{
		{[]string{"PAGER=more -x"}, []string{"/bin/sh", "-c", "more -x"}},
		{[]string{"PAGER=more", "DVC_PAGER=cat"}, []string{"-c", "cat"}},
		{[]string{"PAGER=less"}, []string{"--RAW-CONTROL-CHARS", "--chop-long-lines", "--quit-if-one-screen", "--no-init"}},
		{[]string{"PAGER=less", "LESS=-i"}, []string{"--RAW-CONTROL-CHARS", "--chop-long-lines"}},
	} {
		a := &app{Streams: Streams{Env: test.env}}
		cmd := a.pagerCommand(t.Context())
		if got := cmd.Args[max(0, len(cmd.Args)-len(test.want)):]; !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q at the end", test.env, cmd.Args, test.want)
		}
	}
}

// TestPage is: the text goes through the pager, and is printed where the pager
// cannot be started.
func TestPage(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no /bin/sh")
	}
	var out, err bytes.Buffer
	a := &app{Streams: Streams{Env: []string{"PAGER=tr a-z A-Z", "PATH=/bin:/usr/bin"}, Out: &out, Err: &err, Dir: t.TempDir()}}
	a.printer = newPrinter(&out, &err, a)
	if e := a.page(t.Context(), "text\n"); e != nil || out.String() != "TEXT\n" {
		t.Errorf("%q, %q, %v", out.String(), err.String(), e)
	}
	out.Reset()
	a.Dir += "/nosuch"
	if e := a.page(t.Context(), "text\n"); e != nil || out.String() != "text\n" {
		t.Errorf("without a pager: %q, %v", out.String(), e)
	}
}

func TestPaint(t *testing.T) {
	if got := (&app{Streams: Streams{Out: &bytes.Buffer{}}}).paint(); got != nil {
		t.Error("colours where there is no terminal")
	}
	if got := ansi(report.Strong, "x"); got != "\x1b[1mx\x1b[0m" {
		t.Errorf("strong is %q", got)
	}
	for _, plain := range []string{ansi(report.Normal, "x"), ansi(report.Strong, "")} {
		if strings.Contains(plain, "\x1b") {
			t.Errorf("%q", plain)
		}
	}
}
