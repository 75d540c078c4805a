package gitops

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// ReflogEntry is one line of a ref's log. DVC's queue is such a log: NAME@{0},
// the newest entry, is the last one here.
type ReflogEntry struct {
	Old, New string // hashes; Old is all zeros for a new ref
	By       Signature
	Message  string
}

func (r *Repo) reflogFile(name string) string {
	ref := r.refFile(name)
	dir := r.commonDir
	if rel, err := filepath.Rel(r.gitDir, ref); r.gitDir != r.commonDir && err == nil && filepath.IsLocal(rel) {
		dir = r.gitDir
	}
	return filepath.Join(dir, "logs", filepath.FromSlash(name))
}

// Reflog reads the log of a ref, oldest entry first; no log is an empty one.
func (r *Repo) Reflog(name string) ([]ReflogEntry, error) {
	if err := CheckRefName(name); err != nil {
		return nil, err
	}
	data, err := readWholeLines(r.reflogFile(name))
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log of %s: %w", name, err)
	}
	var entries []ReflogEntry
	for line := range strings.Lines(string(data)) {
		e, ok := parseReflog(strings.TrimRight(line, "\n"))
		if !ok {
			return nil, errs.New(errs.ProjectFile, "log of %s: bad line %q", name, line)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// readWholeLines reads a file that others append to. The end of a line that is
// being written is waited for, for a moment: it may never come.
func readWholeLines(file string) ([]byte, error) {
	for try := 0; ; try++ {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 || data[len(data)-1] == '\n' || try == 100 {
			return data, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func parseReflog(line string) (ReflogEntry, bool) {
	head, message, _ := strings.Cut(line, "\t")
	hashes := strings.SplitN(head, " ", 3)
	if len(hashes) < 3 || !isHash(hashes[0]) || !isHash(hashes[1]) {
		return ReflogEntry{}, false
	}
	who, ok := parseSignature(hashes[2])
	return ReflogEntry{Old: hashes[0], New: hashes[1], By: who, Message: message}, ok
}

// WriteReflog replaces the whole log of a ref, under the ref's lock, by what
// change makes of it, and lets the ref lead to the newest entry. With no entry
// left the ref is deleted. This is `git reflog delete --rewrite --updateref`,
// which is how an entry is taken out of DVC's queue.
func (r *Repo) WriteReflog(name string, change func([]ReflogEntry) []ReflogEntry) error {
	return r.update(name, AnyValue, func(lock *refLock, current string) error {
		entries, err := r.Reflog(name)
		if err != nil {
			return err
		}
		entries = change(entries)
		if len(entries) == 0 { // under the same lock: another process may be about to add one
			return r.remove(name, lock)
		}
		var log bytes.Buffer
		previous := strings.Repeat("0", 40)
		for _, e := range entries {
			log.WriteString(formatReflog(previous, e.New, e.By, e.Message))
			previous = e.New
		}
		file := r.reflogFile(name)
		err = inFolder(file, func() error { return fsx.WriteFile(file, log.Bytes(), 0o666) })
		if err != nil {
			return err
		}
		return lock.commit([]byte(previous + "\n"))
	})
}

// LogLine is an entry to be written into a ref's log.
type LogLine struct {
	New     string // hash
	Message string
}

// PushReflog appends lines to the log of a ref, all in one step, and lets the
// ref lead to the last one. The objects must exist.
func (r *Repo) PushReflog(name string, lines []LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	for _, l := range lines {
		if !isHash(l.New) {
			return errs.New(errs.Usage, "push onto %s: %q is not a hash", name, l.New)
		}
	}
	return r.update(name, AnyValue, func(lock *refLock, current string) error {
		by := r.configuredIdentity("COMMITTER")
		by.When = r.now()
		var text bytes.Buffer
		if current == "" {
			current = strings.Repeat("0", 40)
		}
		for _, l := range lines {
			text.WriteString(formatReflog(current, l.New, by, l.Message))
			current = l.New
		}
		// The log goes first, as in SetRef.
		if err := r.appendLog(name, text.Bytes()); err != nil {
			return err
		}
		return lock.commit([]byte(current + "\n"))
	})
}

func formatReflog(old, new string, by Signature, message string) string {
	message = strings.Join(strings.Fields(message), " ")
	return fmt.Sprintf("%s %s %s\t%s\n", old, new, by.header(), message)
}

func (r *Repo) appendReflog(name, old, new, message string) error {
	if old == "" {
		old = strings.Repeat("0", 40)
	}
	by := r.configuredIdentity("COMMITTER")
	by.When = r.now()
	return r.appendLog(name, []byte(formatReflog(old, new, by, message)))
}

// appendLog writes whole lines at the end of a ref's log, in one write.
func (r *Repo) appendLog(name string, lines []byte) error {
	file := r.reflogFile(name)
	var f *os.File
	err := inFolder(file, func() (err error) {
		f, err = os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		return err
	})
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	return fsx.FullDisk(errors.Join(err, f.Close()))
}

// inFolder makes the folder of a file and calls write, which makes the file.
// Who removes the last log of a folder removes the folder too, perhaps just now:
// then both are done again.
func inFolder(file string, write func() error) error {
	for try := 0; ; try++ {
		err := os.MkdirAll(filepath.Dir(file), 0o777)
		if err == nil {
			err = write()
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			return err
		}
	}
}

// Signature says who made something and when.
type Signature struct {
	Name, Email string
	When        time.Time
	Default     bool // neither Git's configuration nor the environment names anyone
}

// header is the form that commits and reflogs use.
func (s Signature) header() string {
	clean := strings.NewReplacer("<", "", ">", "", "\n", " ", "\r", "")
	return fmt.Sprintf("%s <%s> %d %s", clean.Replace(s.Name), clean.Replace(s.Email), s.When.Unix(), s.When.Format("-0700"))
}

func parseSignature(text string) (Signature, bool) {
	open, end := strings.Index(text, "<"), strings.LastIndex(text, ">")
	if open < 0 || end < open {
		return Signature{}, false
	}
	s := Signature{Name: strings.TrimSpace(text[:open]), Email: text[open+1 : end]}
	fields := strings.Fields(text[end+1:])
	if len(fields) != 2 {
		return s, false
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return s, false
	}
	zone, err := time.Parse("-0700", fields[1])
	if err != nil {
		return s, false
	}
	s.When = time.Unix(seconds, 0).In(zone.Location())
	return s, true
}
