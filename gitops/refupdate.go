package gitops

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// AnyValue stands for "whatever it is" where an old value of a ref is asked.
const AnyValue = "*"

// SetRef makes a ref lead to the object new, if it leads to old now: a hash,
// "" when the ref must not exist yet, or AnyValue. Another value is
// errs.Conflict. A symbolic ref is replaced, not followed. A reflog text that is
// not empty is appended to the ref's log, which is made where it is missing.
func (r *Repo) SetRef(name, new, old, reflog string) error {
	if !isHash(new) {
		return errs.New(errs.Usage, "set ref %s: %q is not a hash", name, new)
	}
	r.mu.Lock()
	err := r.storage.HasEncodedObject(plumbing.NewHash(new))
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("set ref %s: %w", name, r.missing(new))
	}
	return r.update(name, old, func(lock *refLock, current string) error {
		// The log goes first: a log entry without its ref is harmless, a queued
		// task without its log entry would be lost.
		if reflog != "" {
			if err := r.appendReflog(name, current, new, reflog); err != nil {
				return err
			}
		}
		return lock.commit([]byte(new + "\n"))
	})
}

// SetSymbolicRef makes a ref stand for another one, which need not exist.
func (r *Repo) SetSymbolicRef(name, target string) error {
	if err := CheckRefName(target); err != nil {
		return err
	}
	return r.update(name, AnyValue, func(lock *refLock, _ string) error {
		return lock.commit([]byte("ref: " + target + "\n"))
	})
}

// DeleteRef removes a ref and its log, if it leads to old now (AnyValue:
// whatever it leads to). A ref that does not exist is errs.NotFound, or no error
// with AnyValue.
func (r *Repo) DeleteRef(name, old string) error {
	return r.update(name, old, func(lock *refLock, _ string) error { return r.remove(name, lock) })
}

// remove removes a locked ref and its log, and releases the lock.
func (r *Repo) remove(name string, lock *refLock) error {
	if err := r.dropPacked(name); err != nil {
		return err
	}
	if err := os.Remove(lock.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log := r.reflogFile(name)
	if err := os.Remove(log); err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotDir(err) {
		return err
	}
	lock.release()
	removeEmptyParents(filepath.Dir(lock.file), filepath.Join(r.commonDir, "refs"))
	removeEmptyParents(filepath.Dir(log), filepath.Join(r.commonDir, "logs", "refs"))
	return nil
}

// update takes the lock of a ref, compares its value and calls change.
func (r *Repo) update(name, old string, change func(lock *refLock, current string) error) error {
	if err := CheckRefName(name); err != nil {
		return err
	}
	if !strings.HasPrefix(name, "refs/") || strings.Count(name, "/") < 2 {
		return errs.New(errs.Usage, "%q is not a full ref name: refs/KIND/NAME", name)
	}
	if err := r.checkNesting(name); err != nil {
		return err
	}
	lock, err := lockRef(r.refFile(name))
	if err != nil {
		return fmt.Errorf("lock ref %s: %w", name, err)
	}
	defer lock.release()
	current := ""
	v, err := r.readRef(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && old != AnyValue:
		return err
	case err == nil && v.symbolic != "":
		if current, _, err = r.Ref(v.symbolic); err != nil {
			return err
		}
	case err == nil:
		current = v.hash
	}
	if old != AnyValue && current != strings.ToLower(old) {
		return conflict(name, current, old)
	}
	if err := change(lock, current); err != nil {
		return fmt.Errorf("update ref %s: %w", name, err)
	}
	return nil
}

func conflict(name, current, old string) error {
	switch {
	case old == "":
		return errs.New(errs.Conflict, "ref %s exists already", name)
	case current == "":
		return errs.New(errs.NotFound, "ref %s does not exist", name)
	}
	return errs.Hint(errs.New(errs.Conflict, "ref %s was changed by another process: it is at %s, not at %s", name, current, old), "run the command again")
}

// checkNesting refuses a ref below another ref or above one: git could keep
// only one of the two.
func (r *Repo) checkNesting(name string) error {
	packed, err := r.packedRefs()
	if err != nil {
		return err
	}
	clash := func(other string) error {
		return errs.New(errs.Conflict, "ref %s cannot exist beside ref %s", name, other)
	}
	for other := range packed {
		if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
			return clash(other)
		}
	}
	for i := strings.LastIndexByte(name, '/'); i > len("refs"); i = strings.LastIndexByte(name[:i], '/') {
		if info, err := os.Stat(r.refFile(name[:i])); err == nil && !info.IsDir() {
			return clash(name[:i])
		}
	}
	if info, err := os.Stat(r.refFile(name)); err == nil && info.IsDir() {
		below, err := r.Refs(name + "/")
		if err != nil {
			return err
		}
		if len(below) > 0 {
			return clash(below[0].Name)
		}
	}
	return nil
}

// refLock is a FILE.lock, which git takes as well before it changes FILE. While
// ctrx has it, it says so in the file and holds a flock on it: a lock that says
// so and has no flock was left by a ctrx that was killed, and is removed.
type refLock struct {
	file string
	lock *os.File // nil when released
}

// lockMark is what a lock of ctrx's begins with; git writes a hash or nothing.
const lockMark = "ctrx "

// lockWait bounds the wait for one lock that another process holds; git keeps
// one for moments only. When the next process has it the wait begins anew, so
// that many of them, or a slow disk, are no failure.
const lockWait = 3 * time.Second

func lockRef(file string) (*refLock, error) {
	since, seen := time.Now(), ""
	for ; ; time.Sleep(5 * time.Millisecond) {
		l, err := makeLock(file)
		if err == nil {
			return l, nil
		}
		// Someone who removed the last ref of a folder may remove the folder too.
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return nil, fsx.FullDisk(err)
		}
		if removeStale(file + ".lock") {
			continue
		}
		if there := lockSeen(file + ".lock"); there != seen {
			since, seen = time.Now(), there
		}
		if time.Since(since) > lockWait {
			return nil, errs.Hint(errs.New(errs.Conflict, "%s.lock exists: another process changes the ref, or one was killed while it did", file),
				"if no git or ctrx runs: rm %q", file+".lock")
		}
	}
}

// lockSeen tells one lock of a name from the next: by when it was made, and by
// the process where it says so.
func lockSeen(name string) string {
	info, err := os.Lstat(name)
	if err != nil {
		return ""
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %.40s", info.ModTime().UnixNano(), data)
}

// makeLock makes FILE.lock. It appears with its mark and its flock: the file is
// made under another name first.
func makeLock(file string) (*refLock, error) {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file + ".lock"); err == nil {
		return nil, fs.ErrExist
	}
	f, err := createAside(dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if _, err = fmt.Fprintf(f, "%s%d\n", lockMark, os.Getpid()); err == nil {
		_, _ = fsx.LockOpen(f) // where there are no flocks, the file alone is the lock
		if err = os.Link(f.Name(), file+".lock"); err == nil {
			return &refLock{file: file, lock: f}, nil
		}
	}
	f.Close()
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A file system without hard links, or a full disk.
	if f, err = os.OpenFile(file+".lock", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
		return nil, err
	}
	return &refLock{file: file, lock: f}, nil
}

// createAside makes a file of a name that no ref can have, and that git passes
// over in the folders of refs.
func createAside(dir string) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("ctrx-%016x.lock", rand.Uint64())), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// removeStale removes a lock that a killed ctrx left behind.
func removeStale(name string) bool {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	if free, err := fsx.LockOpen(f); err != nil || !free {
		return false
	}
	start := make([]byte, len(lockMark))
	n, _ := f.ReadAt(start, 0)
	info, err := f.Stat()
	if err != nil || string(start[:n]) != lockMark {
		return false
	}
	// Who has the flock of a stale lock is the only one to remove it, so that
	// it is still the same file.
	if there, err := os.Stat(name); err != nil || !os.SameFile(there, info) {
		return false
	}
	return os.Remove(name) == nil
}

// commit makes data the content of the file, in one step, and releases.
func (l *refLock) commit(data []byte) error {
	defer l.release()
	// An empty folder may be left over from refs that were below this name.
	if info, err := os.Stat(l.file); err == nil && info.IsDir() {
		removeEmptyFolders(l.file)
	}
	f, err := createAside(filepath.Dir(l.file))
	if err != nil {
		return fsx.FullDisk(err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), l.file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return fsx.FullDisk(err)
}

func (l *refLock) release() {
	if l.lock != nil {
		os.Remove(l.file + ".lock") // while the flock is held, so that nobody takes it for a stale one
		l.lock.Close()
		l.lock = nil
	}
}

// dropPacked takes a ref out of packed-refs, if it is there.
func (r *Repo) dropPacked(name string) error {
	if packed, err := r.packedRefs(); err != nil || packed[name].hash == "" {
		return err
	}
	file := filepath.Join(r.commonDir, "packed-refs")
	lock, err := lockRef(file)
	if err != nil {
		return err
	}
	defer lock.release()
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var kept bytes.Buffer
	dropping := false
	for line := range bytes.Lines(data) {
		if dropping && line[0] == '^' {
			continue
		}
		_, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		if dropping = rest == name && line[0] != '#'; !dropping {
			kept.Write(line)
		}
	}
	return lock.commit(kept.Bytes())
}

// removeEmptyParents removes dir and the folders above it while they are
// empty, but nothing outside of top, top itself, nor its direct children (git
// expects refs/heads).
func removeEmptyParents(dir, top string) {
	for {
		rel, err := filepath.Rel(top, dir)
		if err != nil || rel == "." || !filepath.IsLocal(rel) || !strings.ContainsRune(rel, filepath.Separator) {
			return
		}
		if os.Remove(dir) != nil {
			return
		}
		dir = filepath.Dir(dir)
	}
}

// removeEmptyFolders removes a tree of folders that holds no file.
func removeEmptyFolders(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			removeEmptyFolders(filepath.Join(dir, e.Name()))
		}
	}
	os.Remove(dir) // fails where a file is left
}
