package testserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH is a running SSH server that gives SFTP to all files of this machine.
type SSH struct {
	Host string // 127.0.0.1
	Port int
	User string
	// Home is a home folder for the client: .ssh holds a key that the server
	// takes, id_ed25519, and the server's own in known_hosts.
	Home string
	Stop func() // ends it; may be called twice
	// Cut breaks all connections, as a network does; nil for a real sshd.
	Cut func()
}

// SSHPassword is what the server in this process takes in place of a key.
const SSHPassword = "open sesame"

// Env gives the environment of a client: HOME and USER.
func (s *SSH) Env(key string) string {
	return map[string]string{"HOME": s.Home, "USER": s.User}[key]
}

// URL is the ssh:// address of a folder of this machine.
func (s *SSH) URL(dir string) string {
	return fmt.Sprintf("ssh://%s@%s:%d%s", s.User, s.Host, s.Port, filepath.ToSlash(dir))
}

// keys makes the keys of both sides in dir; the client's is also written as
// authorized_keys, the server's as host_key.
func (s *SSH) keys(dir string) (host ssh.Signer, client ssh.PublicKey, err error) {
	s.Home = filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(s.Home, ".ssh"), 0o700); err != nil {
		return nil, nil, err
	}
	host, err = newKey(filepath.Join(dir, "host_key"))
	if err != nil {
		return nil, nil, err
	}
	own, err := newKey(filepath.Join(s.Home, ".ssh", "id_ed25519"))
	if err != nil {
		return nil, nil, err
	}
	return host, own.PublicKey(), os.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(own.PublicKey()), 0o600)
}

func newKey(file string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// know writes the client's known_hosts.
func (s *SSH) know(host ssh.PublicKey) error {
	line := knownhosts.Line([]string{knownhosts.Normalize(net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))}, host)
	return os.WriteFile(filepath.Join(s.Home, ".ssh", "known_hosts"), []byte(line+"\n"), 0o600)
}

// StartSSH starts a server in this process; dir holds its keys.
func StartSSH(dir string) (*SSH, error) {
	s := &SSH{Host: "127.0.0.1", User: "someone"}
	host, client, err := s.keys(dir)
	if err != nil {
		return nil, fmt.Errorf("start an SSH server: %w", err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), client.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
		PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != SSHPassword {
				return nil, errors.New("wrong password")
			}
			return nil, nil
		},
	}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start an SSH server: %w", err)
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	if err := s.know(host.PublicKey()); err != nil {
		l.Close()
		return nil, fmt.Errorf("start an SSH server: %w", err)
	}
	server := &sshServer{listener: l, config: config, conns: map[net.Conn]bool{}}
	server.running.Go(server.serve)
	s.Cut = server.cut
	s.Stop = sync.OnceFunc(func() {
		l.Close()
		server.cut()
		server.running.Wait()
	})
	return s, nil
}

type sshServer struct {
	listener net.Listener
	config   *ssh.ServerConfig
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *sshServer) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() {
			s.talk(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *sshServer) talk(conn net.Conn) {
	c, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	defer c.Close()
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			if channel, requests, err := ch.Accept(); err == nil {
				s.running.Go(func() { session(channel, requests) })
			}
		case "direct-tcpip": // as a jump host
			if channel, requests, err := ch.Accept(); err == nil {
				s.running.Go(func() { ssh.DiscardRequests(requests) })
				s.running.Go(func() { forward(channel, ch.ExtraData()) })
			}
		default:
			ch.Reject(ssh.UnknownChannelType, "only sessions")
		}
	}
}

func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		ok := r.Type == "subsystem" && len(r.Payload) > 4 && string(r.Payload[4:]) == "sftp"
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if !ok {
			continue
		}
		server, err := sftp.NewServer(channel)
		if err != nil {
			return
		}
		_ = server.Serve()
		_ = server.Close()
		return
	}
}

// forward connects a channel with the address that the client asked for.
func forward(channel ssh.Channel, extra []byte) {
	defer channel.Close()
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if ssh.Unmarshal(extra, &to) != nil {
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		return
	}
	pipe(channel, conn)
}

// StartSSHD starts a real OpenSSH server; dir holds its keys and settings.
func StartSSHD(ctx context.Context, dir string) (*SSH, error) {
	s, err := startSSHD(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start sshd: %w", err)
	}
	return s, nil
}

func startSSHD(ctx context.Context, dir string) (*SSH, error) {
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	program, err := sshd()
	if err != nil {
		return nil, err
	}
	s := &SSH{Host: "127.0.0.1", User: u.Username}
	host, _, err := s.keys(dir)
	if err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // sshd wants this folder of a machine on which it is a service
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		s.Port, err = strconv.Atoi(port)
	}
	if err == nil {
		err = s.know(host.PublicKey())
	}
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
Subsystem sftp internal-sftp
`, port, filepath.Join(dir, "host_key"), filepath.Join(dir, "authorized_keys"))
	file := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := command(ctx, program, []string{"-D", "-e", "-f", file})
	cmd.Dir = dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	s.Stop = sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait()
		lifeline.Close()
	})
	if err := answers(ctx, address); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w\n%s", err, log.String())
	}
	return s, nil
}

// sshd finds the program, which is seldom on PATH and wants to be started by its
// full path.
func sshd() (string, error) {
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", exec.ErrNotFound
}

// answers waits until something listens.
func answers(ctx context.Context, address string) error {
	deadline := time.Now().Add(startTime)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
