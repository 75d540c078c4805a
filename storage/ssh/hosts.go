package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"ctrx/internal/errs"
	"ctrx/internal/settings"
)

// host is a machine to connect to, with what ~/.ssh/config says of it.
type host struct {
	alias     string // as it was asked for
	name      string // HostName
	port      int
	user      string
	keys      []string // files of private keys, in the order in which they are tried
	onlyKeys  bool     // IdentitiesOnly
	agent     string   // socket of the agent, "" for none
	known     []string // files of known hosts
	strict    string   // StrictHostKeyChecking: yes, no, accept-new
	keyAlias  string   // HostKeyAlias
	jumps     []string // ProxyJump: [USER@]HOST[:PORT] each
	viaConfig bool     // some of it is from ~/.ssh/config
}

func (h host) address() string { return net.JoinHostPort(h.name, strconv.Itoa(h.port)) }

// keyAddress is the name under which known_hosts has the host's key.
func (h host) keyAddress() string {
	if h.keyAlias != "" {
		return net.JoinHostPort(h.keyAlias, "22")
	}
	return h.address()
}

// defaultKeys are the key files that are tried where none is named.
func defaultKeys() []string { return []string{"id_ed25519", "id_ecdsa", "id_rsa"} }

// userConfig is the user's own ~/.ssh/config. It alone may name other programs
// and hosts: nothing of a repository's config gets here but an alias.
type userConfig struct {
	file   string
	parsed *ssh_config.Config // nil: there is none
}

func readUserConfig(env func(string) string) (userConfig, error) {
	c := userConfig{file: filepath.Join(settings.HomeDir(env), ".ssh", "config")}
	data, err := os.ReadFile(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		c.parsed, err = ssh_config.DecodeBytes(withoutForeignMatch(data))
	}
	if err != nil {
		return c, errs.Hint(errs.New(errs.ProjectFile, "read %s: %w", c.file, err), "ssh -G HOST shows how ssh reads the file")
	}
	return c, nil
}

var matchLine = regexp.MustCompile(`(?im)^[ \t]*match[ \t=].*$`)

// withoutForeignMatch turns those Match lines that the parser does not know
// (exec, final, ...) into ones that match nothing.
func withoutForeignMatch(data []byte) []byte {
	known := regexp.MustCompile(`(?i)^[ \t]*match[ \t=]+(all|host|originalhost|user|localuser)\b[^"]*$`)
	exotic := regexp.MustCompile(`(?i)\b(exec|final|canonical|localnetwork|tagged|address|sessiontype|version|command)\b`)
	return matchLine.ReplaceAllFunc(data, func(line []byte) []byte {
		if known.Match(line) && !exotic.Match(line) {
			return line
		}
		return []byte("Host never-matches.invalid")
	})
}

func (c userConfig) get(alias, key string) string {
	if c.parsed == nil {
		return ""
	}
	v, err := c.parsed.Get(alias, key)
	if err != nil {
		return ""
	}
	return v
}

func (c userConfig) all(alias, key string) []string {
	if c.parsed == nil {
		return nil
	}
	v, err := c.parsed.GetAll(alias, key)
	if err != nil {
		return nil
	}
	return v
}

// resolve finds out all about a host. Settings of the remote go before those of
// the file; port 0 and as "", the user, are: not set.
func (c userConfig) resolve(s Settings, alias string, port int, as string) (host, error) {
	h := host{alias: alias, name: alias, port: port, user: as, strict: "yes"}
	if name := c.get(alias, "HostName"); name != "" {
		h.name, h.viaConfig = strings.NewReplacer("%h", alias, "%%", "%").Replace(name), true
	}
	if h.port == 0 {
		h.port = 22
		if n, err := strconv.Atoi(c.get(alias, "Port")); err == nil && n > 0 && n < 1<<16 {
			h.port = n
		}
	}
	for _, name := range []string{c.get(alias, "User"), s.Env("USER"), s.Env("LOGNAME"), s.Env("USERNAME")} {
		if h.user == "" {
			h.user = name
		}
	}
	if h.user == "" { // a service or a container may have no such variable
		if me, err := user.Current(); err == nil {
			h.user = me.Username
		}
	}
	if command := c.get(alias, "ProxyCommand"); command != "" && !strings.EqualFold(command, "none") {
		return h, errs.Hint(errs.New(errs.ProjectFile, "%s has a ProxyCommand for host %s: ctrx runs no such command", c.file, alias),
			"write it as a ProxyJump, or use dvc for this remote")
	}
	if jump := c.get(alias, "ProxyJump"); jump != "" && !strings.EqualFold(jump, "none") {
		h.jumps = strings.Split(jump, ",")
	}
	c.keysOf(&h, s)
	list := c.get(alias, "UserKnownHostsFile")
	if list == "" {
		list = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
	}
	for file := range strings.FieldsSeq(list) {
		h.known = append(h.known, settings.Below(file, settings.HomeDir(s.Env), s.Env))
	}
	h.known = append(h.known, "/etc/ssh/ssh_known_hosts")
	if strict := strings.ToLower(c.get(alias, "StrictHostKeyChecking")); strict != "" {
		h.strict = strict
	}
	h.keyAlias = c.get(alias, "HostKeyAlias")
	if !goodName(h.name) || !goodName(h.user) || h.keyAlias != "" && !goodName(h.keyAlias) {
		return h, errs.Hint(errs.New(errs.ProjectFile, "host %q: %q is no name of a host, or %q none of a user", alias, h.name, h.user),
			"ctrx remote modify %s url ssh://USER@HOST:PORT/PATH", s.Name)
	}
	return h, nil
}

// keysOf finds the private keys and the agent.
func (c userConfig) keysOf(h *host, s Settings) {
	expand := func(file string) string {
		file = strings.NewReplacer("%d", settings.HomeDir(s.Env), "%h", h.name, "%r", h.user, "%%", "%").Replace(file)
		return settings.Below(file, settings.HomeDir(s.Env), s.Env)
	}
	for _, file := range c.all(h.alias, "IdentityFile") {
		if !strings.EqualFold(file, "none") {
			h.keys = append(h.keys, expand(file))
		}
	}
	if len(h.keys) == 0 {
		for _, name := range defaultKeys() {
			h.keys = append(h.keys, filepath.Join(settings.HomeDir(s.Env), ".ssh", name))
		}
	}
	h.onlyKeys = strings.EqualFold(c.get(h.alias, "IdentitiesOnly"), "yes")
	h.agent = s.Env("SSH_AUTH_SOCK")
	switch own := c.get(h.alias, "IdentityAgent"); {
	case strings.EqualFold(own, "none"):
		h.agent = ""
	case own != "" && own != "SSH_AUTH_SOCK":
		h.agent = expand(strings.TrimPrefix(own, "$"))
	}
}

// splitJump reads [USER@]HOST[:PORT].
func splitJump(text string) (name string, port int, user string, err error) {
	name = strings.TrimPrefix(strings.TrimSpace(text), "ssh://")
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		user, name = name[:i], name[i+1:]
	}
	if h, p, e := net.SplitHostPort(name); e == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return "", 0, "", fmt.Errorf("ProxyJump %s: %w", text, err)
		}
		name = h
	}
	if !goodName(name) {
		err = errs.New(errs.ProjectFile, "ProxyJump %q names no host", text)
	}
	return name, port, user, err
}
