package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"ctrx/gitops"
	"ctrx/internal/fsx"
)

// publish puts entries into the queue: the messages are written aside, then the
// log of the queue's ref gets its lines, and last the messages appear.
func (q *Queue) publish(entries []newEntry, r *rand.Rand) error {
	staging, err := q.makeFolders(r)
	if err != nil {
		return err
	}
	defer os.RemoveAll(staging)
	names, lines := make([]string, len(entries)), make([]gitops.LogLine, len(entries))
	first, replyTo := uptime(q.now()), uuid(r)
	for i, e := range entries {
		names[i] = fmt.Sprintf("%d_%s.celery.msg", first+int64(i), uuid(r))
		data, err := e.encode(replyTo, uuid(r))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(staging, names[i]), data, 0o666); err != nil {
			return fsx.FullDisk(err)
		}
		n := note{Head: text(e.Entry.Head), Baseline: e.Entry.Baseline, Name: text(e.Entry.Name), Branch: text(e.Entry.Branch)}
		lines[i] = gitops.LogLine{New: e.Entry.Rev, Message: "commit: " + n.String()}
	}
	if err := syncAll(staging, names); err != nil {
		return err
	}
	if err := q.git.PushReflog(stashRef, lines); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	for _, n := range names {
		if err := os.Rename(filepath.Join(staging, n), filepath.Join(q.layout.waiting(), n)); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	return nil
}

func syncAll(dir string, names []string) error {
	root, err := fsx.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Sync(names)
}

// makeFolders makes the folders of the broker as DVC does, and one to prepare
// messages in.
func (q *Queue) makeFolders(r *rand.Rand) (staging string, err error) {
	l := q.layout
	q.clearStaging()
	staging = filepath.Join(l.own(), "new-"+uuid(r))
	for _, dir := range []string{l.waiting(), l.taken(), l.control(), l.results(), l.tasks(), l.slots(), staging} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return "", fmt.Errorf("queue: %w", fsx.FullDisk(err))
		}
	}
	exchange := filepath.Join(l.control(), "celery.exchange")
	if _, err := os.Lstat(exchange); errors.Is(err, fs.ErrNotExist) {
		data, err := json.Marshal([][]string{{"celery", "", "celery"}})
		if err != nil {
			return "", err
		}
		if err := fsx.WriteFileAs(exchange, data, 0o666, fsx.Fast); err != nil {
			return "", err
		}
	}
	return staging, nil
}

// clearStaging removes what commands that were killed had prepared.
func (q *Queue) clearStaging() {
	old, err := filepath.Glob(filepath.Join(q.layout.own(), "new-*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && q.now().Sub(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

// uuid makes a random id (version 4).
func uuid(r *rand.Rand) string {
	hi, lo := r.Uint64(), r.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc<<60) | 0x8<<60
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

// uptime is the time that DVC's broker orders messages by: milliseconds since
// the machine started where that is known, else of the clock.
func uptime(now time.Time) int64 {
	data, err := os.ReadFile("/proc/uptime")
	if err == nil {
		var seconds float64
		if _, err := fmt.Sscan(string(data), &seconds); err == nil {
			return int64(seconds * 1000)
		}
	}
	return now.UnixMilli()
}
