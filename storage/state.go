package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ctrx/internal/fsx"
)

// State remembers the digests of files, so that a file whose inode, time of
// change and size are as before is not read again.
//
// It is a text file to which processes append lines; each line has a checksum,
// so a line torn by kill -9 or mixed with another process's is skipped. Losing
// the file costs time only. The zero of *State (nil) remembers nothing.
//
// A file that changes twice within one tick of the file system's clock, without
// changing its size, looks the same before and after. So a digest is only
// recorded when, at the moment of hashing, the file's time was older than the
// tick: see settled.
type State struct {
	path string
	now  func() time.Time

	mu      sync.RWMutex
	loaded  bool
	entries map[stateKey]stateEntry
	lines   int    // in the file, as far as known
	base    int    // lines after the last compaction
	torn    bool   // the file does not end in a newline
	buf     []byte // lines to append
}

type stateKey struct {
	path string
	alg  Algorithm
}

type stateEntry struct {
	print fingerprint
	sum   [16]byte
}

// fingerprint is what tells that a file is the one that was seen before.
type fingerprint struct {
	ino   uint64
	mtime int64 // nanoseconds since 1970
	size  int64
}

func fingerprintOf(info fs.FileInfo) fingerprint { return printOf(fsx.StampOf(info)) }

func printOf(s fsx.Stamp) fingerprint {
	return fingerprint{ino: s.Ino, mtime: s.MTime, size: s.Size}
}

const (
	stateMagic   = "ctrx-state 1 "
	stateFlushAt = 1 << 18
	// The file is rewritten when it has so many superfluous lines: for files
	// that it has a newer line for, and for files that may be gone.
	stateSlack    = 10_000
	stateMaxSlack = 200_000
)

// OpenState opens the state file at path, which need not exist. It is read when
// first needed. A file that cannot be read or understood is as good as none.
func OpenState(path string) (*State, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	return &State{path: abs, now: time.Now, entries: map[stateKey]stateEntry{}}, nil
}

// tick gives an upper bound for how coarse the clock is that set the time: file
// systems with whole seconds (some with two) show by the zeros.
func tick(mtime time.Time) time.Duration {
	ns := mtime.Nanosecond()
	switch {
	case ns == 0:
		return 2100 * time.Millisecond
	case ns%1_000_000 == 0:
		return 100 * time.Millisecond
	}
	return 30 * time.Millisecond // system timers tick every 1 to 16 ms
}

// settled tells whether a change of the file at the time now would give it
// another time of change than the one it has.
func settled(mtime, now time.Time) bool {
	return now.Sub(mtime) > tick(mtime)
}

// clock is the time now, as far as it matters for record.
func (s *State) clock() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.now()
}

// lookup gives the digest of a file that was hashed before and looks the same.
func (s *State) lookup(path string, alg Algorithm, p fingerprint) (Digest, bool) {
	if s == nil {
		return "", false
	}
	s.rlock()
	defer s.mu.RUnlock()
	return s.find(path, alg, p)
}

// rlock lets others look, but nobody write, until RUnlock.
func (s *State) rlock() {
	s.mu.RLock()
	if !s.loaded {
		s.mu.RUnlock()
		<-s.loading()
		s.mu.RLock()
	}
}

// find is lookup of who has called rlock.
func (s *State) find(path string, alg Algorithm, p fingerprint) (Digest, bool) {
	e, ok := s.entries[stateKey{path, alg}]
	if !ok || e.print != p {
		return "", false
	}
	var digest [2 * len(e.sum)]byte
	hex.Encode(digest[:], e.sum[:])
	return Digest(digest[:]), true
}

// record remembers the digest of a file. The caller has made sure that the file
// was settled when its content was read or written.
func (s *State) record(path string, alg Algorithm, p fingerprint, d Digest) {
	if s == nil || d.IsDir() {
		return
	}
	var e stateEntry
	if n, err := hex.Decode(e.sum[:], []byte(d)); err != nil || n != 16 {
		return
	}
	e.print = p
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	k := stateKey{path, alg}
	if s.entries[k] == e {
		return
	}
	s.entries[k] = e
	s.buf = appendState(s.buf, k, e)
	s.lines++
	if len(s.buf) >= stateFlushAt {
		s.flush() // a failure shows again at Close
	}
}

// Close writes what was recorded. The error says that later runs will hash
// again; nothing else is lost.
func (s *State) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flush(); err != nil {
		return fmt.Errorf("write state %s: %w", s.path, err)
	}
	if s.lines > 2*len(s.entries)+stateSlack || s.lines > 2*s.base+stateMaxSlack {
		if err := s.compact(); err != nil {
			return fmt.Errorf("rewrite state %s: %w", s.path, err)
		}
	}
	return nil
}

// flush appends the buffered lines with one write: the kernel places appends of
// several processes one after the other.
func (s *State) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o777); err != nil {
			return fsx.FullDisk(err)
		}
		f, err = os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	}
	if err != nil {
		return fsx.FullDisk(err)
	}
	if s.torn {
		s.buf = append([]byte{'\n'}, s.buf...)
	}
	n, err := f.Write(s.buf)
	s.torn = err != nil && n > 0
	s.buf = s.buf[:0]
	if e := f.Close(); err == nil {
		err = e
	}
	return fsx.FullDisk(err)
}

// loading begins to read the file, for who has something else to do meanwhile.
// The channel is closed when it is read.
func (s *State) loading() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.load()
		}
	}()
	return done
}

// load reads the file once. Later lines replace earlier ones.
func (s *State) load() {
	if s.loaded {
		return
	}
	s.loaded = true
	data, err := os.ReadFile(s.path)
	if err != nil {
		return
	}
	text := textOf(data) // the paths of the entries are pieces of it
	s.torn = text != "" && !strings.HasSuffix(text, "\n")
	s.entries = make(map[stateKey]stateEntry, strings.Count(text, "\n"))
	for at := 0; at < len(text); {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text) - at
		}
		line, raw := text[at:at+end], data[at:at+end]
		at += end + 1
		if n, ok := strings.CutPrefix(line, stateMagic); ok {
			s.base, _ = strconv.Atoi(n)
			continue
		}
		s.lines++
		if k, e, ok := parseState(line, raw); ok {
			s.entries[k] = e
		}
	}
}

// compact rewrites the file with one line per file that is still there. Lines
// that another process appends meanwhile are lost, which costs it a hashing.
func (s *State) compact() error {
	var out bytes.Buffer
	var body []byte
	n := 0
	for k, e := range s.entries {
		info, err := os.Stat(k.path)
		if err != nil || fingerprintOf(info) != e.print {
			delete(s.entries, k)
			continue
		}
		body = appendState(body, k, e)
		n++
	}
	fmt.Fprintf(&out, "%s%d\n", stateMagic, n)
	out.Write(body)
	s.base, s.lines, s.torn = n, n, false
	return fsx.WriteFile(s.path, out.Bytes(), 0o666)
}

// appendState writes a line: checksum of the rest, inode, time, size, digest,
// algorithm, path; the path is last, with backslash escapes for newlines.
func appendState(b []byte, k stateKey, e stateEntry) []byte {
	at := len(b)
	b = append(b, "00000000 "...)
	body := len(b)
	b = strconv.AppendUint(b, e.print.ino, 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.print.mtime, 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.print.size, 10)
	b = append(b, ' ')
	b = hex.AppendEncode(b, e.sum[:])
	b = append(b, ' ')
	b = append(b, k.alg...)
	b = append(b, ' ')
	for i := range len(k.path) {
		switch c := k.path[i]; c {
		case '\\':
			b = append(b, `\\`...)
		case '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, c)
		}
	}
	sum := crc32.ChecksumIEEE(b[body:])
	hex.Encode(b[at:at+8], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return append(b, '\n')
}

// parseState reads a line, given as text and as the same bytes.
func parseState(line string, raw []byte) (k stateKey, e stateEntry, ok bool) {
	var sum [4]byte
	if len(line) < 9 || line[8] != ' ' {
		return k, e, false
	}
	if _, err := hex.Decode(sum[:], raw[:8]); err != nil || crc32.ChecksumIEEE(raw[9:]) != binary.BigEndian.Uint32(sum[:]) {
		return k, e, false
	}
	var part [5]string
	rest := line[9:]
	for i := range part {
		at := strings.IndexByte(rest, ' ')
		if at < 0 {
			return k, e, false
		}
		part[i], rest = rest[:at], rest[at+1:]
	}
	var bad [4]error
	e.print.ino, bad[0] = strconv.ParseUint(part[0], 10, 64)
	e.print.mtime, bad[1] = strconv.ParseInt(part[1], 10, 64)
	e.print.size, bad[2] = strconv.ParseInt(part[2], 10, 64)
	if len(part[3]) == 32 {
		_, bad[3] = hex.Decode(e.sum[:], []byte(part[3]))
	} else {
		bad[3] = hex.ErrLength
	}
	for _, err := range bad {
		if err != nil {
			return k, e, false
		}
	}
	k.alg = Algorithm(part[4])
	k.path = rest
	if strings.IndexByte(rest, '\\') >= 0 {
		k.path = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(rest)
	}
	return k, e, true
}
