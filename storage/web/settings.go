package web

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ctrx/internal/errs"
)

// Settings are those of a remote section of DVC's config with an http:// or
// https:// url (dvc-compat 9.3). They hold secrets: they are never printed.
type Settings struct {
	Name string // of the remote, for hints; "" for a single address
	URL  *url.URL

	Auth        string // "", basic, digest or custom
	User        string
	Password    string // of custom: the header's value
	AskPassword bool
	Header      string // custom_auth_header

	Method      string // of uploads: POST or PUT
	NoVerify    bool   // ssl_verify = false
	CAFile      string // ssl_verify = path
	ConnectTime time.Duration
	ReadTime    time.Duration // without any byte moving

	// Ask gets a secret from a person; nil where there is none to ask.
	Ask func(ctx context.Context, prompt string) (string, error)
}

// requestTime is the default of connect_timeout and read_timeout, as in DVC.
const requestTime = 60 * time.Second

// Parse reads the keys of a remote section. Relative paths are relative to
// baseDir. Errors have the kind ProjectFile.
func Parse(name string, config map[string]string, baseDir string, env func(string) string) (Settings, error) {
	p := parser{name: name, config: config}
	s := Settings{Name: name, Auth: strings.ToLower(config["auth"]), User: config["user"], Password: config["password"], Header: config["custom_auth_header"]}
	u, err := url.Parse(config["url"])
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		p.fail("url", "it is not of the form https://HOST/PATH")
		return s, p.err
	}
	s.URL = u
	s.AskPassword = p.bool("ask_password", false)
	secret := s.Password != "" || s.AskPassword
	switch {
	case s.Auth == "":
	case s.Auth == "custom" && (!goodHeader(s.Header) || !secret):
		p.fail("auth", "custom needs custom_auth_header and password")
	case s.Auth == "basic" || s.Auth == "digest":
		if s.User == "" || !secret {
			p.fail("auth", "%s needs user and password", s.Auth)
		}
	case s.Auth != "custom":
		p.fail("auth", "it must be basic, digest or custom, not %q", s.Auth)
	}
	switch s.Method = strings.ToUpper(config["method"]); s.Method {
	case "":
		s.Method = http.MethodPost
	case http.MethodPost, http.MethodPut:
	default:
		p.fail("method", "it must be POST or PUT, not %q", s.Method)
	}
	switch verify := config["ssl_verify"]; strings.ToLower(verify) {
	case "", "true":
	case "false":
		s.NoVerify = true
	default:
		s.CAFile = below(verify, baseDir, env)
	}
	s.ConnectTime, s.ReadTime = p.seconds("connect_timeout"), p.seconds("read_timeout")
	for _, key := range []string{"version_aware", "worktree"} {
		if p.bool(key, false) {
			p.fail(key, "only a bucket keeps versions")
		}
	}
	return s, p.err
}

// goodHeader tells whether a text is the name of a header.
func goodHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
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

func (p *parser) seconds(key string) time.Duration {
	v := p.config[key]
	if v == "" {
		return requestTime
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || !(n > 0) || n > 1e9 {
		p.fail(key, "%q is not a number of seconds", v)
		return requestTime
	}
	return time.Duration(n * float64(time.Second))
}

// below resolves a path of this machine, with ~ for the home folder.
func below(file, dir string, env func(string) string) string {
	if rest, ok := strings.CutPrefix(file, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		home := env("HOME")
		if home == "" {
			home = env("USERPROFILE")
		}
		return filepath.Join(home, rest)
	}
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}
