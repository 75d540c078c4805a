package fsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
)

// LockWait is how long DVC tries to get the project lock before it gives up
// (six tries, half a second apart), and what ctrx uses for the same lock.
const LockWait = 3 * time.Second

// lockPoll is the time between two tries. A waiting process has nothing to do,
// and a try is one system call.
const lockPoll = 25 * time.Millisecond

// errLocked is what the operating system's lock call is turned into when
// somebody else holds the lock.
var errLocked = errors.New("locked")

// FileLock is a held lock. The kernel lets go of it when the process ends,
// however it ends.
type FileLock struct {
	f *os.File
}

// LockedError says who holds a lock. Its kind is Conflict.
type LockedError struct {
	Path string
	PID  int // process that wrote its id into the file; 0 when unreadable
}

// Error gives the message.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is locked by process %d", e.Path, e.PID)
}

// Kind is Conflict.
func (e *LockedError) Kind() errs.Kind { return errs.Conflict }

// Hint says what to do.
func (e *LockedError) Hint() string {
	if e.PID == 0 {
		return "another ctrx or dvc is working in this project: wait until it ends and repeat the command"
	}
	return fmt.Sprintf("another ctrx or dvc is working in this project (see `ps -p %d`): wait until it ends and repeat the command", e.PID)
}

// TryLock takes the lock at path or fails at once with a *LockedError.
//
// The protocol is DVC's (dvc-compat section 10): the file is opened or made,
// locked exclusively with flock (on Windows: its first byte, with LockFileEx),
// then filled with a space, the process id and a newline. It is never removed,
// since a process that waits may have it open.
func TryLock(path string) (*FileLock, error) { return tryLock(path, lockFile) }

// tryLock is TryLock with the call that locks.
func tryLock(path string, lock func(*os.File) error) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, FullDisk(err))
		}
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, FullDisk(err))
	}
	if err := lock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errLocked) {
			return nil, &LockedError{Path: path, PID: holder(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &FileLock{f: f}
	// The id only serves messages, so a full disk does not cost the lock.
	text := fmt.Sprintf(" %d\n", os.Getpid())
	if _, err := f.WriteAt([]byte(text), 0); err == nil {
		f.Truncate(int64(len(text)))
	}
	return l, nil
}

// Lock takes the lock at path, trying again until wait has passed, and then a
// last time. A negative wait never gives up. The error is a *LockedError, or the
// cause of ctx's end.
func Lock(ctx context.Context, path string, wait time.Duration) (*FileLock, error) {
	return lockWithin(ctx, path, wait, lockFile)
}

// Share is Lock for one of several holders: they exclude only those that took
// Lock. The file names the last of them.
func Share(ctx context.Context, path string, wait time.Duration) (*FileLock, error) {
	return lockWithin(ctx, path, wait, shareFile)
}

func lockWithin(ctx context.Context, path string, wait time.Duration, lock func(*os.File) error) (*FileLock, error) {
	if wait >= 0 {
		var cancel context.CancelFunc
		timed, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		l, err := lockUntil(timed, path, lock)
		if err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return l, err
	}
	l, err := lockUntil(ctx, path, lock)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return l, err
}

func lockUntil(ctx context.Context, path string, lock func(*os.File) error) (*FileLock, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		l, err := tryLock(path, lock)
		var locked *LockedError
		if !errors.As(err, &locked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			// A process that was not let run for the whole wait tries twice all the same.
			return tryLock(path, lock)
		case <-tick.C:
		}
	}
}

// File is the open file that the lock belongs to. A child process that gets it
// holds the lock as well, until both have closed it or ended.
func (l *FileLock) File() *os.File { return l.f }

// Held tells whether any process holds the lock at path. It takes nothing away:
// for the moment of the question it shares the lock, so that who tries to take
// it just then should try twice.
func Held(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lock %s: %w", path, err)
	}
	defer f.Close()
	err = shareFile(f)
	if errors.Is(err, errLocked) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lock %s: %w", path, err)
	}
	return false, unlockFile(f)
}

// LockOpen locks a file that is open already, without a wait and without
// writing to it; false means that another process has the lock. It ends with
// CloseLocked, or with the process.
func LockOpen(f *os.File) (bool, error) {
	err := lockFile(f)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	return err == nil, err
}

// CloseLocked lets go of a lock and closes its file. Closing alone would keep the
// lock for as long as a child that is just being started has its copy of the file.
func CloseLocked(f *os.File) error { return errors.Join(unlockFile(f), f.Close()) }

// Unlock lets go of the lock. The file stays.
func (l *FileLock) Unlock() error { return CloseLocked(l.f) }

// holder reads the process id that the holder wrote. The first byte is left
// out: on Windows it is locked and cannot be read.
func holder(f *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(f, 1, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
