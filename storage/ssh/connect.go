package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// maxJumps bounds how many hosts are gone through.
const maxJumps = 8

// connect opens a connection, through other hosts where ~/.ssh/config says so.
// Closing the returned function's connections is the caller's.
func connect(ctx context.Context, s Settings) (*gossh.Client, func(), error) {
	config, err := readUserConfig(s.Env)
	if err != nil {
		return nil, nil, err
	}
	target, err := config.resolve(s, s.Host, s.Port, s.User)
	if err != nil {
		return nil, nil, err
	}
	var open []*gossh.Client
	closeAll := func() {
		for i := len(open) - 1; i >= 0; i-- {
			open[i].Close()
		}
	}
	dial := (&net.Dialer{Timeout: s.Timeout}).DialContext
	if len(target.jumps) > maxJumps {
		return nil, nil, errs.New(errs.ProjectFile, "host %s is reached through more than %d hosts", s.Host, maxJumps)
	}
	// Each host on the way is one of ~/.ssh/config in its own right; what the
	// remote's settings say is for the last one only.
	for _, jump := range target.jumps {
		name, port, user, err := splitJump(jump)
		var via host
		if err == nil {
			via, err = config.resolve(s, name, port, user)
		}
		var client *gossh.Client
		if err == nil {
			client, err = login(ctx, Settings{Name: s.Name, UseAgent: true, Timeout: s.Timeout, Env: s.Env, Ask: s.Ask}, via, dial)
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("jump host %s: %w", jump, err)
		}
		open = append(open, client)
		dial = client.DialContext
	}
	client, err := login(ctx, s, target, dial)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	open = append(open, client)
	return client, closeAll, nil
}

// login connects to one host and proves who we are.
func login(ctx context.Context, s Settings, h host, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*gossh.Client, error) {
	keys, err := newHostKeys(h)
	if err != nil {
		return nil, err
	}
	proofs := &proofs{ctx: ctx, set: s, host: h}
	defer proofs.close()
	methods, err := proofs.methods()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	conn, err := dial(ctx, "tcp", h.address())
	if err != nil {
		return nil, unreachable(s, h, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := gossh.NewClientConn(conn, h.address(), &gossh.ClientConfig{
		User: h.user, Auth: methods, HostKeyCallback: keys.verify, HostKeyAlgorithms: keys.algorithms(),
	})
	if err != nil {
		conn.Close()
		return nil, proofs.explain(err)
	}
	return gossh.NewClient(c, channels, requests), nil
}

// unreachable says why no connection came about.
func unreachable(s Settings, h host, err error) error {
	hint := "check the host and the network; try: ssh -p %d %s@%s"
	if s.Name != "" {
		hint += "; another address: ctrx remote modify " + s.Name + " url ssh://USER@HOST:PORT/PATH"
	}
	return errs.Hint(errs.New(errs.Unreachable, "connect to %s (%s): %w", h.alias, h.address(), err), hint, h.port, h.user, h.name)
}

// proofs are the ways to prove to a server who we are, in the order in which
// they are tried: the remote's key file, else the agent and the usual keys; then
// the password, if there is one.
type proofs struct {
	ctx   context.Context
	set   Settings
	host  host
	agent net.Conn
	notes []string // why keys were not offered, for the error
	tried int      // keys that were offered
	asked string   // the password a person typed
}

func (p *proofs) close() {
	if p.agent != nil {
		p.agent.Close()
	}
}

func (p *proofs) methods() ([]gossh.AuthMethod, error) {
	var own []gossh.Signer
	if p.set.KeyFile != "" { // a wrong file is an error before anything is contacted
		signer, err := p.readKey(p.set.KeyFile, true)
		if err != nil {
			return nil, err
		}
		own = append(own, signer)
	}
	methods := []gossh.AuthMethod{gossh.PublicKeysCallback(func() ([]gossh.Signer, error) {
		signers := own
		if len(own) == 0 {
			signers = p.usualKeys()
		}
		p.tried = len(signers)
		return signers, nil
	})}
	if p.set.Password == "" && !(p.set.AskPassword && p.set.Ask != nil) {
		return methods, nil
	}
	return append(methods,
		gossh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				var err error
				if answers[i], err = p.password(); err != nil {
					return nil, err
				}
			}
			return answers, nil
		}),
		gossh.PasswordCallback(p.password)), nil
}

// password is the remote's, or is asked for once.
func (p *proofs) password() (string, error) {
	if p.set.Password != "" {
		return p.set.Password, nil
	}
	if p.asked == "" {
		var err error
		if p.asked, err = p.set.Ask(p.ctx, fmt.Sprintf("Password of %s@%s: ", p.host.user, p.host.alias)); err != nil {
			return "", err
		}
	}
	return p.asked, nil
}

// usualKeys are those of the agent and of the files that ssh itself looks at.
func (p *proofs) usualKeys() []gossh.Signer {
	var signers []gossh.Signer
	for _, file := range p.host.keys {
		signer, err := p.readKey(file, false)
		switch {
		case err == nil:
			signers = append(signers, signer)
		case !errors.Is(err, fs.ErrNotExist):
			p.notes = append(p.notes, err.Error())
		}
	}
	if !p.set.UseAgent || p.host.agent == "" || p.host.onlyKeys && len(signers) > 0 {
		return signers
	}
	conn, err := net.Dial("unix", p.host.agent)
	if err != nil {
		p.notes = append(p.notes, "the agent does not answer: "+err.Error())
		return signers
	}
	p.agent = conn
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		p.notes = append(p.notes, "the agent gives no keys: "+err.Error())
	}
	return append(held, signers...)
}

// readKey reads a file with a private key. The passphrase of one that was named
// for the remote may be asked for.
func (p *proofs) readKey(file string, named bool) (gossh.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		if named {
			err = errs.Hint(errs.New(errs.Auth, "read the key: %w", err), "ctrx remote modify --local %s keyfile FILE", p.set.Name)
		}
		return nil, err
	}
	signer, err := gossh.ParsePrivateKey(data)
	var locked *gossh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			err = errs.New(errs.Auth, "%s is no private key that can be used: %w", file, err)
		}
		return signer, err
	}
	passphrase := p.set.Passphrase
	if passphrase == "" && (named || p.set.AskPassphrase) && p.set.Ask != nil {
		if passphrase, err = p.set.Ask(p.ctx, fmt.Sprintf("Passphrase of %s: ", file)); err != nil {
			return nil, err
		}
	}
	if passphrase == "" {
		return nil, errs.Hint(errs.New(errs.Auth, "%s has a passphrase", file),
			"ssh-add %s, or: ctrx remote modify --local %s passphrase PASSPHRASE", file, p.set.Name)
	}
	if signer, err = gossh.ParsePrivateKeyWithPassphrase(data, []byte(passphrase)); err != nil {
		return nil, errs.Hint(errs.New(errs.Auth, "%s: the passphrase is wrong", file), "ctrx remote modify --local %s passphrase PASSPHRASE", p.set.Name)
	}
	return signer, nil
}

// explain tells a refused login from a broken connection.
func (p *proofs) explain(err error) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if kind := errs.KindOf(err); kind != errs.Failed { // ours: the host's key
		return err
	}
	var refused *gossh.ServerAuthError
	text := err.Error()
	if !errors.As(err, &refused) && !strings.Contains(text, "unable to authenticate") {
		var timeout net.Error
		if errors.As(err, &timeout) || errors.Is(err, net.ErrClosed) {
			return unreachable(p.set, p.host, fmt.Errorf("no answer within %s", p.set.Timeout.Round(time.Second)))
		}
		if lost(err) { // a server with too many guests hangs up
			return storage.Transient(unreachable(p.set, p.host, err))
		}
		return unreachable(p.set, p.host, err)
	}
	why := fmt.Sprintf("%d keys were offered", p.tried)
	if p.set.Password != "" || p.asked != "" {
		why += " and a password"
	}
	if p.set.GSS {
		why += "; gss_auth is not supported"
	}
	for _, note := range p.notes {
		why += "; " + note
	}
	return errs.Hint(errs.New(errs.Auth, "%s refuses user %s: %s", p.host.alias, p.host.user, why),
		"try: ssh -p %d %s@%s; then ssh-add KEY, or: ctrx remote modify --local %s keyfile FILE (or password, or ask_password true)",
		p.host.port, p.host.user, p.host.name, p.set.Name)
}
