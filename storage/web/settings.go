package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"ctrx/internal/settings"
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

// option tells how to set an option.
func (s Settings) option(key, value string) string {
	if s.Name == "" {
		return "--fs-config " + key + "=" + value
	}
	return "ctrx remote modify " + s.Name + " " + key + " " + value
}

// requestTime is the default of connect_timeout and read_timeout, as in DVC.
const requestTime = 60 * time.Second

// Parse reads the keys of a remote section. Relative paths are relative to
// baseDir. Errors have the kind ProjectFile.
func Parse(name string, config map[string]string, baseDir string, env func(string) string) (Settings, error) {
	p := settings.NewRemoteKeys(name, config, baseDir, env)
	s := Settings{Name: name, Auth: strings.ToLower(config["auth"]), User: config["user"], Password: config["password"], Header: config["custom_auth_header"]}
	u, err := url.Parse(config["url"])
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		p.Fail("url", "it is not of the form https://HOST/PATH")
		return s, p.Err()
	}
	s.URL = u
	s.AskPassword = p.Bool("ask_password", false)
	secret := s.Password != "" || s.AskPassword
	switch {
	case s.Auth == "":
	case s.Auth == "custom" && (!goodHeader(s.Header) || !secret):
		p.Fail("auth", "custom needs custom_auth_header and password")
	case s.Auth == "basic" || s.Auth == "digest":
		if s.User == "" || !secret {
			p.Fail("auth", "%s needs user and password", s.Auth)
		}
	case s.Auth != "custom":
		p.Fail("auth", "it must be basic, digest or custom, not %q", s.Auth)
	}
	switch s.Method = strings.ToUpper(config["method"]); s.Method {
	case "":
		s.Method = http.MethodPost
	case http.MethodPost, http.MethodPut:
	default:
		p.Fail("method", "it must be POST or PUT, not %q", s.Method)
	}
	switch strings.ToLower(config["ssl_verify"]) {
	case "", "true":
	case "false":
		s.NoVerify = true
	default:
		s.CAFile = p.Path("ssl_verify")
	}
	s.ConnectTime, s.ReadTime = p.FractionOfSeconds("connect_timeout", requestTime), p.FractionOfSeconds("read_timeout", requestTime)
	p.Versions("only a bucket keeps versions")
	return s, p.Err()
}

// goodHeader tells whether a text is the name of a header.
func goodHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
