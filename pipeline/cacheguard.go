package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// CacheGuard keeps objects of the cache from being collected while a command needs
// them that does not hold the repository lock: a transfer, during which other
// commands may work, or an experiment in a work copy, whose lock is that of the
// copy and whose results no commit names yet.
type CacheGuard struct{ held *fsx.FileLock }

// Release lets go; once is enough, twice is no harm.
func (g *CacheGuard) Release() {
	if g.held != nil {
		_ = g.held.Unlock()
		g.held = nil
	}
}

func (p *Project) guardPath() string { return filepath.Join(p.shared, "cache.lock") }

// UseCache keeps `gc` of this project away until the guard is released. It waits
// a little for one that runs; the error is then of kind Conflict.
func (p *Project) UseCache(ctx context.Context) (*CacheGuard, error) {
	return p.guardCache(ctx, fsx.Share, "gc is removing objects from the cache")
}

// collectCache waits a little for everyone that uses the cache, and keeps others
// away; if they do not end the error is of kind Conflict.
func (p *Project) collectCache(ctx context.Context) (*CacheGuard, error) {
	return p.guardCache(ctx, fsx.Lock, "a transfer or an experiment is using the cache")
}

func (p *Project) guardCache(ctx context.Context, take func(context.Context, string, time.Duration) (*fsx.FileLock, error), busy string) (*CacheGuard, error) {
	held, err := take(ctx, p.guardPath(), lockWait)
	locked, isLocked := errors.AsType[*fsx.LockedError](err)
	switch {
	case err == nil:
		return &CacheGuard{held}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !isLocked: // a full or read-only disk, or one without locks: as DVC, unguarded
		return &CacheGuard{}, nil
	}
	if locked.PID != 0 && !processAlive(locked.PID) { // the last to come has ended, another one has not
		locked.PID = 0
	}
	return nil, errs.Hint(fmt.Errorf("%s: %w", busy, err), "%s", locked.Hint())
}
