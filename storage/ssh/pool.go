package ssh

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// grace is how long a call may go on after its context ended.
const grace = 2 * time.Second

// Every beat the server is asked for a sign of life while calls wait; without
// one for patience the connection is cut.
const (
	beat     = 15 * time.Second
	patience = 45 * time.Second
)

// pool shares SFTP sessions of one connection.
type pool struct {
	set  Settings
	turn chan struct{} // held by the one who changes what follows
	mu   sync.Mutex
	now  *connection // nil: none
}

// connection is one that is open.
type connection struct {
	client   *gossh.Client
	cut      func()
	sessions []*session
	full     bool // the server gives no more sessions
}

type session struct {
	*sftp.Client
	users int
}

func newPool(set Settings) *pool { return &pool{set: set, turn: make(chan struct{}, 1)} }

// do runs f with a session.
func (p *pool) do(ctx context.Context, f func(*sftp.Client) error) error {
	c, s, err := p.lease(ctx)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(grace):
			c.cut()
		}
	})
	err = f(s.Client)
	close(done)
	stop()
	p.release(c, s, err)
	if ctx.Err() != nil && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// lease gives the session with the fewest users, or a new one.
func (p *pool) lease(ctx context.Context) (*connection, *session, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	p.mu.Lock()
	c := p.now
	p.mu.Unlock()
	if c == nil {
		client, cut, err := connect(ctx, p.set)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, nil, err
		}
		c = &connection{client: client, cut: sync.OnceFunc(cut)}
		p.mu.Lock()
		p.now = c
		p.mu.Unlock()
		go c.watch()
	}
	best, busy := p.idlest(c)
	if best == nil || busy && !c.full && len(c.sessions) < p.set.Sessions {
		s, err := c.open()
		switch {
		case err == nil:
			best = s
		case best == nil:
			p.drop(c)
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, nil, err
		}
	}
	p.mu.Lock()
	best.users++
	p.mu.Unlock()
	return c, best, nil
}

// idlest gives the session with the fewest users, nil where there is none, and
// whether it has any.
func (p *pool) idlest(c *connection) (best *session, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range c.sessions {
		if best == nil || s.users < best.users {
			best = s
		}
	}
	return best, best != nil && best.users > 0
}

// open makes one more session; only the holder of the turn calls it.
func (c *connection) open() (*session, error) {
	client, err := sftp.NewClient(c.client, sftp.UseConcurrentWrites(true), sftp.UseFstat(true))
	if err != nil {
		c.full = true
		if lost(err) {
			return nil, err
		}
		return nil, errs.Hint(errs.New(errs.Failed, "the server gives no SFTP session: %w", err), "the server needs the sftp subsystem (in sshd_config: Subsystem sftp internal-sftp)")
	}
	s := &session{Client: client}
	c.sessions = append(c.sessions, s)
	return s, nil
}

func (p *pool) release(c *connection, s *session, err error) {
	p.mu.Lock()
	s.users--
	p.mu.Unlock()
	if lost(err) {
		p.drop(c)
	}
}

// drop cuts a connection, so that the next call makes another one.
func (p *pool) drop(c *connection) {
	p.mu.Lock()
	if p.now == c {
		p.now = nil
	}
	p.mu.Unlock()
	c.cut()
}

func (p *pool) close() error {
	p.mu.Lock()
	c := p.now
	p.now = nil
	p.mu.Unlock()
	if c != nil {
		c.cut()
	}
	return nil
}

// watch asks for signs of life and ends with the connection. A server that
// vanished without a word would else be waited for without an end.
func (c *connection) watch() {
	ended := make(chan struct{})
	go func() {
		_ = c.client.Wait()
		close(ended)
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		answer := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answer <- err
		}()
		late := time.NewTimer(patience)
		select {
		case err := <-answer:
			late.Stop()
			if err != nil {
				c.cut()
			}
		case <-late.C:
			c.cut()
		case <-ended:
			late.Stop()
			return
		}
	}
}

// lost tells whether the connection is of no use any more.
func lost(err error) bool {
	var caller *callerError
	if err == nil || errors.As(err, &caller) {
		return false
	}
	var network net.Error
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &network)
}

// explain gives an error of a call its kind.
func (b *Backend) explain(err error) error {
	var caller *callerError
	var status *sftp.StatusError
	switch {
	case errors.As(err, &caller):
		return caller.err
	case errs.KindOf(err) != errs.Failed, storage.IsTransient(err):
		return err
	case lost(err):
		return storage.Transient(errs.Hint(errs.New(errs.Unreachable, "the connection to %s broke: %w", b.set.Host, err),
			"check the network, then repeat the command: what was transferred stays"))
	case errors.Is(err, fs.ErrPermission):
		return errs.Hint(errs.New(errs.Auth, "%s: %w", b.set.Host, err), "check the owner and the mode of %s there", b.set.URL())
	case errors.As(err, &status):
		return errs.New(errs.Failed, "%s: the server answers %q", b.set.Host, status.Error())
	}
	return err
}
