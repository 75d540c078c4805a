// Package remote opens the storage that a remote section of DVC's config
// describes: it chooses the backend by the scheme of the url. It also reads data
// that lies behind a URL and is no part of a project (Place).
package remote

import (
	"context"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/storage"
	"ctrx/storage/local"
	"ctrx/storage/s3"
	"ctrx/storage/ssh"
	"ctrx/storage/web"
)

// Access is what a remote needs of the one who uses it.
type Access struct {
	Env func(string) string // environment variables (HOME, AWS_*, SSH_AUTH_SOCK)
	// Ask gets a secret from a person (ask_password, ask_passphrase); nil where
	// there is none to ask.
	Ask func(ctx context.Context, prompt string) (string, error)
	// Sink hears how far downloads are; may be nil.
	Sink event.Sink
}

// Supported lists the forms of a url that Open takes.
func Supported() []string {
	return []string{"a folder (/srv/data, ../data, file:///srv/data)", "s3://BUCKET/PREFIX", "ssh://USER@HOST:PORT/PATH", "https://HOST/PATH"}
}

// Open makes the backend of the remote called name. config holds the keys of
// its section ("url", "endpointurl", ...; dvc-compat 8.5 and 9.3). Relative
// paths are relative to baseDir, the folder of the config file that holds them.
//
// Nothing is contacted yet: a server that is down shows at the first use. A
// remote with a bad or unknown setting gives kind ProjectFile. A backend that is
// also an io.Closer keeps connections open until it is closed.
func Open(ctx context.Context, name string, config map[string]string, baseDir string, acc Access) (storage.Backend, error) {
	raw := config["url"]
	if raw == "" {
		return nil, errs.Hint(errs.New(errs.ProjectFile, "remote %q has no url", name), "ctrx remote modify %s url URL", name)
	}
	scheme := schemeOf(raw)
	switch scheme {
	case "", "file":
		return local.Open(localDir(raw, baseDir, acc.Env), local.Options{Shared: config["shared"] == "group"}), nil
	case "s3":
		return openS3(ctx, name, config, baseDir, acc)
	case "ssh":
		return openSSH(name, config, baseDir, acc)
	case "http", "https":
		set, err := web.Parse(name, config, baseDir, acc.Env)
		if err != nil {
			return nil, err
		}
		set.Ask = acc.Ask
		b, err := web.Open(set)
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	return nil, errs.Hint(errs.New(errs.ProjectFile, "remote %q: urls of the form %s:// are not supported; supported are %s",
		name, scheme, strings.Join(Supported(), ", ")),
		"ctrx remote modify %s url s3://BUCKET/PREFIX, or use dvc for this remote", name)
}

func openS3(ctx context.Context, name string, config map[string]string, baseDir string, acc Access) (storage.Backend, error) {
	set, err := s3.Parse(name, config, baseDir, acc.Env)
	if err != nil {
		return nil, err
	}
	if set, err = set.WithAddressing(acc.Env); err != nil {
		return nil, err
	}
	b, err := s3.Open(ctx, set)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func openSSH(name string, config map[string]string, baseDir string, acc Access) (storage.Backend, error) {
	set, err := ssh.Parse(name, config, baseDir, acc.Env)
	if err != nil {
		return nil, err
	}
	set.Ask = acc.Ask
	return ssh.Open(set), nil
}

// schemeOf gives the scheme of a url, or "" for a path; a single letter is a
// Windows drive.
func schemeOf(raw string) string {
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok || len(scheme) < 2 || strings.ContainsAny(scheme, `/\.`) {
		return ""
	}
	return strings.ToLower(scheme)
}

func localDir(raw, baseDir string, env func(string) string) string {
	dir := raw
	if len(dir) >= 7 && strings.EqualFold(dir[:7], "file://") {
		dir = dir[7:]
	}
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		home := env("HOME")
		if home == "" {
			home = env("USERPROFILE")
		}
		dir = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(baseDir, dir)
	}
	return filepath.Clean(dir)
}
