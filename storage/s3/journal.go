package s3

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ctrx/internal/fsx"
)

// staleAfter is how long an upload that nobody goes on with may wait. Its parts
// are invisible and cost money.
const staleAfter = 7 * 24 * time.Hour

const uploadSuffix = ".upload"

// Journal makes the Backend keep a record of its uploads in parts in a folder
// (made when first needed), so that a later process can finish them. A folder
// may serve several Backends and processes.
func (b *Backend) Journal(dir string) { b.journal = dir }

// uploadHead is the first line of a journal file; a line for each part follows.
type uploadHead struct {
	Endpoint string `json:"endpoint"`
	Bucket   string `json:"bucket"`
	Object   string `json:"object"`
	ID       string `json:"upload_id"`
	Size     int64  `json:"size"`
	Part     int64  `json:"part_size"`
}

// uploadPart is a part that was sent: its MD5, and what the store calls it.
type uploadPart struct {
	Number int32  `json:"part"`
	MD5    string `json:"md5"`
	ETag   string `json:"etag"`
}

// uploadLog is the journal of one upload, held by this process alone. All
// methods do nothing on a nil one. What cannot be written costs a later call
// time, and is no failure of this one.
type uploadLog struct {
	f    *os.File
	head uploadHead
	was  bool // the upload was begun by an earlier process

	mu    sync.Mutex
	parts map[int32]uploadPart
}

// openUploadLog finds the journal of an object. It is nil where there is no
// folder for it, or another process has it.
func (b *Backend) openUploadLog(ctx context.Context, key string, size int64) *uploadLog {
	if b.journal == "" || os.MkdirAll(b.journal, 0o777) != nil {
		return nil
	}
	b.sweep.Do(func() { b.sweepUploads(ctx, time.Now().Add(-staleAfter)) })
	head := uploadHead{Endpoint: b.set.Endpoint, Bucket: b.set.Bucket, Object: aws.ToString(b.object(key)), Size: size, Part: partLength(size)}
	name := sha256.Sum256([]byte(strings.Join([]string{head.Endpoint, head.Bucket, head.Object, strconv.FormatInt(size, 10)}, "\n")))
	l, err := lockUploadLog(filepath.Join(b.journal, hex.EncodeToString(name[:16])+uploadSuffix))
	if err != nil || l == nil {
		return nil
	}
	if found := l.head; found.ID != "" {
		found.ID = ""
		l.was = found == head
	}
	if !l.was {
		l.head, l.parts = head, map[int32]uploadPart{}
	}
	return l
}

// lockUploadLog opens and reads a journal file; nil if another process has it.
func lockUploadLog(path string) (*uploadLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	if ok, err := fsx.LockOpen(f); !ok || err != nil {
		f.Close()
		return nil, err
	}
	l := &uploadLog{f: f, parts: map[int32]uploadPart{}}
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			if json.Unmarshal(lines.Bytes(), &l.head) != nil {
				break // of no use: a process died while it wrote
			}
			continue
		}
		var p uploadPart
		if json.Unmarshal(lines.Bytes(), &p) == nil {
			l.parts[p.Number] = p
		}
	}
	return l, nil
}

func (l *uploadLog) resumed() bool { return l != nil && l.was }

// uploadID is that of an upload to go on with, or "".
func (l *uploadLog) uploadID() string {
	if !l.resumed() {
		return ""
	}
	return l.head.ID
}

// start notes a new upload.
func (l *uploadLog) start(id string) {
	if l == nil {
		return
	}
	l.head.ID = id
	_ = l.f.Truncate(0)
	l.write(l.head)
}

// part notes a part that was sent.
func (l *uploadLog) part(n int32, md5, etag string) {
	if l != nil {
		l.write(uploadPart{n, md5, etag})
	}
}

// has tells whether a part with this MD5 was sent and got this ETag: stores
// whose ETags are not MD5s have no other way of telling.
func (l *uploadLog) has(n int32, md5, etag string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return etag != "" && l.parts[n] == uploadPart{n, md5, etag}
}

func (l *uploadLog) write(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.f.Write(append(text, '\n'))
}

// forget ends the record of an upload.
func (l *uploadLog) forget() {
	if l == nil {
		return
	}
	l.head.ID, l.was, l.parts = "", false, map[int32]uploadPart{}
	_ = l.f.Truncate(0)
}

// close lets go of the file, and removes one that says nothing.
func (l *uploadLog) close() {
	if l == nil {
		return
	}
	info, err := l.f.Stat()
	// Removed while it is still locked where the system allows that, so that no
	// other process opens a file that is about to vanish.
	empty := err == nil && info.Size() == 0
	removed := empty && os.Remove(l.f.Name()) == nil
	_ = fsx.CloseLocked(l.f)
	if empty && !removed {
		_ = os.Remove(l.f.Name())
	}
}

// sweepUploads takes back uploads to this bucket that nobody went on with since
// before.
func (b *Backend) sweepUploads(ctx context.Context, before time.Time) {
	for _, name := range journalsIn(b.journal, before) {
		l, err := lockUploadLog(name)
		if err != nil || l == nil {
			continue
		}
		if l.head.Endpoint == b.set.Endpoint && l.head.Bucket == b.set.Bucket {
			if err := b.abortUpload(ctx, l.head.Object, l.head.ID); err == nil || isCode(err, "NoSuchUpload") {
				l.forget()
			}
		} else if l.head.ID == "" {
			l.forget()
		}
		l.close()
	}
}
