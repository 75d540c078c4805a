package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctrx/internal/event"
)

// openTerminal gives the two ends of a terminal of a size, where 0 is one that
// was never set.
func openTerminal(t *testing.T, columns, rows uint16) (screen, end *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	return screen, end
}

// A transfer shows its line on every terminal, also on one that does not know
// its size.
func TestProgressOnTerminal(t *testing.T) {
	for _, size := range [][2]uint16{{100, 24}, {0, 0}} {
		screen, end := openTerminal(t, size[0], size[1])
		p := newPrinter(io.Discard, end, &app{})
		e := event.Event{Type: event.Progress, Text: "push", Unit: "B", Done: 100 << 20, Total: 1 << 30, Files: 4, Of: 40}
		p.Send(e)
		seen := make(chan string, 1)
		go func() {
			var text strings.Builder
			for block := make([]byte, 4096); !strings.Contains(text.String(), "4/40 files  100.0 MiB / 1.0 GiB"); {
				n, err := screen.Read(block)
				if err != nil {
					break
				}
				text.Write(block[:n])
			}
			seen <- text.String()
			_, _ = io.Copy(io.Discard, screen)
		}()
		select {
		case text := <-seen:
			if !strings.Contains(text, "push") {
				t.Errorf("%v: %q", size, text)
			}
		case <-time.After(5 * time.Minute):
			t.Fatalf("%v: nothing is shown", size)
		}
		e.Final = true
		p.Send(e)
		p.close()
	}
}

// A terminal that cannot move its cursor gets lines.
func TestProgressOnDumbTerminal(t *testing.T) {
	_, end := openTerminal(t, 80, 24)
	if p := newPrinter(io.Discard, end, &app{Streams: Streams{Env: []string{"TERM=dumb"}}}); p.terminal {
		t.Error("bars are drawn on a terminal that cannot show them")
	}
	if p := newPrinter(io.Discard, end, &app{Streams: Streams{Env: []string{"TERM=xterm"}}}); !p.terminal {
		t.Error("no bars are drawn on a terminal")
	}
}
