package ssh

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ctrx/internal/settings"
)

// Settings are those of a remote section of DVC's config with an ssh:// url
// (dvc-compat 9.3). They hold secrets: they are never printed.
type Settings struct {
	Name string // of the remote, for hints
	Host string // a host's name or address, or an alias of ~/.ssh/config
	Port int    // 0: as ~/.ssh/config says, else 22
	User string // "": as ~/.ssh/config says, else the one who asks
	Path string // folder on the server; not absolute: below the login folder

	Password      string
	AskPassword   bool
	KeyFile       string
	Passphrase    string // of KeyFile
	AskPassphrase bool
	UseAgent      bool          // allow_agent, true where it is not set
	GSS           bool          // gss_auth, which is not supported
	Timeout       time.Duration // of connecting
	Sessions      int           // SFTP sessions at a time

	// Env gives environment variables: HOME, USER, SSH_AUTH_SOCK.
	Env func(string) string
	// Ask gets a secret from a person; nil where there is none to ask.
	Ask func(ctx context.Context, prompt string) (string, error)
}

// Defaults. DVC keeps two of its ten sessions for commands.
const (
	timeout  = 30 * time.Second
	sessions = 8
)

// URL is the place of the remote, without secrets.
func (s Settings) URL() string {
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if s.Port != 0 {
		host += ":" + strconv.Itoa(s.Port)
	}
	return "ssh://" + host + "/" + strings.TrimPrefix(s.Path, "/")
}

// Parse reads the keys of a remote section. Relative paths are relative to
// baseDir. Errors have the kind ProjectFile.
func Parse(name string, config map[string]string, baseDir string, env func(string) string) (Settings, error) {
	p := settings.NewRemoteKeys(name, config, baseDir, env)
	s := Settings{Name: name, Env: env}
	s.url(p, config["url"])
	s.Port = p.Int("port", s.Port, 0, 65535)
	if user := config["user"]; user != "" {
		if s.User = user; !goodName(user) {
			p.Fail("user", "%q is no name of a user", user)
		}
	}
	if password := config["password"]; password != "" {
		s.Password = password
	}
	s.AskPassword, s.AskPassphrase = p.Bool("ask_password", false), p.Bool("ask_passphrase", false)
	s.Passphrase = config["passphrase"]
	s.KeyFile = p.Path("keyfile")
	s.UseAgent, s.GSS = p.Bool("allow_agent", true), p.Bool("gss_auth", false)
	s.Timeout = p.Seconds("timeout", timeout)
	s.Sessions = p.Int("max_sessions", sessions+2, 3, 1000) - 2
	p.Versions("only a bucket keeps versions")
	return s, p.Err()
}

// url reads ssh://[USER[:PASSWORD]@]HOST[:PORT][/PATH]. Nothing in it is
// decoded, as in DVC.
func (s *Settings) url(p *settings.RemoteKeys, raw string) {
	scheme, rest, ok := strings.Cut(raw, "://")
	authority, at := rest, strings.IndexByte(rest, '/')
	if at >= 0 {
		authority, s.Path = rest[:at], rest[at:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		s.User, s.Password, _ = strings.Cut(authority[:i], ":")
		authority = authority[i+1:]
	}
	s.Host = authority
	if host, port, err := net.SplitHostPort(authority); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			p.Fail("url", "%q is no port", port)
		}
		s.Host, s.Port = host, n
	} else {
		s.Host = strings.TrimSuffix(strings.TrimPrefix(s.Host, "["), "]")
	}
	if !ok || !strings.EqualFold(scheme, "ssh") || !goodName(s.Host) || s.User != "" && !goodName(s.User) {
		p.Fail("url", "it is not of the form ssh://USER@HOST:PORT/PATH")
	}
	if strings.ContainsFunc(s.Path, unicode.IsControl) {
		p.Fail("url", "the path holds control characters")
	}
}

// goodName refuses what could be anything but the name of a host or user: an
// option of a program, a second line of a file.
func goodName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("\"'`$;&|<>()\\*?", r)
	})
}
