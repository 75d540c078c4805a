package ssh

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ctrx/internal/errs"
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
	p := parser{name: name, config: config}
	s := Settings{Name: name, Env: env}
	p.url(&s)
	s.Port = p.number("port", s.Port, 0, 65535)
	if user := config["user"]; user != "" {
		if s.User = user; !goodName(user) {
			p.fail("user", "%q is no name of a user", user)
		}
	}
	if password := config["password"]; password != "" {
		s.Password = password
	}
	s.AskPassword, s.AskPassphrase = p.bool("ask_password", false), p.bool("ask_passphrase", false)
	s.Passphrase = config["passphrase"]
	if file := config["keyfile"]; file != "" {
		s.KeyFile = below(file, baseDir, env)
	}
	s.UseAgent, s.GSS = p.bool("allow_agent", true), p.bool("gss_auth", false)
	s.Timeout = time.Duration(p.number("timeout", int(timeout/time.Second), 1, 1<<30)) * time.Second
	s.Sessions = p.number("max_sessions", sessions+2, 3, 1000) - 2
	for _, key := range []string{"version_aware", "worktree"} {
		if p.bool(key, false) {
			p.fail(key, "only a bucket keeps versions")
		}
	}
	return s, p.err
}

// parser keeps the first error.
type parser struct {
	name   string
	config map[string]string
	err    error
}

func (p *parser) fail(key, format string, args ...any) {
	if p.err == nil {
		err := errs.New(errs.ProjectFile, "remote %q: %s: "+format, append([]any{p.name, key}, args...)...)
		p.err = errs.Hint(err, "ctrx remote modify %s %s VALUE", p.name, key)
	}
}

// url reads ssh://[USER[:PASSWORD]@]HOST[:PORT][/PATH]. Nothing in it is
// decoded, as in DVC.
func (p *parser) url(s *Settings) {
	raw := p.config["url"]
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
			p.fail("url", "%q is no port", port)
		}
		s.Host, s.Port = host, n
	} else {
		s.Host = strings.TrimSuffix(strings.TrimPrefix(s.Host, "["), "]")
	}
	if !ok || !strings.EqualFold(scheme, "ssh") || !goodName(s.Host) || s.User != "" && !goodName(s.User) {
		p.fail("url", "it is not of the form ssh://USER@HOST:PORT/PATH")
	}
	if strings.ContainsFunc(s.Path, unicode.IsControl) {
		p.fail("url", "the path holds control characters")
	}
}

// goodName refuses what could be anything but the name of a host or user: an
// option of a program, a second line of a file.
func goodName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("\"'`$;&|<>()\\*?", r)
	})
}

func (p *parser) bool(key string, otherwise bool) bool {
	switch v := strings.ToLower(p.config[key]); v {
	case "":
		return otherwise
	case "true":
		return true
	case "false":
		return false
	default:
		p.fail(key, "%q is neither true nor false", v)
		return otherwise
	}
}

func (p *parser) number(key string, otherwise, least, most int) int {
	v := p.config[key]
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil || n < least || n > most {
		p.fail(key, "%q is not a number from %d to %d", v, least, most)
		return otherwise
	}
	return n
}

// below resolves a path of this machine, with ~ for the home folder.
func below(file, dir string, env func(string) string) string {
	if rest, ok := strings.CutPrefix(file, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		return filepath.Join(home(env), rest)
	}
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

func home(env func(string) string) string {
	if h := env("HOME"); h != "" {
		return h
	}
	return env("USERPROFILE")
}
