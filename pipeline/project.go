package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
	"ctrx/internal/ignore"
	"ctrx/internal/settings"
	"ctrx/storage"
	"ctrx/storage/remote"
)

// Project is an opened DVC repository. Close it to save what was learned about
// unchanged files.
type Project struct {
	Root   string        // absolute path of the folder that holds .dvc
	Dir    string        // rel folder from which the user speaks: addresses and targets are relative to it
	Git    *gitops.Repo  // nil when core.no_scm is set
	Config *settings.DVC // .dvc/config of all levels
	Ctrx   *settings.Ctrx
	Cache  *storage.Cache

	gitPrefix    string // path of Root within the Git repository, "." when they are the same
	shared       string
	args         []string
	env          []string
	ask          Ask
	waitForLock  bool
	now          func() time.Time
	sink         event.Sink
	state        *storage.State // of workspace files
	large        *storage.State // of objects in the cache
	outputs      placedOutputs
	hasher       *storage.Hasher
	dvcignore    *ignore.Set
	params       paramsFiles
	locks        map[string]*lockFile // dvc.lock files by rel path, kept while unchanged on disk
	touchedFiles []string             // rel paths of written files that belong into Git
	pretended    map[string][]byte    // rel path -> content that a file is taken to have (Pretend)
	warned       map[string]bool      // warnings about stage files that were shown
	opened       []io.Closer          // remotes with connections, closed with the project
}

// Ask gets a secret from a person: the password of a remote. It is nil where
// there is no terminal.
type Ask func(ctx context.Context, prompt string) (string, error)

// OpenOptions says from where and for whom a project is opened.
type OpenOptions struct {
	Dir  string     // any folder of the project; absolute
	Args []string   // the command line, for the table of paths in use
	Env  []string   // the environment, as os.Environ gives it
	Sink event.Sink // where progress and messages go
	Now  func() time.Time
	Ask  Ask // may be nil
	// WaitForLock lets commands wait for the repository lock as long as another
	// process holds it.
	WaitForLock bool
	// Shared is the folder of what is kept beside the runs: Python environments
	// and the history of stages. "" is the project's own; a working copy that
	// will be removed takes that of the project that it was made from.
	Shared string
}

// lookup finds a variable in an environment list; the last one wins.
func lookup(env []string) func(string) string {
	return func(key string) string {
		for i := len(env) - 1; i >= 0; i-- {
			if k, v, ok := strings.Cut(env[i], "="); ok && k == key {
				return v
			}
		}
		return ""
	}
}

// FindRoot gives the nearest folder at or above dir that holds a .dvc folder.
func FindRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, ".dvc")); err == nil && info.IsDir() {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", errs.Hint(errs.New(errs.NotFound, "you are not inside of a DVC repository (checked up to mount point '%s')", d), "ctrx init")
		}
	}
}

// Open opens the project that dir lies in. It writes nothing.
func Open(ctx context.Context, o OpenOptions) (*Project, error) {
	dir, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open project: %w", err)
	}
	root, err := FindRoot(dir)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, err
	}
	p := &Project{Root: root, Dir: filepath.ToSlash(rel), args: o.Args, env: o.Env, ask: o.Ask, waitForLock: o.WaitForLock, now: o.Now, sink: o.Sink, shared: o.Shared, locks: map[string]*lockFile{}}
	if p.now == nil {
		p.now = time.Now
	}
	if p.shared == "" {
		p.shared = filepath.Join(p.TmpDir(), "ctrx")
	}
	if p.Config, err = settings.LoadDVC(root, lookup(o.Env)); err != nil {
		return nil, err
	}
	if p.Ctrx, err = settings.LoadCtrx(root); err != nil {
		return nil, err
	}
	if err := p.openGit(root, o); err != nil {
		return nil, err
	}
	return p, p.openCache()
}

// Getenv gives a variable of the environment that the project was opened with.
func (p *Project) Getenv(key string) string { return lookup(p.env)(key) }

// Beside opens the project of another folder with the environment of this one:
// a copy that an experiment runs in.
func (p *Project) Beside(ctx context.Context, dir string, sink event.Sink) (*Project, error) {
	return Open(ctx, OpenOptions{Dir: dir, Args: p.args, Env: p.env, Sink: sink, Now: p.now, Ask: p.ask})
}

func (p *Project) openGit(root string, o OpenOptions) (err error) {
	if p.Config.Bool("core", "no_scm", false) {
		return nil
	}
	if p.Git, err = gitops.OpenWith(root, gitops.Options{Env: lookup(p.env), Now: o.Now}); err != nil {
		return errs.Hint(err, "git init, or for a project without Git: ctrx config core.no_scm true")
	}
	prefix, err := filepath.Rel(p.Git.Root(), p.Root)
	p.gitPrefix = filepath.ToSlash(prefix)
	return err
}

// Repo gives the Git repository, or a usage error for a project without one.
func (p *Project) Repo() (*gitops.Repo, error) {
	if p.Git == nil {
		return nil, errs.Hint(errs.New(errs.Usage, "this command needs a Git repository, and core.no_scm is set"), "git init && ctrx config --unset core.no_scm")
	}
	return p.Git, nil
}

func (p *Project) openCache() (err error) {
	cacheDir := filepath.Join(p.Root, ".dvc", "cache")
	if dir, ok := p.Config.Get("cache", "dir"); ok {
		cacheDir = dir
	}
	var links []storage.LinkType
	if kinds := p.Config.List("cache", "type"); kinds != nil {
		if links, err = storage.ParseLinks(strings.Join(kinds, ",")); err != nil {
			return err
		}
	}
	if p.state, err = storage.OpenState(filepath.Join(p.TmpDir(), "ctrx", "state")); err != nil {
		return err
	}
	if p.large, err = storage.OpenState(filepath.Join(p.shared, "large")); err != nil {
		return err
	}
	jobs, _ := p.Config.Int("core", "checksum_jobs")
	shared, _ := p.Config.Get("cache", "shared")
	p.hasher = storage.NewHasher(p.state, jobs, p.sink)
	p.Cache = storage.OpenCache(cacheDir, storage.CacheOptions{Links: links, Shared: shared == "group", State: p.state, Large: p.large, Sink: p.sink})
	p.dvcignore = ignore.NewDVC(os.DirFS(p.Root))
	return nil
}

// Close saves the records of unchanged files and of outputs in the work tree.
func (p *Project) Close() error {
	// The work is done and recorded by now: what only spares work later, and
	// cannot be written, as on a full disk, is no failure of it.
	if err := errors.Join(p.state.Close(), p.large.Close(), p.savePlaced()); err != nil {
		p.Warn("what was learned about files could not be kept, and is found out again next time: %s", err)
	}
	err := p.Cache.Close()
	for _, c := range p.opened {
		err = errors.Join(err, c.Close())
	}
	return err
}

// access is what remotes are opened with.
func (p *Project) access() remote.Access {
	return remote.Access{Env: lookup(p.env), Ask: p.ask, Sink: p.sink}
}

// TmpDir is .dvc/tmp, which Git and DVC ignore.
func (p *Project) TmpDir() string { return filepath.Join(p.Root, ".dvc", "tmp") }

// SharedDir is where Python environments and the history of stages are kept.
func (p *Project) SharedDir() string { return p.shared }

// Abs gives the absolute path of a rel path.
func (p *Project) Abs(rel string) string {
	if filepath.IsAbs(rel) {
		return filepath.Clean(rel)
	}
	return filepath.Join(p.Root, filepath.FromSlash(rel))
}

// Rel gives the rel path of what the user wrote, relative to where they stand.
func (p *Project) Rel(userPath string) (string, error) {
	abs := userPath
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(p.Abs(p.Dir), filepath.FromSlash(userPath))
	}
	rel, err := filepath.Rel(p.Root, abs)
	if err != nil {
		return "", err
	}
	return filepath.ToSlash(rel), nil
}

// Show expresses a rel path as the user sees it from where they stand. A URL is
// seen the same from everywhere.
func (p *Project) Show(rel string) string {
	if isURL(rel) {
		return rel
	}
	return relFrom(p.Dir, rel)
}

// lockWait is how long a command waits for the repository lock; DVC gives up
// after about the same time.
const lockWait = 3 * time.Second

// RepoLock is the lock that every command holds that changes stage files, refs
// or the cache. It is DVC's own, so the two exclude each other. Several
// goroutines of this process hold it together: the first takes it, the last
// gives it back.
type RepoLock struct {
	path string

	mu      sync.Mutex
	holders int
	held    *fsx.FileLock
}

// Lock takes the repository lock.
func (p *Project) Lock(ctx context.Context) (*RepoLock, error) {
	if p.Config.Bool("core", "hardlink_lock", false) {
		return nil, errs.Hint(errs.New(errs.ProjectFile, "core.hardlink_lock is set: ctrx locks by flock only, and would not exclude a dvc that locks by hard links"),
			"ctrx config --unset core.hardlink_lock")
	}
	if err := p.ensureTmp(); err != nil {
		return nil, err
	}
	l := &RepoLock{path: filepath.Join(p.TmpDir(), "lock"), holders: 1}
	wait := lockWait
	if p.waitForLock {
		wait = -1
	}
	return l, l.take(ctx, wait)
}

func (l *RepoLock) take(ctx context.Context, wait time.Duration) error {
	held, err := fsx.Lock(ctx, l.path, wait)
	if err != nil {
		return errs.Hint(fmt.Errorf("unable to acquire the repository lock %s: another ctrx or dvc process is running: %w", l.path, err),
			"wait until it has ended, then repeat the command; ctrx --wait-for-lock COMMAND waits by itself")
	}
	l.held = held
	return nil
}

// Unlock gives the lock back, whoever holds it. It may be called twice.
func (l *RepoLock) Unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders = 0
	l.drop()
}

func (l *RepoLock) drop() {
	if l.held != nil {
		_ = l.held.Unlock()
		l.held = nil
	}
}

// share makes one more holder of a lock that is held.
func (l *RepoLock) share() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders++
}

// leave ends a hold.
func (l *RepoLock) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holders--; l.holders == 0 {
		l.drop()
	}
}

// join begins a hold, and waits for the lock up to a minute where no other
// goroutine of this process has it. On failure too the caller counts as a
// holder, so that it holds what it held before.
func (l *RepoLock) join(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holders++; l.held != nil {
		return nil
	}
	return l.take(ctx, time.Minute)
}

// ensureTmp makes .dvc/tmp as DVC does, with the file whose time stamp is part
// of DVC's own state token.
func (p *Project) ensureTmp() error {
	if err := os.MkdirAll(p.TmpDir(), 0o777); err != nil {
		return fmt.Errorf("make %s: %w", p.TmpDir(), err)
	}
	f, err := os.OpenFile(filepath.Join(p.TmpDir(), "btime"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", p.TmpDir(), err)
	}
	return f.Close()
}

func (p *Project) rwLock() *rwLock {
	return &rwLock{dir: p.TmpDir(), holder: lockHolder{PID: os.Getpid(), Cmd: lockCommand(p.args)}}
}

// Info sends a line for the user.
func (p *Project) Info(format string, args ...any) {
	p.sink.Send(event.Event{Type: event.Info, Text: fmt.Sprintf(format, args...)})
}

// Warn sends a warning for the user.
func (p *Project) Warn(format string, args ...any) {
	p.sink.Send(event.Event{Type: event.Warn, Text: fmt.Sprintf(format, args...)})
}
